/* server/statedir.h - the state directory: made, checked, locked. Blocking; start-up and offline commands
 * only. */
#ifndef MUSTER_SERVER_STATEDIR_H
#define MUSTER_SERVER_STATEDIR_H

#include <stdbool.h>

#include "base/err.h"

struct statedir {
    char path[2048], db[2080], socket[2080];
    int lock_fd; /* -1: not locked */
};

/* Fills the paths; touches nothing. -ENAMETOOLONG and @err. */
int statedir_paths(const char *path, struct statedir *ret, struct err *err);
/* Makes it if missing (0700), sets 0700, refuses a foreign owner ("state.owner"), and locks it:
 * "state.locked" says that another server uses it already. The lock lives until statedir_unlock() or the end
 * of the process. */
int statedir_open(struct statedir *s, struct err *err);
void statedir_unlock(struct statedir *s);
/* Who holds the lock: its pid, 0 nobody (or the directory is missing). */
long statedir_holder(const struct statedir *s);
/* True if there is anything in it but our own lock file; false for a missing one. */
bool statedir_is_used(const struct statedir *s);

#endif
