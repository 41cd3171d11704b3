/* hold/proto.h - what the agent and muster-hold say to each other (SOCK_SEQPACKET, one message a packet, at most
 * HOLD_PACKET_MAX bytes, little-endian). All facts are also in files, so losing the socket loses nothing. Shared header: no code.
 *
 * At the start the hold gets one end of a socket pair as descriptor 3 (no race to connect), the locked lock file as
 * descriptor 4 (so there is no moment in which a running task looks abandoned) and the task's directory as descriptor 5 (its
 * path may be long, relative, or out of reach). An agent that comes later uses DIR/sock. */
#ifndef MUSTER_HOLD_PROTO_H
#define MUSTER_HOLD_PROTO_H

#include <stdint.h>

enum { HOLD_PACKET_MAX = 512, HOLD_VERSION = 1, HOLD_FD_AGENT = 3, HOLD_FD_LOCK = 4, HOLD_FD_DIR = 5 };

enum hold_kind {
    /* agent -> hold */
    HOLD_CANCEL = 1, /* u64 a = grace in us: SIGTERM to the group, then SIGKILL */
    HOLD_INPUT,      /* u64 a = bytes now in the file `in`, u64 b = 1 when that is all */
    HOLD_SIGNAL,     /* u64 a = signal number to the group */
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
