/* hold/proto.h - what the agent and muster-hold say to each other (SOCK_SEQPACKET, one message a packet, at most
 * HOLD_PACKET_MAX bytes, little-endian). All facts are also in files, so losing the socket loses nothing. Shared header: no code.
 *
 * `muster-hold --wait` is born without a task, with one end of a socket pair as descriptor 3 (no race to connect), and gets its task
 * by HOLD_GO, with two descriptors: the task's directory (its path may be long, relative, or out of reach) and the locked lock file
 * (so there is no moment in which a running task looks abandoned). Thus it starts while the agent makes the intent durable, or
 * earlier: a busy agent keeps one waiting. Without HOLD_GO it ends as soon as the agent does. Later agents use DIR/sock. */
#ifndef MUSTER_HOLD_PROTO_H
#define MUSTER_HOLD_PROTO_H

#include <stdint.h>

enum { HOLD_PACKET_MAX = 512, HOLD_VERSION = 1, HOLD_FD_AGENT = 3 };

enum hold_kind {
    /* agent -> hold */
    HOLD_CANCEL = 1, /* u64 a = grace in us: SIGTERM to the group, then SIGKILL */
    HOLD_INPUT,      /* u64 a = bytes now in the file `in`, u64 b = 1 when that is all */
    HOLD_SIGNAL,     /* u64 a = signal number to the group */
    HOLD_GO,         /* to a waiting hold, with the descriptors of directory and lock: u64 a = task id */
    HOLD_RESIZE,     /* u64 a = columns, u64 b = rows (terminals) */
    /* hold -> agent */
    HOLD_STATE = 64, /* struct hold_state: on connect and on each change, at most every 20 ms */
};
struct hold_head {
    uint32_t kind;
    uint32_t len; /* of what follows the head */
    uint64_t a, b;
};
struct hold_state {
    uint64_t stdout_bytes, stderr_bytes; /* in the files */
    uint64_t stdout_total, stderr_total; /* produced */
    uint64_t started_at_us;
    uint32_t pid;
    uint32_t is_done;                    /* status file is written */
};

#endif
