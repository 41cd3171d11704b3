/* agent/dialects/argus.h - private to the Argus personalities (argus*.c): an agent that polls for reruns and stops, and argus-report.
 * docs/decisions/0009-argus-reruns-in-holds.md, docs/wire/argus.md. Loop thread, where nothing else is said.
 *
 *   ~/.argus-agent/            0700
 *     token.json               0600: the cache of a registration, {argus_url, agent_id, agent_token, poll_interval_s}
 *     state.json               0600: the book of commands (struct argus_book)
 *     agent.lock               flock()ed by the one agent of this directory
 *     tasks/                   agent/exec.h: one muster-hold per rerun
 *     logs/CMD.log, CMD.log.1  0600: what a rerun said */
#ifndef MUSTER_AGENT_DIALECTS_ARGUS_H
#define MUSTER_AGENT_DIALECTS_ARGUS_H

#include <sys/types.h>

#include "agent/dialects/personality.h"
#include "agent/exec.h"
#include "base/arena.h"
#include "base/conf.h"
#include "base/vec.h"
#include "codec/json.h"
#include "wire/dialects/argus.h"

enum { ARGUS_EXIT_OK = 0, ARGUS_EXIT_RUNTIME = 1, ARGUS_EXIT_USAGE = 2, ARGUS_EXIT_TOKEN = 3, ARGUS_EXIT_INSECURE = 4 };
enum {
    ARGUS_ID_MAX = 65,                /* of a command or an agent, with its NUL */
    ARGUS_BATCH_MAX = 129,
    ARGUS_BOOK_KEPT = 256,            /* commands that are over and still known: repeats of a poll are no older */
    ARGUS_BOOK_MAX = 1024,            /* commands of any kind: above it new ones wait at the server */
    ARGUS_BOOK_BYTES = 4 << 20,       /* that many, with long names */
    ARGUS_LOGS_KEPT = 200,            /* logs of commands that are over */
    ARGUS_RETRY_AFTER_MAX_S = 600,    /* a date in it may be read by a clock that is days off */
    ARGUS_UNAUTHORIZED_MAX = 3,       /* polls in a row: one may be a flap of the server */
    ARGUS_KEY_MAX = 128,              /* of an override */
    ARGUS_POLICY_BYTES = 64 << 10,
    ARGUS_REPLY_BYTES = 1 << 20,
    ARGUS_ARENA_BYTES = 16 << 20,
};

/* -- argus_options.c */
enum argus_overrides { ARGUS_OVERRIDES_ENV, ARGUS_OVERRIDES_APPEND };
struct argus_options {
    char *url, *token, *token_file, *ca_file, *hostname, *label, *state_dir, *policy, *hold, *log_file;
    bool do_register, do_reregister, once, dry_run, print_systemd, verbose, insecure_http, man;
    usec_t poll_interval, heartbeat_interval, grace; /* the first two: 0 = the server's */
    uint32_t max_concurrent;
    int overrides, log_level, log_format;
    uint64_t log_max;
    struct conf_map allow_env;
};
extern const struct conf_table argus_options_table;
/* Flags, environment, defaults; then the word ("register", "run" or NULL). CONF_OK, CONF_HELP, CONF_VERSION or -EINVAL and @err. */
int argus__options(struct conf *c, struct argus_options *o, int argc, char **argv, const char **ret_word, struct err *err);
/* The home directory; never NULL, malloced. */
char *argus__home(void);
/* A unit for systemd that runs the agent as it was called. 0 or -ENOBUFS. */
int argus__systemd_unit(const struct argus_options *o, const char *exe, struct buf *out);

/* -- argus_cache.c: the directory and the token */
struct argus_cache {
    char *url, *agent_id, *token;
    uint32_t poll_s; /* 0: not said */
};
void argus__cache_done(struct argus_cache *c);
DEFINE_AUTO_VALUE(struct argus_cache, argus__cache_done)
/* Makes the directory (0700) with logs/ in it; refuses somebody else's. 0 or -errno and @err. */
int argus__dir_make(const char *dir, struct err *err);
/* flock()s agent.lock: the descriptor, or -EBUSY "argus.busy", or -errno. */
int argus__dir_lock(const char *dir, struct err *err);
/* 0; -ENOENT "argus.unregistered"; -EPERM (mode, owner); -EBADMSG "argus.cache"; -errno. @ret is to be released after 0 only. */
int argus__cache_read(const char *dir, struct argus_cache *ret, struct err *err);
/* Room for the cache of a registration that is about to be asked for, then the cache in it: 0 or -errno and @err. */
int argus__cache_room(const char *dir, struct secret_room *ret, struct err *err);
int argus__cache_write(struct secret_room *room, const struct argus_cache *c, struct err *err);
/* True if both URLs name the same scheme, host and port. */
bool argus__same_origin(const char *a, const char *b);
/* Letters, digits, '-', '_' and '.', not beginning with '.', shorter than ARGUS_ID_MAX: good for a path of a URL and of a file. */
bool argus__id_is_safe(struct str id);

/* -- argus_rules.c: pure */
/* 1, 2, 4 ... 60 s: before the attempt after @n_failures (1 or more). */
usec_t argus__backoff(uint32_t n_failures);
/* @every, 10 % less to 10 % more, by @random. */
usec_t argus__jitter(usec_t every, uint64_t random);
/* May the server set this variable of a rerun? @allow: what --allow-env named. */
bool argus__env_is_allowed(struct str key, const struct conf_map *allow);
/* The same where the host has a policy of commands, which an environment could go around: only what is known to be data, or is named in
 * @allow. */
bool argus__env_is_data(struct kv kv, const struct conf_map *allow);
/* Is this variable of the agent's own kept from reruns? */
bool argus__env_is_private(struct str key);
struct argus_env {
    const char *const *own;         /* environ */
    const struct kv_list *payload;
    const struct conf_map *allow;
    struct kv_list more;            /* ARGUS_*: win over both */
    bool has_policy;                /* argus__env_is_data() decides */
    struct buf *left_out;           /* gets the names the server may not set, as many as fit; NULL: nobody asks */
};
/* The whole environment of a rerun. @ret borrows from the arguments, its array is @a's. 0 or -ENOBUFS. */
int argus__env_build(struct arena *a, const struct argus_env *e, struct kv_list *ret);
/* Appends " key=value" for every override, quoted for sh. 0; -EINVAL "argus.override" (not an object, a key that is no key); -ENOBUFS. */
int argus__append_overrides(struct str overrides_json, struct buf *command, struct err *err);
/* The host's policy: lines "prefix: TEXT", "regex: ERE" and "cwd: DIR", '#' comments. 0 it is well formed; or -EINVAL "argus.policy" with the line. */
int argus__policy_check(struct str text, struct err *err);
/* argus_work.c: the file @path, checked, appended to @text. 0; or "argus.policy" and -errno, -ENOBUFS (too large), -EPERM (not root's or
 * ours, or others may write it), -EINVAL as above. */
int argus__policy_read(const char *path, struct buf *text, struct err *err);
/* True if a line permits the whole of @command. A prefix ends at a word, and what follows it must be free of the shell's operators;
 * an expression never permits a command with a line break or another control character, save the tab. False too for a text that is not
 * well formed. */
bool argus__policy_allows(struct str text, struct str command);
/* The next directory that @text, which goes on behind it, names; false: no more. */
bool argus__policy_next_dir(struct str *text, struct str *ret);
/* Is @path @dir, or below it? Both whole and resolved; slashes at the end of @dir do not count. */
bool argus__is_below(struct str dir, struct str path);

/* -- argus_jobs.c: the answer to a poll. Calls @fn, in the server's order, for every job with a safe id; those without are logged and left
 * alone. Members of env that are no text are left out. A job that cannot be read (a NUL, NaN, a key twice, a member of the wrong kind) costs
 * no other: it has @why, for its server, and of @job only id, kind and batch_id, empty where they are no plain text. Number of jobs there
 * were; or -EINVAL, -EMSGSIZE, -ENOBUFS (json), -EBADMSG "argus.reply". What @fn is lent lives until it returns. */
typedef void (*argus_job_fn)(void *ctx, const struct argus_job *job, const char *why);
int argus__jobs_each(struct str body, argus_job_fn fn, void *ctx, struct err *err);

/* -- argus_book.c: what became of every command, on disk before it matters */
enum argus_kind { ARGUS_RERUN, ARGUS_STOP };
enum argus_phase { ARGUS_INTENT, ARGUS_RUNNING, ARGUS_OVER };
enum argus_answer { ARGUS_NO_ANSWER, ARGUS_STARTED, ARGUS_FAILED };
struct argus_cmd {
    char id[ARGUS_ID_MAX], batch[ARGUS_BATCH_MAX];
    enum argus_kind kind;
    enum argus_phase phase;
    uint64_t task;                  /* of exec, 0: none */
    uint32_t pid;                   /* also the process group; 0: not known */
    uint64_t pid_ticks;             /* its start time, from /proc/PID/stat */
    enum argus_answer answer;       /* what the ack says */
    bool is_acked;
    bool is_exit_due, has_exit;     /* the end is to be told; it is known (else nobody saw it) */
    int32_t exit_code, signal;
    usec_t runtime;
    char *error;                    /* of ARGUS_FAILED; NULL: none */
    bool is_seen;                   /* in the newest poll; not on disk */
};
struct argus_book {
    char *path;
    uint64_t next_task;
    bool has_exit, has_wait;        /* what the server said it can do */
    uint32_t heartbeat_s;           /* 0: not said */
    VEC(struct argus_cmd *) cmds;   /* oldest first */
};
/* Reads DIR/state.json; none is an empty book. 0, or -errno and @err: a broken book stops the agent, for it may not guess. */
int argus__book_open(const char *dir, struct argus_book **ret, struct err *err);
void argus__book_free(struct argus_book *b);
DEFINE_AUTO(struct argus_book *, argus__book_free)
/* Makes it durable. 0 or -errno. */
int argus__book_save(struct argus_book *b);
struct argus_cmd *argus__book_find(const struct argus_book *b, struct str id);
struct argus_cmd *argus__book_task(const struct argus_book *b, uint64_t task);
/* The rerun that made @batch, the newest; NULL. */
struct argus_cmd *argus__book_rerun(const struct argus_book *b, struct str batch);
/* Drops the oldest that are quite over, above ARGUS_BOOK_KEPT. True if one more may be added: fewer than ARGUS_BOOK_MAX are left. */
bool argus__book_has_room(struct argus_book *b);
/* A new one at the end; @id and @batch must fit. The oldest that are quite over are dropped above ARGUS_BOOK_KEPT. */
struct argus_cmd *argus__book_add(struct argus_book *b, struct str id, struct str batch, enum argus_kind kind);
void argus__book_remove(struct argus_book *b, struct argus_cmd *c);
void argus__cmd_answer(struct argus_cmd *c, enum argus_answer answer, const char *error);

/* -- argus_logs.c */
/* Makes DIR/logs/ID.log (0600), removing the oldest beyond ARGUS_LOGS_KEPT that @b does not run. Malloced path, or NULL and errno. */
char *argus__log_make(const char *dir, struct str id, const struct argus_book *b);
/* The end of it, at most ARGUS_LOG_TAIL_MAX bytes of valid UTF-8, controls blanked; nothing when there is none. */
void argus__log_tail(const char *dir, const char *id, struct buf *out);
/* Moves the content of a log above @max bytes to ID.log.1 (copies, then empties: its writers append). Any thread. */
int argus__log_rotate(const char *dir, const char *id, uint64_t max);

/* -- argus_http.c: asking an Argus server */
struct argus_link {
    struct loop *loop;
    const char *url, *ca_file;
    bool insecure_http;
};
/* A request with the bearer token; an empty @body has no type. Returns its number. */
struct argus_ask {
    const char *method, *path, *token;
    struct str body;
    usec_t timeout;
    outbound_fn done;
    void *ctx;
};
uint64_t argus__send(struct outbound *o, const struct argus_ask *q);
/* The same, running @l until its answer was handed to @q->done: 0; or -EINTR when somebody stopped the loop before. */
int argus__call(struct loop *l, struct outbound *o, const struct argus_ask *q);
/* Plain http only to loopback or where it was allowed. 0; or -errno, @err, and the exit code to end with. */
int argus__outbound(const struct argus_link *l, struct outbound **ret, int *ret_exit, struct err *err);
/* The sentence of an error reply ({"detail": ...}), cut to fit. */
void argus__detail(const struct outbound_reply *r, char *ret, size_t size);
/* A redirect to plain http? */
bool argus__is_downgrade(const struct outbound_reply *r);
/* What a reply that is no answer means, for people: network, redirect, status. */
void argus__reply_text(const struct outbound_reply *r, char *ret, size_t size);

/* -- argus_agent.c: the agent at work; argus_talk.c: what it says; argus_work.c: what it does */
struct argus {
    const struct argus_options *opt;
    struct argus_cache cache;
    struct argus_book *book;
    struct loop *loop;
    struct exec *exec;
    struct outbound *poll_out, *talk_out; /* a long poll must not keep an ack waiting */
    struct timer *poll_timer, *beat_timer, *talk_timer, *rotate_timer;
    uint32_t n_poll_failures, n_talk_failures, n_unauthorized;
    bool is_polling, is_talking, is_talk_exit, is_beat_due, is_beating, is_exit_off, is_full_told, has_polled;
    bool is_dirty;                        /* the book: to be saved in this turn, see argus__keep() */
    bool has_news;                        /* a command came that was not known: ask again once it is acknowledged */
    char talking_id[ARGUS_ID_MAX];
    usec_t poll_began;
    struct argus_rotation *rotation;      /* one under way */
    int exit_code;
};
/* Loops until a signal or a reason to end; the exit code. */
int argus__agent_run(const struct argus_options *o, struct argus_cache *cache, struct err *err);
/* Ends the loop with @code. */
void argus__end(struct argus *g, int code);
/* Writes the book if something changed that may be lost without harm (the server repeats it): once for many. */
void argus__keep(struct argus *g);
/* How long to wait after failure number @n_failures that was answered with @r. */
usec_t argus__wait_after(uint32_t n_failures, const struct outbound_reply *r);
/* With --once: ends when all has been said. */
void argus__maybe_done(struct argus *g);
/* 401: true if the token on disk is another by now and is used from here on. */
bool argus__reread_token(struct argus *g);

/* Says what is due: acks, ends, a heartbeat; one after the other, with its own backoff. */
void argus__talk(struct argus *g);
void argus__talk_done(struct argus *g);

/* One command of a poll, its id is safe. @why: it cannot be read, as argus_job_fn; then it is refused, but for a stop, which needs no more
 * than its batch. */
void argus__work(struct argus *g, const struct argus_job *job, const char *why);
/* What --dry-run prints of it. */
void argus__work_dry(struct argus *g, const struct argus_job *job, const char *why);
/* Compares the book with what exec has, after it was opened. */
void argus__work_adopt(struct argus *g);
extern const struct exec_ops argus__exec_ops; /* ctx: the struct argus, set by the caller in a copy */
uint32_t argus__n_running(const struct argus *g);

#endif
