/* cli/waiting.h - says once, on standard error, why an answer does not come.
 *
 * A server whose disk is full holds its answers back (decision 0005), and a person in front of a silent terminal does not know. After two
 * seconds without an answer /readyz is asked, over a connection of its own: it is never held back. A server that is well has its reasons
 * (a question that its host has to fetch first), and nothing is said. Loop thread. */
#ifndef MUSTER_CLI_WAITING_H
#define MUSTER_CLI_WAITING_H

#include "cli/cmd.h"

struct waiting;
/* From a request to the first of its answer. Several may be under way: looked at is the time since one of them is. */
void waiting_begin(struct cli *cli);
void waiting_end(struct cli *cli);
/* Before the loop goes; NULL is a no-op. */
void waiting_free(struct waiting *w);

/* The sentence for a body of /readyz with status 503, after "waiting for the server: ". Written to @room, safe for a terminal. Pure. */
const char *waiting_reason(struct str body, char *room, size_t size);

#endif
