/* control/core.h - what hangs on struct control: private to this folder, loop thread only.
 *
 *   control ── hosts (by id; uuid, key and name indexes) ── link (while connected)
 *           ── open jobs (by id) ── tasks (one array a job; chained per host while unfinished)
 *           ── users, api tokens, install tokens
 *           ── parked callbacks, timers, subscriptions
 *
 * Closed jobs and their tasks are in the store only. Two kinds of change are written once a turn, however
 * often they happened in it: task rows and seen rows (see control__flush()). */
#ifndef MUSTER_CONTROL_CORE_H
#define MUSTER_CONTROL_CORE_H

#define LOG_TARGET "control"

#include <assert.h>
#include <errno.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/slot.h"
#include "base/vec.h"
#include "control/commit.h"
#include "control/control.h"
#include "control/reads.h"
#include "control/verbs.h"
#include "fleet/capability.h"
#include "fleet/credential.h"

/* Names and keys come from peers: the tables' hash has a secret. */
extern uint8_t control__hash_key[16];
#define HASH_FUNCTION(keyptr, keylen, hashv)                                                                 \
    ((hashv) = (unsigned)siphash(control__hash_key, str_bytes((keyptr), (keylen))))
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <uthash.h>
#include <utlist.h>
#pragma GCC diagnostic pop

/* -- timers.c: a heap of what is due, ordered by monotonic time. Embedded in its owner; all-zero is unarmed.
 */
enum timer_kind { TIMER_HOST, TIMER_LINK, TIMER_JOB, TIMER_ASK, TIMER_WAIT };
struct timer {
    usec_t at;
    uint32_t place; /* in the heap + 1; 0: not armed */
    uint8_t kind;
};
struct timers {
    struct timer **v;
    size_t n, cap;
};
/* (Re)arms for @at; USEC_NEVER disarms. */
void timers_set(struct timers *ts, struct timer *t, usec_t at);
void timers_drop(struct timers *ts, struct timer *t);
/* The earliest one due at @now, disarmed; NULL: none. */
struct timer *timers_pop(struct timers *ts, usec_t now);
void timers_done(struct timers *ts);

/* -- hosts */
/* Half a digest tells apart what a host sends by chance or by mistake; the store checks the whole when it
 * folds. */
enum { MARK_LEN = SHA256_LEN / 2 };
struct section_mark {
    uint8_t section, status;
    uint8_t digest[MARK_LEN];
};
struct link {
    uint64_t id;
    struct host *host;
    uint64_t generation;
    usec_t since;          /* wall */
    uint32_t resync_asked; /* bit per section: asked, not yet answered in full */
    bool is_welcomed;      /* its welcome left: other messages may follow */
    bool is_acking;        /* an ack is due at the flush */
    bool is_leaving; /* its agent took leave */
    bool is_paused;
    bool is_throttled;    /* over a rate: reading resumes when its timer fires */
    bool is_store_paused; /* the store is behind */
    uint8_t ports;        /* enum offer: does its agent scan ports */
    struct bucket messages, bytes;
    struct timer timer;
    UT_hash_handle hh;
};
struct host {
    uint64_t id;
    char uuid[37];
    uint8_t state, presence; /* enum host_state, enum presence */
    bool has_beat : 1, is_seen_dirty : 1; /* one byte more here is 16 of each host */
    bool has_left; /* its agent took leave, and nothing was heard since; see has_left() */
    bool is_lost_kept; /* it is lost, and a restart of the server is to know */
    uint8_t n_sections;
    uint8_t poll_step; /* of a pending request: how often it asked */
    uint32_t peer_mark; /* of the address that is stored; 0: none is */
    uint8_t fingerprint[SHA256_LEN];
    char *name;
    const char *dialect; /* interned */
    struct host_claims *claims;
    struct kv_list *labels;                /* operator's; never NULL */
    const char *decided_by;                /* interned; NULL: nobody */
    char *clone_note, *peer, *cert_serial; /* NULL: none */
    char *decided_why;                     /* an operator's words, for the host to hear; NULL: none */
    usec_t created_at, decided_at, cert_not_after;
    usec_t last_seen, last_beat; /* wall */
    usec_t seen_mono, saved_mono, grace_mono;
    uint64_t token_id, spool_epoch, acked_seq;
    struct heartbeat beat;
    const char *roles; /* interned, fleet/role_health.h; NULL: nothing was said */
    struct link *link;
    struct task *tasks;    /* unfinished ones, in order of creation */
    uint32_t n_inflight;   /* of them offered, accepted or running, over its link */
    uint32_t n_active;     /* of them accepted or running */
    uint32_t mark;         /* of the last job's targets that named it */
    uint32_t changed_mask; /* sections changed since the last inventory.changed */
    usec_t changed_mono;
    struct section_mark *sections;
    struct accent *accent; /* known through a foreign accent (too); NULL: native only */
    struct bucket hellos;
    struct timer timer; /* pending: expiry; else presence, seen, inventory.changed */
    UT_hash_handle hh_uuid, hh_key, hh_name;
};

/* -- jobs */
/* UNSENT: marked offered, the offer waits for the disk or the welcome. NEWS: its start was not told yet. */
enum {
    TASK_F_DIRTY = 1,
    TASK_F_ACK = 2,
    TASK_F_UNSENT = 4,
    TASK_F_NEWS = 8,
    TASK_F_LISTED = 16,
    TASK_F_IN_HAND = 32,
    TASK_F_SEEN = 64, /* it was offered and started on one link: we saw the start when it was */
};
struct task {
    uint64_t id;
    struct job *job;
    struct host *host;        /* NULL once the host was forgotten */
    struct task *prev, *next; /* of the host, while unfinished */
    usec_t offered_at, started_at, finished_at;
    uint64_t taken[2]; /* next offset wanted of stdout, stderr */
    int32_t exit_code;
    uint8_t state, outcome;
    uint8_t signal, flags;
};
struct sub_list { /* a VEC with a name */
    uint64_t *v;
    size_t n, cap;
};
struct job {
    uint64_t id;
    struct arena *arena; /* what the strings below live in */
    struct str principal, idem_key, stdin_data;
    uint8_t idem_hash[SHA256_LEN];
    struct job_spec spec;
    usec_t created_at, deadline, finished_at;
    usec_t cancel_grace;
    bool cancel_requested, is_ended, is_late; /* late: the deadline has passed */
    struct job_counts counts;
    struct task *tasks; /* ascending ids */
    uint32_t n_tasks, cursor;
    struct sub_list subs;
    struct buf input; /* kept for hosts that connect later */
    uint64_t input_base, input_next;
    bool input_known, input_eof;
    char *key_text; /* principal NUL key: index of idempotency keys */
    struct timer timer;
    UT_hash_handle hh_key;
};

/* -- people */
struct user {
    uint64_t id;
    char *name, *password_hash;
    enum role_level role;
    bool is_disabled;
    usec_t created_at;
    UT_hash_handle hh;
};
struct api_token {
    uint64_t id, user_id;
    uint8_t hash[SHA256_LEN];
    char *name, *scope, *created_by;
    char hint[8];
    usec_t created_at, expires_at, last_used;
    usec_t used_mono; /* last_used was written then */
    bool is_revoked;
    UT_hash_handle hh, hh_id;
};
struct token { /* install token */
    struct install_token t;
    uint8_t code_hash[SHA256_LEN];
    struct kv_list *labels;
    char *created_by, *note;
    usec_t created_at;
    UT_hash_handle hh, hh_id;
};

struct parked {
    uint64_t ticket;
    usec_t since; /* mono */
    commit_fn fn;
    void *arg;
};
struct sub {
    sub_fn fn;
    void *ctx;
    uint64_t job_id;
};
/* A question to an agent. */
struct ask {
    uint64_t id, link_id, host_id;
    inventory_fn done;
    void *ctx;
    struct timer timer;
    struct ask *prev, *next;
};
struct intern_entry {
    uint32_t n_refs, len;
    UT_hash_handle hh;
    char text[];
};

enum { KEY_EPOCHS = 256, NOUNS_MAX = 16 };
/* Held by what comes back after control may be gone: reads that are out, work in the pool. */
struct life {
    struct control *c; /* NULL: gone */
    uint32_t n_refs;
};
struct control {
    struct control_conf conf;
    struct life *life;
    struct store *store;
    const struct link_ops *links;
    struct store_next next; /* ids to give out */
    uint8_t audit_head[SHA256_LEN];
    struct control_stats stats;
    usec_t started_mono;
    bool is_stopping, was_unhealthy, is_dead; /* dead: being freed */

    char *fleet, *ca_pem, *ca_key_pem, *server_cert_pem, *server_chain_pem, *server_key_pem;
    struct control_identity identity;

    VEC(struct host *) hosts;   /* ascending ids */
    VEC(struct host *) by_name; /* rebuilt when asked for after a change */
    bool by_name_is_stale;
    struct host *host_uuids, *host_keys, *host_names;
    uint32_t n_pending;
    struct intern_entry *interned;
    struct link *all_links;
    uint64_t generation;
    usec_t beat_every; /* told to agents */
    struct presence_rules rules;
    struct {
        usec_t newest, at; /* wall: what is the last known of the server before, at this start, and when that was */
    } woke;

    VEC(struct job *) jobs; /* open ones, ascending ids and task ids */
    struct job *job_keys;
    uint32_t key_epoch[KEY_EPOCHS];
    uint64_t n_open_tasks;
    uint32_t n_wishes, target_mark; /* creations that wait for a read */

    struct user *users;
    struct api_token *api_tokens, *api_token_ids;
    struct token *tokens, *token_ids;
    uint32_t n_hashing; /* passwords in the pool */

    VEC(struct parked) parked;
    size_t parked_head, parked_ticketed;
    bool is_releasing, is_flushing;
    VEC(struct task *) dirty_tasks;
    VEC(struct host *) dirty_hosts;

    struct slots *subs;
    struct sub_list event_subs, audit_subs;

    struct timers timers;
    struct ask *asks;
    uint64_t next_ask;
    uint32_t n_asks;
    struct admission *admission;
    struct refusals *refusals;
    struct bucket enroll_bucket, connect_bucket;
    usec_t retain_at; /* mono */
    bool is_retaining;
    struct arena *scratch; /* reset by whoever builds a row from foreign text */
    char *lent_cert;
    void *noun[NOUNS_MAX]; /* by enum noun_place (noun.h) */
    uint64_t next_object[OBJECT_KINDS];
    uint32_t n_paused;
    char fingerprints[4][8 + 2 * SHA256_LEN]; /* lent by the last four views */
    uint32_t fingerprint_turn;
};

/* -- time. Monotonic plus a day, so that "a while ago" is never negative and 0 stays "never". */
static inline usec_t control__mono(const struct control *c)
{
    return clock_mono(c->conf.clock) + USEC_PER_DAY;
}
static inline usec_t control__wall(const struct control *c)
{
    return clock_wall(c->conf.clock);
}
/* When @wall will be, by the monotonic clock. */
static inline usec_t control__mono_at(const struct control *c, usec_t wall)
{
    usec_t now = control__wall(c);
    return control__mono(c) + (wall > now ? wall - now : 0);
}
static inline struct link_id link__id(const struct link *l)
{
    return (struct link_id){ l->id };
}

static inline struct life *life_ref(struct control *c)
{
    c->life->n_refs++;
    return c->life;
}
/* Gives the reference back; control, or NULL when it is gone. */
static inline struct control *life_unref(struct life *l)
{
    struct control *c = l->c;
    if (--l->n_refs == 0)
        free(l);
    return c;
}

/* -- commit.c */
/* Writes what changed this turn and is written once: task rows, seen rows; parks their acks and publications.
 */
void control__flush(struct control *c);
void control__parked_drop(struct control *c);

/* -- text.c: foreign text made fit to keep; packed copies */
/* @s if it is UTF-8 without control characters and at most @max bytes; else a mended copy in @a. */
struct str text__clean(struct arena *a, struct str s, size_t max);
char *text__dup_or_null(struct str s);
/* One block with everything inside; free(). Cleans and clamps; pairs with an empty key are left out. */
struct kv_list *kv__pack(const struct kv_list *l, struct arena *scratch);
struct str kv__get(const struct kv_list *l, struct str key);
struct host_claims *claims__pack(struct control *c, const struct host_claims *in);
void claims__free(struct control *c, struct host_claims *h);
bool claims__eq(const struct host_claims *a, const struct host_claims *b);
const char *intern__get(struct control *c, struct str s);
void intern__put(struct control *c, const char *text);

/* -- events.c: details of events and audit rows, built on the stack */
enum { DETAILS_MAX = 12 };
struct details {
    struct kv kv[DETAILS_MAX];
    char number[DETAILS_MAX][24];
    struct kv_list list;
};
struct details *details_str(struct details *d, const char *key,
                            struct str value); /* empty values are left out */
struct details *details_u64(struct details *d, const char *key, uint64_t value);
struct details *details_i64(struct details *d, const char *key, int64_t value);
void event__host(struct control *c, const char *type, const struct host *h, const struct details *d);
void audit__row(struct control *c, const char *who, const char *peer, const char *verb, struct str target,
                const char *outcome, const char *slug, const struct details *d);
/* The refusal in @err as an audit row; returns err->code or @r. */
int audit__refused(struct control *c, const struct principal *p, enum verb v, struct str target, int r,
                   const struct err *err);
static inline void audit__ok(struct control *c, const struct principal *p, enum verb v, struct str target,
                             const struct details *d)
{
    audit_emit(c, p, NULL, v, target, "ok", NULL, d ? &d->list : NULL);
}

/* -- refusals.c: every refusal of a credential or of a caller goes through here. @d may have room for two more. */
enum refused { REFUSED_CALLER = 'f', REFUSED_PRINCIPAL = 'd', REFUSED_LIMITED = 'q' }; /* by @peer; by @who; by @who, who was too fast */
struct refusals;
struct refusals *refusals_new(void);
void refusals_free(struct refusals *rs);
/* A row, if the ration has one left, with how many of this caller had none (left_out) since the last; else it is counted. */
void refusal__row(struct control *c, enum refused kind, const char *who, const char *peer, const char *verb, struct str target,
                  const char *outcome, const char *slug, struct details *d);
/* Rows telling what was counted, when it is due at @now (USEC_NEVER: what there is). */
void refusals__tell(struct control *c, usec_t now);

/* -- topics.c */
void topics__event(struct control *c, const struct event *e);
void topics__audit(struct control *c, const struct audit_row *a);
void topics__task(struct control *c, const struct job *j, const struct task_row *t);
void topics__output(struct control *c, const struct task *t, const struct output_frame *f);
void topics__job_end(struct control *c, struct job *j);
void topics__done(struct control *c);

/* -- hosts.c */
struct host *host__by_id(const struct control *c, uint64_t id);
/* @old with @change laid over it (a label without a value goes), in @room; @ret lends from both. 0, or -EINVAL, -E2BIG and @err. */
int host__merge_labels(const struct kv_list *old, const struct kv_list *change, struct kv room[LIMIT_LABELS], struct kv_list *ret,
                       struct err *err);
struct host *host__by_uuid(const struct control *c, struct str uuid);
struct host *host__by_key(const struct control *c, const uint8_t key[SHA256_LEN]);
struct host *host__by_name(const struct control *c, struct str name);
/* By id or by name; what reads as an id is never taken for a name. NULL: "host.unknown". */
struct host *host__find(struct control *c, struct str name_or_uuid, struct err *err);
/* Files a new one under a name like @wanted that nobody has. */
struct host *host__add(struct control *c, const uint8_t key[SHA256_LEN], struct str wanted);
void host__set_name(struct control *c, struct host *h, struct str name);
/* A name like @wanted that nobody has and that does not read as an id. */
void host__unique_name(struct control *c, struct str wanted, const char *uuid, char ret[LIMIT_NAME + 1]);
/* May an operator call @h @name? 0; -EINVAL ("field.invalid") or -EEXIST ("host.name_taken"), of the path "name". */
int host__check_name(const struct control *c, const struct host *h, struct str name, struct err *err);
void host__put(struct control *c, const struct host *h);
/* May its agent speak here? 0; -EACCES and host.pending, host.rejected, host.revoked. */
int host__may_speak(const struct host *h, struct err *err);
/* Out of every index and the store; ends its tasks and its link. */
void host__remove(struct control *c, struct host *h, const char *slug, const char *why);
void host__view(struct control *c, struct host *h, struct host_view *ret);
int host__load(struct control *c, struct err *err);
void host__free_all(struct control *c);
void host__seen_dirty(struct control *c, struct host *h);
/* Stores the address it last spoke from, if that is another one than is stored. */
void host__save_peer(struct control *c, struct host *h);
/* Takes new claims; true if they differ from the old. Flags a clone. */
bool host__take_claims(struct control *c, struct host *h, const struct host_claims *claims);

/* -- checkin.c, sweep.c */
struct link *link__find(const struct control *c, struct link_id id);
/* Says goodbye after commit and forgets the link at once. */
void link__cut(struct control *c, struct link *l, const char *slug, const char *text, bool forever);
void link__drop(struct control *c, struct link *l);
void link__pause(struct control *c, struct link *l);
void link__throttle(struct control *c, struct link *l, usec_t wait);
void link__resume_all(struct control *c);
void link__tell_config(struct control *c);
void presence__seen(struct control *c, struct host *h);
void presence__judge(struct control *c, struct host *h);
/* Its agent has not left (any more), or the host goes. */
void presence__back(struct control *c, struct host *h);
/* Start-up, when the hosts are there: whose agents took leave. 0 or -errno. */
int presence__load(struct control *c, struct err *err);
/* Start-up, when hosts and their aliases are there: what every host is. */
void presence__wake(struct control *c);
void presence__stopping(struct control *c); /* of the server, cleanly: kept for the next start */
/* From when a sighting at @last_seen counts, of which up to @unsaved may be missing in the store: fleet/presence.h, over this start. */
usec_t presence__heard(const struct control *c, usec_t last_seen, usec_t unsaved);
void presence__retune(struct control *c);
void host__timer(struct control *c, struct host *h);

/* -- enroll.c, tokens.c, identity.c */
int identity__load(struct control *c, struct err *err);
void identity__free(struct control *c);
int cert__issue(struct control *c, struct host *h, struct str csr_pem, char **ret_pem, struct err *err);
void enroll__pending_due(struct control *c, struct host *h);
struct token *token__by_code(struct control *c, struct str code);
void token__use(struct control *c, struct token *t);
bool token__may_approve(const struct control *c, const struct token *t);
int token__load(struct control *c, struct err *err);
void token__free_all(struct control *c);

/* -- jobs.c, tasks.c, command.c */
struct job *job__find(const struct control *c, uint64_t id);
struct job *job__by_key(const struct control *c, const char *key_text, size_t len);
uint32_t job__key_epoch(struct control *c, const struct job *j);
struct job *job__new(const struct job_spec *spec, struct str principal, struct str idem_key,
                     struct str stdin_data);
void job__discard(struct job *j); /* one that was never filed */
void job__file(struct control *c, struct job *j);
void job__row(const struct job *j, struct job_row *ret);
int job__load(struct control *c, struct err *err);
void job__free_all(struct control *c);
void job__check_end(struct control *c, struct job *j);
void job__due(struct control *c, struct job *j);
void job__arm(struct control *c, struct job *j);
struct task *task__find(const struct control *c, uint64_t id);
void task__row(const struct task *t, struct task_row *ret);
void task__dirty(struct control *c, struct task *t);   /* its row is written at the flush */
void task__ack_due(struct control *c, struct task *t); /* its output is acknowledged after the flush */
/* Feeds the transition table; counts, lists and end of job follow. Returns the step taken. @message: why,
 * when it ends here. */
struct task_step task__input(struct control *c, struct task *t, enum task_input in, const char *message);
/* Ends @t as @end says (outcome, codes, totals, message), writes and publishes it. */
void task__end(struct control *c, struct task *t, const struct task_end *end);
void task__move(struct control *c, struct task *t, enum task_state to);
/* Offers what may be offered: of one host, of one job. */
void command__offer_host(struct control *c, struct host *h);
void command__offer_job(struct control *c, struct job *j);
/* Marks what a new job may offer at once, before its rows are put; and sends it, after they are. */
void command__mark_new(struct control *c, struct job *j);
void command__send_new(struct control *c, const struct job *j);
void command__send_waiting(struct control *c, struct host *h);
void command__cancel(struct control *c, const struct task *t);
void command__send_input(struct control *c, const struct task *t, uint64_t from);
/* An offer that has not left is taken back: the task is queued again. */
void command__unsend(struct control *c, struct task *t);

/* -- inventory.c */
int inventory__load(struct control *c, struct err *err);
void inventory__hello(struct control *c, struct link *l, const struct section_delta *sections, size_t n);
void inventory__flush_changed(struct control *c, struct host *h);
void inventory__ask_due(struct control *c, struct ask *a);
void inventory__link_gone(struct control *c, const struct link *l);
void inventory__free(struct control *c);

/* -- users.c, api_tokens.c */
int user__load(struct control *c, struct err *err);
void user__free_all(struct control *c);
struct user *user__by_name(const struct control *c, struct str name);
struct user *user__by_name_nocase(const struct control *c, struct str name);
/* Whose verified address it is, in any case of letters; run_access.c keeps them. */
struct user *user__by_email(const struct control *c, struct str email);
/* Who is called so or has that address; where these are two, see user_name_wins(). NULL: nobody. */
struct user *user__meant_by(const struct control *c, struct str name_or_email);
struct user *user__by_id(const struct control *c, uint64_t id);
int api_token__load(struct control *c, struct err *err);
void api_token__free_all(struct control *c);
struct api_token *api_token__new(struct control *c, uint64_t user_id, struct str name, const char *scope,
                                 usec_t expires_at, const char *created_by, char ret_text[API_TOKEN_MAX]);
/* That of a login: it ends with its user's password, and when the user is disabled. */
struct api_token *api_token__new_login(struct control *c, const struct user *u, struct str name, usec_t expires_at,
                                       char ret_text[API_TOKEN_MAX]);
/* Revokes those of the user's logins, except @but (0: all). */
void api_token__end_logins(struct control *c, uint64_t user_id, uint64_t but);
void api_token__put(struct control *c, const struct api_token *t);
void api_token__row(const struct api_token *t, struct api_token_row *ret);

#endif
