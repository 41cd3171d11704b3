/* hold/spec.h - the files of a task directory that have a form: `spec` (agent -> hold), `started` and `status` (hold -> agent).
 *
 * Little-endian, length-prefixed, a version byte, a CRC-32C over everything: a file torn by a power cut reads as "not there",
 * never as another command. Pure bytes, no I/O. Any thread. Both muster-hold and agent/exec.c link this. */
#ifndef MUSTER_HOLD_SPEC_H
#define MUSTER_HOLD_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"

enum {
    SPEC_VERSION = 1,
    SPEC_MAX_BYTES = (1 << 20) + (64 << 10), /* LIMIT_COMMAND_BYTES and the lengths between */
    SPEC_MAX_ENV = 1024,
    SPEC_MAX_NAME = 4096,                    /* user, cwd */
    END_MAX_MESSAGE = 256,
    END_MAX_BYTES = 384,                     /* a whole status file */
    STARTED_BYTES = 32,
};

/* Where the command's input comes from. Its bytes are in the task's file `in`, never in the spec. */
enum hold_stdin {
    HOLD_STDIN_NULL = 1, /* /dev/null */
    HOLD_STDIN_FILE,     /* `in` as it is: all of it was given at once */
    HOLD_STDIN_PIPE,     /* a pipe fed from `in`, which grows until HOLD_INPUT says it is whole */
};

/* What to run. Strings are NUL-terminated. */
struct hold_spec {
    uint64_t task_id;
    uint64_t timeout_us;       /* from the start; 0: none */
    uint64_t grace_us;         /* between SIGTERM and SIGKILL */
    uint64_t output_cap_bytes; /* a stream */
    uint64_t start_before_us;  /* wall clock of this host, 0: none; for the agent's queue, the hold ignores it */
    uint64_t boot;             /* of which boot of this host: for the agent, see task__adopt() */
    uint64_t stdin_given;      /* bytes of `in` that came with the command; what is sent later counts from there */
    uint32_t stdin_mode;       /* enum hold_stdin */
    const char *user;          /* "": the agent's own */
    const char *cwd;           /* "": the agent's own, or the user's home when there is a user */
    const char **argv;         /* NULL-terminated, at least one */
    const char **env;          /* "K=V", NULL-terminated */
};
/* Appends the file. 0, -EINVAL (no argv, a name too long, too many words) or -ENOBUFS. */
int hold_spec_write(const struct hold_spec *s, struct buf *out);
/* Reads a whole file. Strings borrow from @bytes; the two arrays are malloced: release with hold_spec_done(). 0, or -EBADMSG
 * and *@ret is all zero. */
int hold_spec_read(struct str bytes, struct hold_spec *ret);
void hold_spec_done(struct hold_spec *s);
DEFINE_AUTO_VALUE(struct hold_spec, hold_spec_done)

/* The child is running. */
struct hold_started {
    uint32_t pid;
    uint64_t at_us;      /* wall clock */
    uint64_t pid_ticks;  /* /proc/PID/stat start time: tells a recycled pid from ours */
};
void hold_started_write(const struct hold_started *s, uint8_t ret[STARTED_BYTES]);
/* 0 or -EBADMSG. */
int hold_started_read(struct str bytes, struct hold_started *ret);

/* How it ended. @outcome is enum task_outcome of wire/command.h (a number here: hold knows no vocabulary). */
enum { HOLD_EXITED = 1, HOLD_SIGNALED, HOLD_TIMED_OUT, HOLD_CANCELLED, HOLD_REFUSED, HOLD_LOST };
struct hold_end {
    uint32_t outcome;
    int32_t exit_code, signal;
    uint64_t started_at_us, finished_at_us;  /* wall clock */
    uint64_t stdout_bytes, stderr_bytes;     /* kept */
    uint64_t stdout_total, stderr_total;     /* produced */
    bool is_stdout_cut, is_stderr_cut;
    char message[END_MAX_MESSAGE];
};
/* Writes the whole file to @ret; returns its length (at most END_MAX_BYTES). */
size_t hold_end_write(const struct hold_end *e, uint8_t ret[END_MAX_BYTES]);
/* 0 or -EBADMSG. Bytes after the record are ignored: the file was made larger beforehand to have its block. */
int hold_end_read(struct str bytes, struct hold_end *ret);

/* The start time of a process from /proc/PID/stat, in clock ticks since boot; 0 when there is no such process. */
uint64_t hold_pid_ticks(uint32_t pid);

#endif
