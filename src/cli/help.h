/* cli/help.h - texts made from the tables: help, the manual page, suggestions. Pure but for the writing. */
#ifndef MUSTER_CLI_HELP_H
#define MUSTER_CLI_HELP_H

#include <stdio.h>

#include "cli/cmd.h"

/* All verbs by group; one verb; the manual page (roff). Each RC_OK, or RC_FAILED when it could not be
 * written. */
int help_verbs(FILE *f);
int help_verb(FILE *f, const struct cmd *cmd);
int help_man(FILE *f);
/* Do verbs begin with @word as the first of two ("user": user add, user list ...)? */
bool help_is_group(const char *word);
/* Those verbs, each with its usage. RC_OK or RC_FAILED. */
int help_group(FILE *f, const char *word);
/* The verb spelt most like @word, or NULL. */
const char *help_suggest(const char *word);
/* The second word of a verb of @group spelt most like @word, or NULL. */
const char *help_suggest_in(const char *group, const char *word);
/* The option of @rows spelt most like "--word", or NULL. */
const char *help_suggest_option(const struct conf_row *rows, size_t n, const char *word);

#endif
