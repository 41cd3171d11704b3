/* agent/address.h - where a server is, as people write it. Pure. */
#ifndef MUSTER_AGENT_ADDRESS_H
#define MUSTER_AGENT_ADDRESS_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* "name", "name:port", "[v6]:port" -> host (malloced) and port (@def when not said). 0 or -EINVAL and @err. */
int address_parse(struct str s, uint16_t def, char **ret_host, uint16_t *ret_port, struct err *err);

#endif
