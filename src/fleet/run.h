/* fleet/run.h - a run: a piece of work somebody's script reports on, and how a host's agent starts it again or stops it. Pure.
 *
 *        requested ──ack,start──▸ running ◂──▸ stalled
 *            │                      │ stop        │
 *            ▼ stop, nothing left   ▼             │ done, failed, exit
 *        cancelled               stopping ─▸ stopped   ▸ done / failed
 *
 * Who may look at and touch one, which agent serves it and when an agent counts as online are rules here too. The time is an
 * argument everywhere. */
#ifndef MUSTER_FLEET_RUN_H
#define MUSTER_FLEET_RUN_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/names.h"
#include "base/str.h"
#include "base/uuid.h"

enum {
    RUN_ID_MAX = 128,
    RUN_NAME_MAX = 256,
    RUN_PROJECT_MAX = 128,
    RUN_ITEM_ID_MAX = 256,
    RUN_COMMAND_MAX = 128 << 10,
    RUN_OVERRIDES_MAX = 64 << 10,
    RUN_LOG_TAIL_MAX = 16 << 10,
    RUN_LABEL_MAX = 64,
};

/* Numbers are on disk. */
enum run_state {
    RUN_REQUESTED = 1, /* a rerun was asked for, nothing runs yet */
    RUN_PENDING,       /* known, not started */
    RUN_RUNNING,
    RUN_STALLED,  /* running as far as we know, but silent */
    RUN_STOPPING, /* an operator wants it to end; only its end ends this */
    RUN_STOPPED,
    RUN_CANCELLED, /* never left */
    RUN_DONE,
    RUN_FAILED,
};
extern const struct name run_state_names[];

enum run_input {
    RUN_IN_START,      /* the script says it starts */
    RUN_IN_NEWS,       /* any other word of the script */
    RUN_IN_DONE,       /* the script: finished */
    RUN_IN_FAILED,     /* the script: failed */
    RUN_IN_ACK,        /* the agent: started */
    RUN_IN_NACK,       /* the agent: could not start it; may be asked for again */
    RUN_IN_EXIT_OK,    /* the agent: its process ended with 0 */
    RUN_IN_EXIT_BAD,   /* ... otherwise */
    RUN_IN_STOP,       /* an operator wants it to end, and something may be running */
    RUN_IN_STOP_EARLY, /* the same while the command never left the server */
    RUN_IN_NOT_HERE,   /* the agent: nothing of it runs here (to a stop) */
    RUN_IN_UNWANTED,   /* the command that was to start it is gone: cancelled, expired, its host forgotten */
    RUN_IN_SILENCE,    /* not a word for too long, by the server's clock */
    RUN_IN_N,
};

struct run_step {
    enum run_state to;
    bool legal;   /* false: refuse, nothing changes */
    bool is_same; /* nothing to record */
};
/* The table. Repeats of what is true already are legal. A stop that was asked for is not undone by a start and turns every end
 * into stopped; what ended is not ended again (a start of the same run begins it anew, save a done one). Illegal: to stop nothing
 * (see run_may_stop()), values outside the enums. */
struct run_step run_step(enum run_state from, enum run_input in);
bool run_is_over(enum run_state s);
/* running, stalled, requested, pending: a stop means something. */
bool run_may_stop(enum run_state s);
/* done, failed, cancelled, stopped: it may be started again. */
bool run_may_rerun(enum run_state s);
struct run_repeat { /* a rerun of the same run that was asked for before, and a new wish for one */
    enum run_state state;
    bool is_open;        /* the agent has not acknowledged its command, or has not even fetched it */
    bool is_same_person; /* who asked for both */
    bool is_same_wish;   /* with the same overrides and name */
};
/* Is the new wish the old one again: a second click, a request that was sent twice? Never another person's: that would lose what one of
 * the two wants. While the agent has not acknowledged it, whatever the wish says; while it runs if the wish is the same, because the
 * agent may have begun between the two. How much time passed does not matter. A stop, a refusal of the agent, silence or an end makes
 * room for another. */
bool run_is_repeat(const struct run_repeat *r);
/* Silence after which a running one is stalled, and a stopping one given up: three heartbeats of a script (300 s) missed. */
#define RUN_SILENCE (15 * USEC_PER_MIN)

/* -- items: the parts of a run that its script tells about */
enum run_item_class { RUN_ITEM_OPEN, RUN_ITEM_GOOD, RUN_ITEM_BAD };
/* By its status word, in lower case: failed, error, ... are bad; pending, running, ... open; everything else good. */
enum run_item_class run_item_class_of(struct str status);

/* -- what a script tells */
enum run_event_type {
    RUN_EVENT_BATCH_START = 1, RUN_EVENT_BATCH_DONE, RUN_EVENT_BATCH_FAILED,
    RUN_EVENT_JOB_START, RUN_EVENT_JOB_EPOCH, RUN_EVENT_JOB_DONE, RUN_EVENT_JOB_FAILED,
    RUN_EVENT_RESOURCE, RUN_EVENT_LOG, RUN_EVENT_SNAPSHOT,
    RUN_EVENT_RERUN, RUN_EVENT_STOP, RUN_EVENT_EXIT, /* written by the server only */
};
extern const struct name run_event_names[];         /* as on the wire: those a script may send */
extern const struct name run_event_history_names[]; /* and our own */
bool run_event_is_of_item(enum run_event_type t);

/* -- commands for an agent. Numbers are on disk. */
enum run_command_kind { RUN_COMMAND_RERUN = 1, RUN_COMMAND_STOP };
extern const struct name run_command_kind_names[]; /* rerun stop */
enum run_command_state {
    RUN_COMMAND_WAITING = 1, /* no agent yet */
    RUN_COMMAND_PENDING,     /* a job of the fleet; delivered until acknowledged */
    RUN_COMMAND_STARTED,
    RUN_COMMAND_FAILED,
    RUN_COMMAND_CANCELLED,
    RUN_COMMAND_EXITED,
};
extern const struct name run_command_state_names[];
/* A command without an agent is delivered to one that registers within this. */
#define RUN_DELIVER_WITHIN USEC_PER_DAY
/* Its id on the wire: made from the task's id, so that it is the same after a restart, and the fleet's secret, so that ids cannot be
 * guessed. */
void run_command_uuid(const uint8_t secret[32], uint64_t task_id, char ret[UUID_TEXT_MAX]);

/* -- agents */
enum run_agent_badge { RUN_AGENT_ONLINE = 1, RUN_AGENT_STALE, RUN_AGENT_OFFLINE };
extern const struct name run_agent_badge_names[];
/* Three heartbeats of 30 s; then a quarter of an hour. */
#define RUN_ONLINE_WITHIN (90 * USEC_PER_SEC)
#define RUN_STALE_WITHIN (15 * USEC_PER_MIN)
enum run_agent_badge run_agent_badge_at(usec_t last_seen, usec_t now);

struct run_route { /* what a choice among agents needs to know of one */
    uint64_t owner_id;
    struct str hostname, label;
    bool is_shared, can_do; /* marked by an admin; its token lives and it has the capability */
    usec_t last_seen;
};
struct run_target { /* and of the run */
    uint64_t owner_id;
    struct str host, os_user;
};
/* May @a serve @t at all: same host name, same owner (or shared), a label that is the run's OS user or none. */
bool run_agent_serves(const struct run_route *a, const struct run_target *t);
/* Both serve: is @a the better choice? Label before none, own before shared, newest last. */
bool run_agent_is_better(const struct run_route *a, const struct run_route *b);
/* The NAME of a capability "label=NAME": [A-Za-z0-9_.@-]{1,64}; else {NULL,0}. */
struct str run_label_of(struct str capability);

/* -- who may */
enum run_right { RUN_RIGHT_NONE, RUN_RIGHT_SEE, RUN_RIGHT_EDIT, RUN_RIGHT_OWN };
enum run_share { RUN_SHARE_NONE, RUN_SHARE_VIEWER, RUN_SHARE_EDITOR };
extern const struct name run_share_names[]; /* viewer editor */
struct run_standing { /* of one person towards one run */
    bool is_owner, is_admin;
    bool is_agents_owner;         /* it is another's copy of a run of theirs, which their agents run */
    enum run_share share;         /* the best of those on the run and on (owner, project) */
    bool is_recipient;            /* a verified address in the project's list */
    bool is_recipient_enabled;
    bool is_read_only;            /* came with a viewer's token */
};
/* Owner and admin own; an editor's share, an enabled recipient and whose agents run it edit; a viewer's share or a disabled recipient
 * see. A viewer's token never does more than see. */
enum run_right run_right_of(const struct run_standing *s);

/* -- words that come from people and scripts */
/* 1..@max bytes of UTF-8 without control characters. */
bool run_text_is_acceptable(struct str s, size_t max);
/* local@domain, one at sign, no blanks, at most 254 bytes. */
bool run_email_is_acceptable(struct str s);

#endif
