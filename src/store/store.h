/* store/store.h - makes it last. Units of work, tickets, typed reads.
 *
 * The loop thread records changes into the open unit; at the end of a turn store_seal() hands the unit to the store thread,
 * which runs many units in one transaction with one fsync, in order. A unit's number is its ticket: once store_committed() has
 * reached it, everything in it is durable and what was parked on it may leave. A commit that fails is tried again (the data
 * stays in memory), store_health() tells, and no ticket comes back before it is true.
 *
 * Reads run on a second, read-only handle on its own thread, after every unit sealed or open at the time of the call has been
 * committed: a reader sees its own writes and nothing that a crash could undo.
 *
 * Rows are typed: where a column holds a small document (labels, claims, a job's spec, details), the struct has the values and
 * the store converts with the record tables of wire/ (the floors above cannot see a JSON key).
 *
 * All functions belong to the loop thread unless said. Results come back inside store_poll(). Strings given to puts are copied;
 * strings in rows handed to callbacks are valid inside the callback only. */
#ifndef MUSTER_STORE_H
#define MUSTER_STORE_H

#include "base/auto.h"
#include "base/err.h"
#include "fleet/audit.h"
#include "fleet/enroll.h"
#include "fleet/inventory.h"
#include "fleet/policy.h"
#include "fleet/task.h"
#include "wire/checkin.h"
#include "wire/command.h"
#include "wire/event.h"
#include "wire/job.h"

struct store;
struct driver;

struct store_conf {
    const char *path;              /* database file (0600); its directory exists. path + "-lock" keeps a second server out */
    void (*wake)(void *ctx);       /* called on a store thread when store_poll() has something to do */
    void *wake_ctx;
    uint32_t max_open_units;       /* units not yet committed before store_is_behind(); 0 = 64 */
    usec_t hung_after;             /* silence of the writer before store_health() calls its disk hung; 0 = 10 s */
    const struct driver *driver;   /* NULL: SQLite; tests hand in a scripted one (fake.h) */
};

/* -- life */
/* Opens, checks, migrates, starts the threads. 0 and *@ret; -errno and @err: "store.open", "store.corrupt" (says what to do),
 * "store.newer" (made by a newer version), "store.read_only", "store.locked". */
int store_open(const struct store_conf *conf, struct store **ret, struct err *err);
/* Seals, commits what is sealed (waiting up to 5 s), stops the threads. Reads still out are done with -ECANCELED, in here. NULL
 * is a no-op. */
void store_close(struct store *s);
DEFINE_AUTO(struct store *, store_close)

/* -- units and tickets */
/* Hands the open unit over; no-op when empty. */
void store_seal(struct store *s);
/* Ticket of the newest change recorded so far (open unit included); 0: none ever. */
uint64_t store_newest(const struct store *s);
/* Everything up to this ticket is durable. Moves inside store_poll() only. */
uint64_t store_committed(const struct store *s);
/* Drains results: read callbacks run, committed moves. Cheap when idle. */
void store_poll(struct store *s);
/* 0 healthy; else -errno with @err ("store.disk_full", "store.read_only", "store.io", "store.corrupt") while commits fail. A probe
 * write every second makes it healthy again without traffic. A disk that hangs is "store.io" too, -ETIMEDOUT, until it answers. */
int store_health(const struct store *s, struct err *err);
/* Reading from agents should pause: max_open_units units, or 64 MiB of them, are not committed yet. */
bool store_is_behind(const struct store *s);
/* Time of the last successful round trip to the database, monotonic (the watchdog's food). */
usec_t store_last_alive(const struct store *s);

struct store_stats {
    uint64_t units, commits, rows, reads, commit_failures;
    uint64_t last_commit_us, db_bytes, wal_bytes;
};
void store_stats(const struct store *s, struct store_stats *ret);

/* -- hosts */
struct host_row {
    uint64_t id;
    char uuid[37];
    enum host_state state;
    struct str name;                 /* unique among non-forgotten hosts */
    uint8_t fingerprint[SHA256_LEN]; /* SPKI; unique */
    struct str dialect;              /* "native" */
    struct host_claims claims;       /* a column each; an address with a line feed in it comes back as two */
    struct kv_list labels;           /* operator's; column labels_json, an object of strings */
    struct str csr_pem;
    usec_t created_at, decided_at;
    struct str decided_by, decided_why; /* why: empty, or an operator's words, for the host to hear */
    struct str cert_serial;
    usec_t cert_not_after;
    uint64_t token_id;               /* install token used; 0 */
    struct str clone_note;           /* not empty: flagged */
};
void store_put_host(struct store *s, const struct host_row *h);
void store_del_host(struct store *s, uint64_t id); /* and its facts, seen; tasks stay as history */
/* Small and often: presence and the spool's position. */
struct seen_row {
    uint64_t host_id, spool_epoch, acked_seq;
    usec_t last_seen;
};
void store_put_seen(struct store *s, const struct seen_row *r);
/* Start-up only, before any put: visits all rows in id order on the caller's thread. 0 or -errno. */
int store_load_hosts(struct store *s, void (*fn)(void *ctx, const struct host_row *h, const struct seen_row *seen),
                     void *ctx, struct err *err);

/* -- install tokens */
struct token_row {
    struct install_token t;
    uint8_t code_hash[SHA256_LEN];
    struct kv_list labels;     /* column labels_json, an object of strings */
    struct str created_by, note;
    usec_t created_at;
};
void store_put_token(struct store *s, const struct token_row *t);
int store_load_tokens(struct store *s, void (*fn)(void *ctx, const struct token_row *t), void *ctx, struct err *err);
/* Ids of the next row of each noun; the loop thread counts on from here. */
struct store_next {
    uint64_t host, token, job, task, event, audit, user, api_token, trail;
};
int store_load_next(struct store *s, struct store_next *ret, struct err *err);

/* -- facts */
struct fact_head {
    uint64_t host_id;
    struct str section;
    enum section_status status;
    struct str message;
    struct fact_digest digest;
    usec_t taken_at, received_at;
    uint64_t n_rows; /* filled on read; ignored by puts */
};
/* The whole section (@body as in fleet/inventory.h); the store thread writes the difference to what it had as history, unless
 * @no_history. */
void store_put_facts_full(struct store *s, const struct fact_head *h, struct str body, bool no_history);
/* A judged delta (encoded; empty: only the head changes). Current is folded lazily, and only then is the digest of the whole
 * checked: what does not add up is told through store_on_drift(). */
void store_put_facts_delta(struct store *s, const struct fact_head *h, struct str delta);
/* A delta of somebody who keeps no digest: taken as it is; @h->digest is ignored and becomes true when the section is folded. Nothing
 * drifts by it. */
void store_put_facts_blind(struct store *s, const struct fact_head *h, struct str delta);
/* @from's section becomes @to's under the name @to_section, with its state, digest, history and numbers. What @to has under that name
 * goes, with its history. */
void store_move_facts(struct store *s, uint64_t from, struct str section, uint64_t to, struct str to_section);
/* @fn runs inside store_poll() when a folded section is not what @h->digest promised (its recorded digest is now the true one): ask
 * that host for the section in full. May come more than once. */
void store_on_drift(struct store *s, void (*fn)(void *ctx, uint64_t host_id, struct str section), void *ctx);
/* Heads of all sections, by host then section, at start. n_rows is as of the last fold. */
int store_load_fact_heads(struct store *s, void (*fn)(void *ctx, const struct fact_head *h), void *ctx, struct err *err);

/* -- jobs and tasks */
struct job_row {
    uint64_t id;
    struct str principal;
    usec_t created_at, deadline, finished_at;
    struct job_spec spec;      /* what was asked, without stdin; column spec_json by job_spec_record */
    struct str stdin_data;
    struct str idem_key;       /* with principal unique; may be empty */
    uint8_t idem_hash[SHA256_LEN]; /* of the request */
    bool cancel_requested;
    enum job_state state;
    struct job_counts counts;
};
struct task_row {
    uint64_t id, job_id, host_id;
    struct str host_name;      /* at the time */
    enum task_state state;
    enum task_outcome outcome;
    int32_t exit_code, signal;
    usec_t created_at, offered_at, started_at, finished_at; /* server time */
    uint64_t stdout_bytes, stderr_bytes;                    /* committed */
    uint64_t stdout_total, stderr_total;
    bool stdout_truncated, stderr_truncated;
    struct str message;
};
void store_put_job(struct store *s, const struct job_row *j);
/* As store_put_job() of a job already put, but cheap: writes only finished_at, cancel_requested, state and counts. Input is
 * dropped when it is finished. */
void store_put_job_progress(struct store *s, const struct job_row *j);
void store_put_task(struct store *s, const struct task_row *t);
void store_put_output(struct store *s, const struct output_frame *f); /* contiguous; the caller checked */
/* Start-up: open jobs (not finished) and then their tasks. */
int store_load_open_jobs(struct store *s, void (*job)(void *ctx, const struct job_row *j),
                         void (*task)(void *ctx, const struct task_row *t), void *ctx, struct err *err);

/* -- events, audit, users, api tokens, meta */
void store_put_event(struct store *s, const struct event *e);
void store_put_audit(struct store *s, const struct audit_row *a);
int store_load_audit_head(struct store *s, uint64_t *ret_id, uint8_t ret_hash[SHA256_LEN], struct err *err);

struct user_row {
    uint64_t id;
    struct str name, password_hash;
    enum role_level role;
    bool is_disabled;
    usec_t created_at;
};
void store_put_user(struct store *s, const struct user_row *u);
int store_load_users(struct store *s, void (*fn)(void *ctx, const struct user_row *u), void *ctx, struct err *err);

struct api_token_row {
    uint64_t id, user_id;          /* user 0: not bound to one */
    uint8_t hash[SHA256_LEN];
    struct str name, scope;        /* scope: viewer operator admin | reporter ... */
    usec_t created_at, expires_at, last_used; /* 0: never */
    bool is_revoked;
    struct str created_by;
    struct str hint;               /* last 4 characters */
};
void store_put_api_token(struct store *s, const struct api_token_row *t);
int store_load_api_tokens(struct store *s, void (*fn)(void *ctx, const struct api_token_row *t), void *ctx,
                          struct err *err);

/* Small named values (CA key and certificate, fleet id). Start-up reads, unit writes. get: 1 and appended to @ret, 0 none. */
void store_put_meta(struct store *s, const char *key, struct str value);
int store_load_meta(struct store *s, const char *key, struct buf *ret, struct err *err);

/* -- objects: nouns that are few next to hosts and read whole (a credential, an alias, a provider, a policy, a run ...), each one
 * document made by its record table. One table for all of them (docs/decisions/0008-objects-and-trails.md): a new noun is a
 * number here and a record, no SQL. Numbers are on disk: never reused, never changed. */
enum object_kind {
    OBJECT_CREDENTIAL = 1, OBJECT_ALIAS = 2,
    OBJECT_PASSWORD = 3, /* by user id: the mark that good sessions carry */
    OBJECT_SESSION_ENDED = 4, /* by the session's number: logged out before its time */
    OBJECT_HOST_LEFT = 5, /* by host id: its agent took leave */
    OBJECT_HOST_PEER = 6, /* by host id: the address it last spoke from */
    OBJECT_HOST_LOST = 7, /* by host id: it is lost, and that was told */
    OBJECT_ASSET = 10, OBJECT_ASSET_STATE = 11, OBJECT_PROVIDER = 12,
    OBJECT_REPORTER = 20, OBJECT_REPORT_POLICY = 21, OBJECT_ENROLL_KEY = 22, OBJECT_REPORTER_STATE = 23,
    OBJECT_RUN = 30, OBJECT_RUN_ITEM = 31, OBJECT_RUN_AGENT = 32, OBJECT_RUN_SHARE = 33, OBJECT_RUN_RECIPIENT = 34,
    OBJECT_RUN_SNAPSHOT = 35, OBJECT_RUN_COMMAND = 36, OBJECT_PERSON_EMAIL = 37,
    OBJECT_KINDS = 64,
};
/* Insert or replace. @parent groups objects of a kind (0: none). @obj is written as JSON at once, by @rec, and not kept; FIELD_SECRET
 * members are left out, so a hash is no secret field. At most LIMIT_OBJECT_BYTES (asserted: callers cap what goes in). Texts are
 * UTF-8 within the record's maxima, or the next start cannot decode what it reads. */
void store_put_object(struct store *s, enum object_kind kind, uint64_t id, uint64_t parent, const struct record *rec, const void *obj);
/* The same for what changes with every beat: of several in a short time only the last reaches the table (lazy.h); just as durable. */
void store_put_object_often(struct store *s, enum object_kind kind, uint64_t id, uint64_t parent, const struct record *rec,
                            const void *obj);
void store_del_object(struct store *s, enum object_kind kind, uint64_t id);
typedef void (*store_object_fn)(void *ctx, uint64_t id, uint64_t parent, const void *obj);
/* Start-up: all of a kind in id order, decoded by @rec (strings valid inside the callback). A document that does not decode is
 * -EBADMSG and @err names it. */
int store_load_objects(struct store *s, enum object_kind kind, const struct record *rec, store_object_fn fn, void *ctx, struct err *err);
/* The id after the highest ever used, 1 at first. */
int store_load_next_object(struct store *s, enum object_kind kind, uint64_t *ret, struct err *err);

/* -- trails: what happened, appended and read in pages by what it belongs to (check-ins of an agent, events of a run ...). */
enum trail_kind { TRAIL_CHECKIN = 1, TRAIL_ADDRESS = 2, TRAIL_RUN_EVENT = 3, TRAIL_RUN_LOG = 4, TRAIL_ASSET = 5, TRAIL_KINDS = 64 };
struct trail_row {
    uint64_t id;            /* grows with time, over all kinds; from control's next.trail. The first is 2 */
    enum trail_kind kind;
    uint64_t parent;
    usec_t at;
    struct str key;         /* may be empty; else unique within the kind: a repeat is dropped by the writer */
};
void store_put_trail(struct store *s, const struct trail_row *t, const struct record *rec, const void *obj);
/* All of @parent (a parent that went), in one transaction. */
void store_del_trail(struct store *s, enum trail_kind kind, uint64_t parent);

/* -- reads: each calls @row 0..n times and then @done once with 0 or -errno, inside store_poll(). @done is always called, also
 * when the store closes (-ECANCELED). Pages: @limit rows after @after (0: from the newest / the start as said). */
typedef void (*store_done_fn)(void *ctx, int result);
typedef void (*store_job_fn)(void *ctx, const struct job_row *j);
typedef void (*store_task_fn)(void *ctx, const struct task_row *t);
typedef void (*store_output_fn)(void *ctx, const struct output_frame *f);
typedef void (*store_event_fn)(void *ctx, const struct event *e);
typedef void (*store_audit_fn)(void *ctx, const struct audit_row *a);
typedef void (*store_section_fn)(void *ctx, const struct fact_head *h, struct str body);
struct fact_change {
    uint64_t id;              /* grows with time; only good for the next page */
    usec_t at;                /* received */
    struct str section, key, before, after; /* JSON or {NULL,0}; before only where the store knew it */
};
typedef void (*store_change_fn)(void *ctx, const struct fact_change *c);

void store_read_job(struct store *s, uint64_t id, store_job_fn row, store_done_fn done, void *ctx);
/* Newest first; @before 0 = from the newest. */
void store_read_jobs(struct store *s, uint64_t before, uint32_t limit, store_job_fn row, store_done_fn done, void *ctx);
void store_read_tasks(struct store *s, uint64_t job_id, uint64_t after, uint32_t limit, store_task_fn row,
                      store_done_fn done, void *ctx);
void store_read_task(struct store *s, uint64_t task_id, store_task_fn row, store_done_fn done, void *ctx);
/* Chunks of one stream from @offset, at most @max_bytes of them. */
void store_read_output(struct store *s, uint64_t task_id, enum output_stream stream, uint64_t offset, uint64_t max_bytes,
                       store_output_fn row, store_done_fn done, void *ctx);
/* @section {NULL,0}: all. */
void store_read_facts(struct store *s, uint64_t host_id, struct str section, store_section_fn row, store_done_fn done,
                      void *ctx);
/* Newest first; @before 0 = newest. */
void store_read_changes(struct store *s, uint64_t host_id, struct str section, uint64_t before, uint32_t limit,
                        store_change_fn row, store_done_fn done, void *ctx);
/* @after_id ascending, or (@after_id 0 and @newest_first) the newest @limit, newest first. Type and host filters may be empty. */
void store_read_events(struct store *s, uint64_t after_id, bool newest_first, uint32_t limit, struct str type,
                       struct str host_uuid, store_event_fn row, store_done_fn done, void *ctx);
void store_read_audit(struct store *s, uint64_t after_id, bool newest_first, uint32_t limit, store_audit_fn row,
                      store_done_fn done, void *ctx);
/* The job with this idempotency key, if any. */
void store_read_job_by_key(struct store *s, struct str principal, struct str key, store_job_fn row, store_done_fn done,
                           void *ctx);

typedef void (*store_trail_fn)(void *ctx, const struct trail_row *t, const void *obj);
/* Newest first after skipping @skip, or (@after > 0; 1: from the start) ascending from behind that id. @rec decodes; rows that do
 * not decode are left out and logged. */
void store_read_trail(struct store *s, enum trail_kind kind, uint64_t parent, uint64_t after, uint32_t skip, uint32_t limit,
                      const struct record *rec, store_trail_fn row, store_done_fn done, void *ctx);
/* The one with @key, if any. */
void store_read_trail_by_key(struct store *s, enum trail_kind kind, struct str key, const struct record *rec, store_trail_fn row,
                             store_done_fn done, void *ctx);
/* How many: handed to @row once. */
typedef void (*store_count_fn)(void *ctx, uint64_t n);
void store_read_trail_count(struct store *s, enum trail_kind kind, uint64_t parent, store_count_fn row, store_done_fn done, void *ctx);

/* -- retention and copies */
struct retention {
    usec_t keep;          /* job output, events, history, trails: older goes */
    usec_t keep_audit;
    uint64_t quota_bytes; /* output, events, history, trails together; oldest finished jobs go first */
};
/* One small step (at most a few hundred rows) on the store thread; @done gets 1 if there is more to do. By age: finished jobs with
 * their tasks and output, events, history, trails (by their own time), audit (its newest row always stays). By quota: output of the
 * oldest finished jobs (the job and its tasks stay), then the oldest of what weighs most: events, history or trails, down to a tenth of the quota. */
void store_retain(struct store *s, const struct retention *r, usec_t now, store_done_fn done, void *ctx);
/* Online copy into @path (must not exist: -EEXIST; 0600, one plain file, fsynced before @done), on the reader thread between reads.
 * One at a time: -EBUSY. @progress (may be NULL) in pages, inside store_poll(). */
void store_backup(struct store *s, const char *path, void (*progress)(void *ctx, uint64_t done, uint64_t total),
                  store_done_fn done, void *ctx);
/* Offline: checks @file as a Muster database (integrity, version) and copies it to @path. Its tasks, events and trails are then
 * numbered from the microseconds between STORE_RESTORE_EPOCH and @now (wall), its jobs from the seconds: agents and followers remember the
 * numbers given out after the backup, and after an earlier restore of it. Fewer are made than microseconds pass, so all numbers from
 * before are below; they fit a double until 2311. Audit rows go on from the last: their chain has no gap.
 * Returns 0; STORE_CLOCK_BEHIND: done, but the backup's own numbers are past @now, so a random step of at least STORE_RESTORE_STEP above
 * them was taken; or -errno and @err. */
enum { STORE_RESTORED = 0, STORE_CLOCK_BEHIND };
#define STORE_RESTORE_EPOCH (UINT64_C(1767225600) * USEC_PER_SEC) /* 2026-01-01 */
#define STORE_RESTORE_STEP (UINT64_C(1) << 32)
int store_restore(const char *file, const char *path, usec_t now, struct err *err);
/* Offline: PRAGMA integrity_check and friends, for doctor. */
int store_check(const char *path, struct err *err);
/* Whether the database @path was lost: empty, without a schema or gone where one was made before. 0, or -EBADMSG and @err ("store.corrupt", says what
 * to do). */
int store_check_lost(const char *path, struct err *err);

#endif
