/* control/noun.h - what hangs on control beside hosts, jobs and people: one const value a noun, listed in nouns.c (private to
 * control/). A noun keeps its state behind c->noun[its place] and is told when a host goes. Loop thread. */
#ifndef MUSTER_CONTROL_NOUN_H
#define MUSTER_CONTROL_NOUN_H

#include "control/core.h"

struct noun {
    const char *name;
    /* Reads what is stored; 0 or -errno and @err. Runs after hosts, users, tokens and the heads of facts were read, before open jobs. */
    int (*load)(struct control *c, struct err *err);
    void (*free)(struct control *c);                                  /* also after a load that failed half way */
    void (*tick)(struct control *c, usec_t mono);                     /* every 250 ms; may be NULL, as all below */
    void (*host_gone)(struct control *c, uint64_t host_id);           /* forgotten: its rows go in the same unit */
    void (*host_decided)(struct control *c, uint64_t host_id);        /* approved, rejected or revoked */
    void (*host_linked)(struct control *c, uint64_t host_id, uint64_t other_id); /* what @other has is @host's now (its aliases and facts are already); @other goes next */
    /* A task of another kind than command took a step. Runs in the middle of the step: read, put rows, do not touch the task. */
    void (*task_changed)(struct control *c, const struct task *t);
    const char *dialect; /* of the agents that are in it, with the last: when the one of that name was heard last; 0: there is none */
    usec_t (*heard_at)(const struct control *c, struct str external_id);
};
/* The places in struct control's noun[], in load order. */
enum noun_place { NOUN_SESSIONS, NOUN_CREDENTIALS, NOUN_ACCENTS, NOUN_PORTS, NOUN_ASSETS, NOUN_REPORTS, NOUN_RUNS, NOUN_N };
_Static_assert((int)NOUN_N <= (int)NOUNS_MAX, "struct control has room for every noun");
extern const struct noun *const control__nouns[]; /* NULL-terminated */
extern const struct noun noun_sessions, noun_credentials, noun_accents, noun_ports, noun_assets, noun_reports, noun_runs;

/* Ids of object kinds: counted on from what the store had. */
uint64_t object__next(struct control *c, enum object_kind k);
int noun__load_all(struct control *c, struct err *err);
void noun__free_all(struct control *c);
void noun__tick(struct control *c, usec_t mono);
void noun__host_gone(struct control *c, uint64_t host_id);
void noun__host_decided(struct control *c, uint64_t host_id);
void noun__host_linked(struct control *c, uint64_t host_id, uint64_t other_id);
void noun__task_changed(struct control *c, const struct task *t);
/* The last word of the agent of that name; 0: no noun knows it. */
usec_t noun__heard_at(const struct control *c, const char *dialect, struct str external_id);

/* -- accents.c */
bool accent__can(const struct host *h, enum capability what);
/* Is @h known by this one name only, without a key of its own? What an accent's users may do to their agents they may do to such a host;
 * one that an operator linked is other people's too. */
bool accent__is_all(const struct host *h, const char *dialect, struct str external_id);
/* Takes the name off @h, which stays: the next sighting under it makes a new host. No such name: no-op. */
void accent__part(struct control *c, struct host *h, const char *dialect, struct str external_id);
/* What an accent's user may delete there goes: the host, when that name is all there is of it (ACCENT_HOST_GONE, and every noun has
 * heard so; @why for its events), else the name only (0). Or nothing goes: as enroll__may_leave(). The one way for accents to take
 * a name off a host because somebody asked for it. */
enum { ACCENT_HOST_GONE = 1 };
int accent__let_go(struct control *c, const struct principal *p, struct host *h, const char *dialect, struct str external_id,
                   const char *why, struct err *err);
/* Every name of @from, which has an accent, is @to's from now on. */
void accent__move(struct control *c, struct host *to, struct host *from);
/* What a host that has an accent is judged by; false: it has none. */
bool accent__rules(const struct host *h, struct presence_rules *ret);
/* Since when a pending one waits: its last register. */
usec_t accent__asked_at(const struct host *h);
/* -- sessions.c */
/* What the sessions of the user that are good carry (struct principal, session_mark). */
uint64_t session__mark(const struct control *c, uint64_t user_id);
/* Ends all there are by now, over restarts too. */
void session__end_all(struct control *c, uint64_t user_id);
/* -- credentials.c */
bool credential__still_holds(const struct control *c, uint64_t id);
/* -- reports.c: of two hosts that have a reporter each, was @other_id's heard last? */
bool reporter__is_newer(const struct control *c, uint64_t host_id, uint64_t other_id);
/* -- ports.c */
void ports__link_gone(struct control *c, const struct link *l);
void ports__wait_due(struct control *c, struct timer *t);
/* May a lease be wished for like this? 0 or -EINVAL field.range. */
int ports__check_lease(const struct ports_wish *w, struct err *err);
/* -- asset_agent.c: machines of @host_id are asked for their sections with their next beat, news or not. */
void asset__tell_again(struct control *c, uint64_t host_id);
/* -- inventory.c: DELTA_TAKE, DELTA_TAKE_SAME, DELTA_RESYNC; -ENOENT: no such section. */
int inventory__take(struct control *c, struct host *h, const struct section_delta *d, bool is_blind);
const struct section_mark *inventory__mark(const struct host *h, uint8_t section);
/* What is recorded of @from is @to's from now on; of a section that both have, @from's when its accent tells it better (fleet/teller.h) or, where
 * they are equals, when it @is_newer; else that stays with @from. Where @to has an agent of ours, what was told keeps a name of its own. */
void inventory__move(struct control *c, struct host *to, struct host *from, bool is_newer);
/* -- enroll.c */
void enroll__decide(struct control *c, struct host *h, enum host_state to, const char *by);
/* enroll_let_go() for @p: the right to forget is a role of his own (of an accent's key: what its scope says); a decision is his own where he
 * has logged in. 0 or -EACCES; not audited, the verb knows what it was about. */
int enroll__may_leave(struct control *c, const struct principal *p, const struct host *h, struct err *err);
/* -- output.c: of one of our streams, and not too long. What is new in @f is kept; false: a gap before it. */
bool output__is_sound(const struct output_frame *f);
bool output__take(struct control *c, struct task *t, const struct output_frame *f);
/* -- command.c: jobs.c takes an offer back that a host may fetch but has not acknowledged. */
void poll__take_back(struct control *c, struct task *t);
/* Only commands travel down links; other kinds are fetched (poll.c). */
static inline bool task__is_fetched(const struct task *t)
{
    return t->job->spec.kind != JOB_KIND_COMMAND;
}
bool command__has_window(const struct job *j);
/* -- tasks.c */
enum task_outcome task__agents_outcome(enum task_outcome o);

#endif
