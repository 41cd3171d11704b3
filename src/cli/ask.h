/* cli/ask.h - questions to the person at the terminal, and passwords that never pass through argv. */
#ifndef MUSTER_CLI_ASK_H
#define MUSTER_CLI_ASK_H

#include <stdbool.h>

#include "base/err.h"

/* True for "y" or "yes" on the terminal, and without asking when there is no terminal (a script means what it
 * says). */
bool ask_yes(const char *question);
/* One line from the terminal with echo, at most 1 KiB; malloced, or NULL without a terminal or at its end. */
char *ask_line(const char *prompt);
/* A password: from @file ("-": standard input), else from standard input when that is no terminal, else asked
 * for without echo (twice when @confirm is given). One trailing newline is cut. Malloced: release with
 * secret_free(). NULL and
 * @err ("password.read", "password.differs", "password.empty"). */
char *ask_password(const char *file, const char *prompt, const char *confirm, struct err *err);

#endif
