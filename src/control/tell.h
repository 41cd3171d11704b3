/* control/tell.h - whose word a section of a host is (private to control/). Loop thread; see accent.h for accent_tell(). */
#ifndef MUSTER_CONTROL_TELL_H
#define MUSTER_CONTROL_TELL_H

#include "control/core.h"

/* teller_rank() of the best of @h's accents; 0: none of them tells @s. */
int tell__rank(struct control *c, const struct host *h, enum section s);
/* Where what an accent tells of @s is recorded: beside what an agent of ours tells, if @h has one. */
enum section tell__section(const struct host *h, enum section s);

#endif
