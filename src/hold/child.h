/* hold/child.h - from fork to exec: becomes the user, goes to the directory, makes the environment, runs the program.
 *
 * Runs in the forked child only. */
#ifndef MUSTER_HOLD_CHILD_H
#define MUSTER_HOLD_CHILD_H

#include "hold/spec.h"

enum { CHILD_ERROR_MAX = END_MAX_MESSAGE };

/* Descriptors of the child: the three become 0, 1, 2; @error_fd is closed by a successful exec, or carries the sentence that
 * says why there was none. */
struct child_fds {
    int in, out, err;
    int error_fd;
};
void child_run(const struct hold_spec *spec, const struct child_fds *fds) __attribute__((noreturn));

#endif
