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
/* The verb spelt most like @word, or NULL. */
const char *help_suggest(const char *word);

#endif
