/* control/tell.h - whose word a section of a host is (private to control/). Loop thread; see accent.h for accent_tell(). */
#ifndef MUSTER_CONTROL_TELL_H
#define MUSTER_CONTROL_TELL_H

#include "control/core.h"

/* teller_rank() of the best of @h's accents; 0: none of them tells @s. */
int tell__rank(struct control *c, const struct host *h, enum section s);
/* The rank of each section, for tell__fell(). */
struct tell_ranks {
    uint8_t of[SECTION_N];
};
void tell__ranks(struct control *c, const struct host *h, struct tell_ranks *ret);
/* An accent was taken off @h since @had was looked at: what nobody is left to tell so well is recorded as nothing. */
void tell__fell(struct control *c, struct host *h, const struct tell_ranks *had);
/* Nothing is recorded of @there from now on, and its history says so; no-op where there never was anything. */
void tell__empty(struct control *c, struct host *h, enum section there);
/* Where what an accent tells of @s is recorded: beside what an agent of ours tells, if @h has one. */
enum section tell__section(const struct host *h, enum section s);

#endif
