/* fleet/teller.h - who tells a section of a host that several speak for: its own agent, a reporter, agents of other accents. Pure.
 *
 * One section has one writer. Where the machine has an agent of ours, that one has the plain name and the best of the others a name of
 * its own beside it; where it has none, the best of the others has the plain name. What the rest says of it is not recorded. */
#ifndef MUSTER_FLEET_TELLER_H
#define MUSTER_FLEET_TELLER_H

#include "base/str.h"
#include "wire/facts.h"

/* The name beside the agent's own of what another tells: reported_os for os. SECTION_ALL: there is none. */
enum section section_apart(enum section s);
/* How good @dialect is at section @s: the higher tells it; 0: it never does (and our own agent is not among them). */
int teller_rank(struct str dialect, enum section s);

#endif
