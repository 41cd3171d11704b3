/* agent/claims.h - who this host says it is, as the message that enrolment and Hello carry. Loop thread. */
#ifndef MUSTER_AGENT_CLAIMS_H
#define MUSTER_AGENT_CLAIMS_H

#include "base/arena.h"
#include "base/conf.h"
#include "muster.pb-c.h"

/* In @a; what cannot be read is empty. @labels may be NULL. NULL when @a is full (64 KiB are plenty). */
Muster__V1__HostClaims *claims_make(struct arena *a, const char *root, const struct conf_map *labels);

#endif
