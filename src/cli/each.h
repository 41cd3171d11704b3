/* cli/each.h - one call per word of the command line: revoke 3 4 5. Writes to standard output. */
#ifndef MUSTER_CLI_EACH_H
#define MUSTER_CLI_EACH_H

#include "cli/cmd.h"

/* What is done with one @word; answers to be shown as JSON are appended to @json, a line each. RC_OK, or an
 * exit code with cli->err. */
typedef int (*each_fn)(struct cli *cli, const void *options, const char *word, struct buf *json);

/* Calls @one for every word and says "WORD: @done". Goes on after a failure, which is told on standard error
 * (a single one by main()). The exit code says whether all (RC_OK), some (RC_PARTIAL) or none went through
 * (that of the last). */
int each_word(struct cli *cli, const struct args *args, const char *done, each_fn one, const void *options);
/* The usual @one: a request whose answer is kept in @json when that is asked for. */
int each_call(struct cli *cli, const char *method, const struct buf *target, struct str body,
              struct buf *json);

#endif
