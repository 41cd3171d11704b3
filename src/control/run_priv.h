/* control/run_priv.h - the state of runs: private to runs.c and run_*.c. Loop thread.
 *
 *   book ── runs (by number, by batch id; the living ones chained) ── items, commands
 *        ── agents, commands (by number, by uuid) · shares · recipients · addresses · snapshots (counted)
 *
 * Every row's strings belong to the row (run__own(), run__drop()): a member is changed with run__set(). */
#ifndef MUSTER_CONTROL_RUN_PRIV_H
#define MUSTER_CONTROL_RUN_PRIV_H

#include <stdio.h>

#include "control/noun.h"
#include "control/runs.h"

enum {
    RUNS_MAX = 50000,
    RUNS_PER_OWNER = 5000,
    RUN_ITEMS_MAX = 1000, /* of one run */
    RUN_ITEMS_TOTAL = 400000,
    RUN_BYTES_PER_OWNER = 128 << 20, /* rows, items and snapshots, as they are kept in memory */
    RUN_BYTES_MAX = 1 << 30,
    RUN_COMMANDS_KEPT = 16, /* of one run: the newest */
    RUN_AGENTS_MAX = 20000,
    RUN_AGENTS_PER_OWNER = 1000,
    RUN_SHARES_MAX = 20000,
    RUN_SHARES_PER_OWNER = 1000, /* so that nobody takes all there are */
    RUN_RECIPIENTS_MAX = 20000,
    RUN_RECIPIENTS_PER_OWNER = 1000,
    RUN_RECENT_EVENTS = 16384, /* ids remembered without asking the store */
    RUN_LOCKS_MAX = 4096,      /* names with a wrong password lately */
    RUN_REASON_MAX = 1024,
    RUN_ROOM_LEAST = 4096, /* what a run or an item may take beside its large texts */
};

struct run_snapshot {
    uint64_t id;
    uint32_t n_refs;
    uint64_t charged_to; /* whose room it takes, @bytes of it; 0 bytes: nobody's yet */
    size_t bytes;
    struct run_snapshot_row row;
    UT_hash_handle hh;
};
struct run_item {
    uint64_t id;
    struct run_item_row row;
    size_t bytes; /* charged to the run's owner */
    UT_hash_handle hh; /* by item_id, in its run */
};
struct run_command {
    uint64_t id;
    struct run *run;
    struct run_command_row row;
    char uuid[UUID_TEXT_MAX];        /* "" until it has a task */
    bool is_delivered;               /* the agent has (perhaps) seen it */
    struct run_command *prev, *next; /* of the run, oldest first */
    UT_hash_handle hh_uuid, hh_task;
};
struct run {
    uint64_t id;
    struct run_row row;
    struct run_snapshot *snapshot;
    struct run_item *items;
    struct run_command *commands;
    uint32_t n_commands;
    size_t bytes;            /* charged to its owner: the row alone */
    bool is_stop_due;        /* its command was taken back after the agent saw it: the tick asks for a stop */
    usec_t over_mono;        /* when it was over */
    struct run *prev, *next; /* newest last */
    UT_hash_handle hh, hh_id;
};
struct run_agent {
    uint64_t id;
    struct run_agent_row row;
    usec_t saved_mono;
    UT_hash_handle hh; /* by agent_id */
};
struct run_share_entry {
    uint64_t id;
    struct run_share_row row;
    struct run_share_entry *prev, *next;
};
struct run_recipient {
    uint64_t id;
    struct run_recipient_row row;
    struct run_recipient *prev, *next;
};
struct person_email {
    uint64_t user_id;
    struct person_email_row row;
    UT_hash_handle hh;
};
struct run_waiter {
    uint64_t agent;
    usec_t until;
    void (*wake)(void *ctx);
    void *ctx;
};
struct run_recent {  /* an event id seen lately */
    uint8_t key[24]; /* owner, uuid */
    uint64_t number;
    UT_hash_handle hh;
};
struct run_lock {
    char name[LIMIT_NAME + 1];
    uint32_t n_wrong;
    usec_t until, since; /* mono */
    UT_hash_handle hh;
};
struct run_book {
    struct run *by_batch, *by_id, *all;
    uint32_t n_items;
    struct run_snapshot *snapshots;
    struct run_command *by_uuid, *by_task;
    struct run_agent *agents;
    struct run_share_entry *shares;
    uint32_t n_shares, n_recipients;
    struct run_recipient *recipients;
    struct person_email *emails;
    VEC(struct run_waiter) waiters;
    struct run_recent *recent; /* oldest first */
    struct run_lock *locks;
    struct run_owner *owners; /* who takes how much */
    size_t bytes;             /* all of them together */
    usec_t tick_at;
};
static inline struct run_book *run__book(const struct control *c)
{
    return c->noun[NOUN_RUNS];
}

/* -- runs.c: rows and indexes */
void run__own(const struct record *rec, void *row);
void run__drop(const struct record *rec, void *row);
/* @s cleaned (one line of text) and cut to @max. True if it changed. */
bool run__set(struct control *c, struct str *member, struct str s, size_t max);
/* @s as it is. */
void run__set_raw(struct str *member, struct str s);
size_t run__json_len(struct str s);
struct run *run__by_id(const struct control *c, uint64_t id);
struct run *run__by_batch(const struct control *c, struct str batch_id);
/* A new one, filed; NULL and run.too_many when its owner has too many that are not over. One that is over may go for it, @keep never. */
struct run *run__new(struct control *c, struct str batch_id, uint64_t owner_id, const struct run *keep, struct err *err);
void run__put(struct control *c, struct run *r);
void run__put_often(struct control *c, struct run *r);
/* Room for @more bytes of @owner_id's runs: the oldest that are over go until there is, @keep never. False and run.too_many: there is none. */
bool run__make_room(struct control *c, uint64_t owner_id, size_t more, const struct run *keep, struct err *err);
void run__item_changed(struct control *c, const struct run *r, struct run_item *i);
/* Takes the input: state, end time, reason; puts, publishes. */
struct run_step run__input(struct control *c, struct run *r, enum run_input in, const char *reason);
struct run_snapshot *run__snapshot_new(struct control *c, uint64_t owner_id, const struct run_snapshot_row *row);
void run__snapshot_set(struct control *c, struct run *r, struct run_snapshot *s);
/* One row of the run's history; @data JSON or empty. Returns its number. */
uint64_t run__history(struct control *c, const struct run *r, enum run_event_type t, const char *by, struct str data);
int run__refused(struct control *c, const struct principal *p, const char *verb, struct str target, const struct err *err);
void run__audit(struct control *c, const struct principal *p, const char *verb, struct str target, const struct details *d);

/* -- run_room.c */
size_t run__bytes(const struct record *rec, const void *row);
/* @owner_id takes @bytes for what took *@member so far; *@member says so from now on. */
void run__charge(struct control *c, uint64_t owner_id, size_t *member, size_t bytes);
bool run__has_room(const struct control *c, uint64_t owner_id, size_t more);
bool run__is_full(const struct control *c, size_t more);

/* -- run_access.c */
enum run_right run__right(struct control *c, const struct principal *p, const struct run *r);
/* What of the shares and lists is about one person, for asking about many runs: found in one walk. Valid until one of them changes. */
struct run_reach {
    VEC(const struct run_share_entry *) shares;
    VEC(const struct run_recipient *) lists;
};
void run__reach(const struct control *c, const struct principal *p, struct run_reach *ret);
void run__reach_done(struct run_reach *reach);
DEFINE_AUTO_VALUE(struct run_reach, run__reach_done)
enum run_right run__right_in(struct control *c, const struct principal *p, const struct run_reach *reach, const struct run *r);
bool run__is_owner(const struct principal *p, uint64_t owner_id);
/* The run, if @p has at least @least of it; else NULL, audited, and run.unknown or run.denied. */
struct run *run__for(struct control *c, const struct principal *p, struct str batch_id, enum run_right least, const char *verb,
                     struct err *err);
int run__load_access(struct control *c, struct err *err);
void run__free_access(struct control *c);
void run__unshare_all(struct control *c, const struct run *r);

/* -- run_agents.c */
int run__load_agents(struct control *c, struct err *err);
void run__free_agents(struct control *c);
struct run_agent *run__agent(const struct control *c, uint64_t id);
usec_t run__agent_heard_at(const struct control *c, struct str agent_id); /* for the noun's table */
/* The best one for @r's command of @kind; NULL: nobody. */
struct run_agent *run__route(struct control *c, const struct run *r, enum run_command_kind kind);
/* Is there one that would serve @r, and is one of those online? */
void run__serving(struct control *c, const struct run *r, bool *ret_any, bool *ret_online);
bool run__agent_lives(struct control *c, const struct run_agent *a);
void run__agent_host_gone(struct control *c, uint64_t host_id);
void run__agent_host_decided(struct control *c, uint64_t host_id);
void run__agent_host_linked(struct control *c, uint64_t host_id, uint64_t other_id);
void run__wake(struct control *c, uint64_t agent_id);

/* -- run_commands.c */
int run__load_commands(struct control *c, struct err *err);
void run__command_drop(struct control *c, struct run_command *cmd);
struct run_command *run__command_new(struct control *c, struct run *r, enum run_command_kind kind, const char *by);
void run__command_put(struct control *c, const struct run_command *cmd);
/* As a job on the agent's host. 0; or -errno: nothing was made. */
int run__command_send(struct control *c, struct run_command *cmd, struct run_agent *a, const struct principal *p, struct err *err);
/* Neither its agent nor the server has anything to do with it any more: a cancelled rerun that may have begun has, until its end is told. */
bool run__command_is_closed(struct control *c, const struct run_command *cmd);
/* The newest of the kind in one of the states up to pending; NULL. */
struct run_command *run__command_open(const struct run *r, enum run_command_kind kind);
struct run_command *run__command_newest(const struct run *r, enum run_command_kind kind);
void run__command_cancel(struct control *c, struct run_command *cmd, const char *why);
void run__task_changed(struct control *c, const struct task *t);
void run__commands_tick(struct control *c, usec_t mono);
/* Nobody says any more how @r ended: the jobs of what was started of it end as lost. */
void run__commands_give_up(struct control *c, struct run *r, const char *why);
/* An agent is there: what waits for one like it goes to it. */
void run__deliver_waiting(struct control *c, struct run_agent *a);
/* What a rerun of @r would run; empty: nothing. */
struct str run__command_text(const struct run *r);

/* -- run_actions.c */
void run__stop_now(struct control *c, struct run *r, const struct principal *p);
/* As whoever has @right sees it. */
void run__view(struct control *c, enum run_right right, const struct run *r, struct run_view *ret);
/* -- run_events.c, run_tokens.c */
void run__recent_free(struct control *c);
void run__locks_free(struct control *c);

#endif
