/* store/store_priv.h - what the files of this folder share.
 *
 *   loop thread                      writer thread                       reader thread
 *   ops -> open unit --seal--> units: one transaction, one fsync
 *                              committed (atomic) --wake-->
 *   reads waiting for a ticket ------------------------------------> reads: rows into an arena
 *   store_poll() <--- mail: results, health, drift, progress <---------- mail
 *
 * struct store belongs to the loop thread, struct writer and struct reader to theirs; messages are moved. */
#ifndef MUSTER_STORE_PRIV_H
#define MUSTER_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/vec.h"
#include "store/driver.h"
#include "store/store.h"

/* -- what travels between the threads */
enum msg_kind { MSG_UNIT, MSG_RETAIN, MSG_READ, MSG_HEALTH, MSG_DRIFT, MSG_COPY, MSG_PROGRESS, MSG_TIDY };
struct msg {
    struct qmsg q;
    enum msg_kind kind;
};

struct writer;
/* Runs one change inside the writer's transaction; may run again after a rollback. 0 or -errno. */
typedef int (*op_fn)(struct writer *w, const void *args);
struct op {
    struct op *next;
    op_fn fn;
    _Alignas(16) unsigned char args[];
};
struct unit {
    struct msg m;
    uint64_t ticket;
    struct arena *a; /* the ops and what they point to */
    struct op *first, **last;
    uint32_t n_ops;
};

struct read;
struct reader;
/* Reader thread: fills rows with read__row(). 0 or -errno. */
typedef int (*read_fn)(struct db *db, struct read *rd);
/* Loop thread: hands one row to the caller's function. */
typedef void (*deliver_fn)(const struct read *rd, const void *row);
struct read_row {
    struct read_row *next;
    _Alignas(16) unsigned char row[];
};
struct read {
    struct msg m;
    struct read *next; /* while waiting for its ticket */
    uint64_t after;    /* ticket */
    read_fn run;
    deliver_fn deliver;
    struct arena *a;
    struct read_row *first, **last;
    int result;
    void (*row)(void); /* the caller's, as its own type */
    store_done_fn done;
    void *ctx;
    struct read_args {
        uint64_t id, from, max;
        uint32_t limit, kind;
        const struct record *rec;
        bool newest_first;
        enum output_stream stream;
        struct str s1, s2;
    } args;
};

struct retain_msg {
    struct msg m;
    struct retention r;
    usec_t now;
    int result;
    store_done_fn done;
    void *ctx;
};
struct copy_msg { /* comes back whole: result */
    struct msg m;
    char *path;
    int result;
    struct err err;
    store_done_fn done;
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};
struct progress_msg {
    struct msg m;
    uint64_t done, total;
};
struct health_msg {
    struct msg m;
    int code; /* 0: healthy again */
    struct err err;
};
struct drift_msg {
    struct msg m;
    uint64_t host_id;
    char section[64];
};

/* -- the writer (worker.c) */
struct tally {
    int64_t output, events, history, delta, trails;
};
struct writer {
    struct store *s;
    struct db *db;
    struct lazy *lazy;              /* lazy.h */
    struct tally now, durable;      /* of this transaction; as committed */
    VEC(struct drift_msg *) drifts; /* found in this transaction */
    VEC(struct unit *) pending;     /* taken, not committed, in order */
    bool is_fatal;                  /* corrupt or our bug: no more commits */
    int health;                     /* what was told last */
    usec_t backoff, try_at;         /* monotonic */
    uint32_t tidy_at;               /* pages in the log */
    uint64_t tidied_at_commit;      /* n_commits then */
};
void *writer_main(void *arg);
/* Takes the writer's numbers from the database; before the thread starts. 0 or -errno. */
int writer_init(struct writer *w);

/* -- the reader (reader.c) */
struct reader {
    struct store *s;
    struct db *db;
};
void *reader_main(void *arg);

/* -- checkpoints (tidy.c) */
void *tidy_main(void *arg);
/* Writer thread. */
void tidy__after_commit(struct writer *w);
void tidy__when_idle(struct writer *w);

/* -- the store */
struct store {
    /* loop thread */
    char *path;
    int lock_fd;
    struct store_conf conf;
    struct unit *open;
    uint64_t newest, sealed, committed;
    struct read *waiting, **waiting_last;
    struct buf scratch; /* JSON being written */
    void (*drift)(void *ctx, uint64_t host_id, struct str section);
    void *drift_ctx;
    int health;
    struct err health_err;
    usec_t polled_at, seen_alive_at, silent_us; /* how long the writer has not been heard */
    bool has_copy; /* a backup is running */
    void (*copy_progress)(void *ctx, uint64_t done, uint64_t total);
    void *copy_ctx;
    bool has_threads;
    /* shared */
    struct queue *to_writer, *to_reader, *to_tidy, *mail;
    atomic_int tidy_state;
    atomic_uint_fast64_t durable;  /* ticket */
    atomic_uint_fast64_t alive_at; /* monotonic us */
    atomic_size_t held_bytes;      /* of sealed units */
    atomic_bool is_closing;
    atomic_uint_fast64_t n_units, n_commits, n_rows, n_reads, n_failures, commit_us, db_bytes, wal_bytes;
    struct writer writer;
    struct reader reader;
    struct db *tidy_db; /* tidy thread */
    pthread_t writer_thread, reader_thread, tidy_thread;
};

/* Any thread: a message for the loop. */
void store__mail(struct store *s, struct msg *m);
/* -errno and a sentence with the right slug. @what: "open", "write". */
int store__err(struct err *err, int e, const char *what, const char *path, struct db *db);

/* Loop thread: a new op in the open unit; fill the args it returns (zeroed, @size). */
void *store__op(struct store *s, op_fn fn, size_t size);
#define OP(s, fn, type) ((type *)store__op((s), (fn), sizeof(type)))
/* A copy that lives as long as the open unit. Call only after store__op(). */
struct str store__keep(struct store *s, struct str v);
/* Column text of a map, of a record; lives as long as the open unit. */
struct str store__keep_map(struct store *s, const struct kv_list *kv);
struct str store__keep_record(struct store *s, const struct record *rec, const void *obj);
/* The same for objects and trails: without secret members, at most LIMIT_OBJECT_BYTES (asserted). */
struct str store__keep_document(struct store *s, const struct record *rec, const void *obj);
void unit_free(struct unit *u);

/* Loop thread: queues the read. @row is cast back by @deliver. */
struct read *read_new(read_fn run, deliver_fn deliver, void (*row)(void), store_done_fn done, void *ctx);
void store__read(struct store *s, struct read *rd);
void read_free(struct read *rd);
/* Reader thread: a new zeroed row; NULL when the read grew too large (return -ENOBUFS). */
void *read__row(struct read *rd, size_t size);

/* -- columns (columns.c): bytes out of a row into an arena; what does not fit or cannot be read is empty */
struct str col_keep(struct rows *r, int col, struct arena *a);
void col_map(struct rows *r, int col, struct arena *a, struct kv_list *ret);
void col_record(struct rows *r, int col, struct arena *a, const struct record *rec, void *ret);

/* -- ops and queries shared by nouns */
/* Writer: remembers that ids of @noun up to @id were given out (before their rows go). */
int high__raise(struct writer *w, const char *noun, uint64_t id);
/* Writer: one step of retention inside a transaction: 1 more to do, 0, -errno (retain.c). */
int retain__step(struct writer *w, const struct retention *r, usec_t now);
/* Writer: folds the open deltas of one section (facts.c). */
int facts__fold(struct writer *w, uint64_t host_id, struct str section);
/* Writer: everything about a host's inventory goes. */
int facts__forget(struct writer *w, uint64_t host_id);
/* The jobs half of store_load_open_jobs() (jobs.c). */
int jobs__load_open(struct store *s, void (*fn)(void *ctx, const struct job_row *j), void *ctx);
/* Start-up loads run on the reader's handle, on the caller's thread, before the first read. */
struct db *store__load_db(struct store *s);

/* What a row of history weighs beyond its bytes: keys, indexes. */
enum { ROW_OVERHEAD = 64 };

#endif
