/* hold/hold.h - the state of one muster-hold: one task, one child. Single thread. */
#ifndef MUSTER_HOLD_HOLD_H
#define MUSTER_HOLD_HOLD_H

#include <sys/types.h>

#include "hold/proto.h"
#include "hold/spec.h"

enum {
    HOLD_CONNS = 4,                /* agents; more than one only while an old one is dying */
    HOLD_STATE_EVERY_US = 20000,
    HOLD_DRAIN_US = 500000,        /* output is read this long after the command itself has ended, if others keep it open */
    HOLD_REAP_US = 2000000,        /* after SIGKILL, for what it left behind */
    HOLD_STATUS_RESERVE = 512,
};

/* One output: pipe in, file out. */
struct hold_stream {
    int pipe, file;
    uint64_t kept, total;
    bool is_cut;
};

enum hold_stop { STOP_NONE, STOP_TIMEOUT, STOP_CANCEL, STOP_SHUTDOWN };

struct hold {
    int dir_fd, lock_fd, listen_fd, signal_fd, error_fd;
    int conns[HOLD_CONNS];
    void *map;                     /* the spec file */
    size_t map_len;
    struct hold_spec spec;

    pid_t pid;                     /* of the child, also its process group */
    bool is_started, has_exited, is_refused, has_children;
    int wait_status;
    uint64_t started_at_us;        /* wall */
    uint64_t timeout_at, kill_at, drain_until, give_up_at; /* monotonic us; 0: not set */
    enum hold_stop stop;
    bool is_killed;
    char message[END_MAX_MESSAGE];

    struct hold_stream streams[2];
    int in_pipe, in_file;
    uint64_t in_at, in_size;
    bool is_in_whole;

    bool is_state_due, is_done;
    uint64_t state_sent_at;
};

/* -- serve.c: the socket */
/* Makes DIR/sock. A failure only costs re-adoption by socket: files still tell the end. */
void hold_listen(struct hold *h);
void hold_accept(struct hold *h);
/* Takes what agent @i says. */
void hold_receive(struct hold *h, int i);
/* Tells every agent, if it is due; returns when to come back (monotonic us), 0: not needed. */
uint64_t hold_tell(struct hold *h, uint64_t now);

/* -- end.c: the last things */
/* Writes `started`. */
void hold_note_start(struct hold *h);
/* Writes `status`, tells the agents, then makes it all durable. */
void hold_finish(struct hold *h);

/* -- main.c */
uint64_t hold_now(void);   /* CLOCK_BOOTTIME in us */
uint64_t hold_wall(void);
/* Begins to end the command: SIGTERM now, SIGKILL after @grace_us. Only the first reason counts. */
void hold_stop(struct hold *h, enum hold_stop why, uint64_t grace_us);
void hold_signal(struct hold *h, int signo);

#endif
