/* agent/dialects/grapheon.h - private to the Graphēon personality: a one-shot run that reports addresses, neighbours, connections
 * and routes as deltas. docs/internals/personalities.md, docs/wire/grapheon.md. One thread.
 *
 *   options -> state directory -> rows (netlink, or ip/ss/netstat) -> delta -> reports that fit -> server -> state directory
 *
 * A row is its canonical text: compact JSON, keys sorted, non-ASCII as \uXXXX: the identity of a row, equal byte for byte to what
 * the Python agent writes, so that either may go on from the other's state.json. */
#ifndef MUSTER_AGENT_DIALECTS_GRAPHEON_H
#define MUSTER_AGENT_DIALECTS_GRAPHEON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/json.h"
#include "codec/json_ascii.h"
#include "codec/listing.h"
#include "wire/facts.h"
#include "wire/report.h"

/* In the order they are collected. */
enum grapheon_section { GS_ADDRESSES, GS_NEIGHBORS, GS_CONNECTIONS, GS_ROUTES, GS_N };
extern const char *const grapheon_section_names[GS_N]; /* addresses neighbors connections routes */
extern const char *const grapheon_command_names[GS_N]; /* ip_addr ip_neigh ss_tunap ip_route: the policy's words */

enum {
    GRAPHEON_ARENA = 256 << 20,       /* of a run: rows of now and of last time */
    GRAPHEON_STATE_BYTES = 32 << 20,  /* largest state.json that is read */
    GRAPHEON_RAW_BYTES = 262144,      /* compressed body a server takes (AGENT_MAX_REPORT_BYTES) */
    GRAPHEON_REPORT_MIN = 16384,      /* smallest max_report_bytes a policy may ask for */
    GRAPHEON_REGISTER_BYTES = 60000,  /* of a registration; musterd takes 64 KiB */
    GRAPHEON_OUTPUT_BYTES = 16 << 20, /* of one command */
    GRAPHEON_TEXT_MAX = 4 << 20,      /* of one command, as a server reads it */
    GRAPHEON_ROWS_MAX = 20000,        /* of a section, unless --max-rows says otherwise */
};

/* -- grapheon_rows.c: what of the rows (codec/listing.h) is new */
/* Rows of @now that @before does not have, doubles kept, to @ret_added; distinct rows of @before that are gone to @ret_gone. Both
 * sorted; the results borrow the texts. */
void rows__delta(const struct rows *now, const struct rows *before, struct rows *ret_added, struct rows *ret_gone);
/* Takes connections that listen on every address out; counts them. How many. */
size_t rows__drop_wildcards(struct rows *r);
size_t rows__count_wildcards(const struct rows *r);
/* A set of distinct rows as count and digest (docs/wire/grapheon.md), kept up by adding and taking away. */
struct told {
    size_t n;
    struct fact_digest digest;
};
void told__add(struct told *t, enum grapheon_section s, struct str row);
void told__sub(struct told *t, enum grapheon_section s, struct str row);

/* -- collecting */
struct grapheon_sample {
    struct rows rows[GS_N];
    enum section_status status[GS_N];
    char why[GS_N][160];
    struct buf text[GS_N]; /* what was printed, where that was wished for and could be read */
    const char *command[GS_N]; /* by that name */
};
struct collect_wish {
    struct arena *arena;
    bool enabled[GS_N];
    bool by_commands, keep_text;
    usec_t timeout; /* of one command */
    size_t max_rows;
    bool drop_time_wait, is_extended;
    const char *root; /* "" or a fake tree (netlink) */
};
/* A section that fails is empty and says why. Never fails as a whole. Release with sample__done(). */
void grapheon__collect(const struct collect_wish *w, struct grapheon_sample *ret);
void sample__done(struct grapheon_sample *s);
DEFINE_AUTO_VALUE(struct grapheon_sample, sample__done)
/* grapheon_netlink.c: one section from the kernel. 0 or -errno. */
int grapheon__netlink(enum grapheon_section s, const char *root, struct rows *out);
/* grapheon_commands.c: runs a program of PATH and hands out what it printed. 0; -ENOENT not found; -ETIMEDOUT; -EMSGSIZE; -EIO
 * (exit code) and
 * @err. */
int grapheon__command(const char *const *argv, usec_t timeout, struct buf *out, struct err *err);
/* Rows of a section's command, its text to @text and its name to @ret_name. As above. */
int grapheon__by_command(enum grapheon_section s, usec_t timeout, struct rows *out, struct buf *text, const char **ret_name,
                         struct err *err);

/* -- grapheon_rules.c: pure decisions */
struct grapheon_policy {
    uint32_t interval_s, jitter_s, command_timeout_s, max_report_bytes;
    bool enabled[GS_N];  /* by enabled_commands, and by collectors where there is such a list */
    bool has_collectors;
    size_t n_unknown;    /* collectors it names that this agent does not have */
    char unknown[REPORT_COLLECTORS_MAX][REPORT_COLLECTOR_NAME_MAX + 1];
    char target_version[REPORT_VERSION_MAX + 1]; /* what operators want to run here; empty: they do not say */
};
/* Built-in defaults, over them @cached, over that @fresh (either may be NULL or no map), key by key; written as canonical JSON to
 * @out. Keys of ours count only as long as the server says them: not naming one is how it is taken back. */
int grapheon__policy_merge(const struct node *cached, const struct node *fresh, struct buf *out);
/* Out of the merged object: a value that is missing, null or out of bounds counts as the default. */
void grapheon__policy_read(const struct node *merged, struct grapheon_policy *ret);
/* ISO time with or without zone (none: UTC). 0 or -EINVAL. */
int grapheon__time(struct str s, usec_t *ret);
/* May this run collect? @last 0: never reported. A last time that lies ahead by more than the interval is a wrong clock and does
 * not count. */
bool grapheon__gate(const struct grapheon_policy *p, uint32_t timer_s, usec_t last, usec_t now, usec_t *ret_wait);
/* The same for one uuid every time, spread over 0..jitter_s. */
uint32_t grapheon__jitter(struct str uuid, uint32_t jitter_s);
/* 422 that refuses a whole report without saying which row: upstream's way to say "wildcard listener". */
bool grapheon__is_wildcard_refusal(int status, const struct node *body);
/* Wait before attempt @n (1: the second); @retry_after wins if it is longer. @random spreads it by half. */
usec_t grapheon__backoff(unsigned n, usec_t retry_after, uint64_t random);
/* May it be asked again? @status: of HTTP, 0 for no answer. */
bool grapheon__is_retryable(int status);
/* 0, 1 and 2, or with @fine the codes of --exit-codes fine. @status as above; @r of the failure. */
enum {
    GRAPHEON_EXIT_OK = 0,
    GRAPHEON_EXIT_FAILED = 1,
    GRAPHEON_EXIT_USAGE = 2,
    GRAPHEON_EXIT_NETWORK = 3,
    GRAPHEON_EXIT_AUTH = 4,
    GRAPHEON_EXIT_REFUSED = 5,
    GRAPHEON_EXIT_SERVER = 6,
    GRAPHEON_EXIT_CONFIG = 78
};
int grapheon__exit_code(bool fine, int status, bool is_network);

/* -- grapheon_options.c */
enum grapheon_wildcards { GW_AUTO, GW_SEND, GW_DROP };
struct grapheon_options {
    char *config, *state_dir, *server_url, *enrollment_key, *enrollment_key_file, *display_name, *site_name, *hostname;
    char *api_key_header, *ca_file, *client_cert, *client_key, *log_level, *collector, *wildcards, *exit_codes;
    int64_t request_timeout_s, timer_interval_s, retries, max_rows, full_every_s;
    bool insecure_skip_verify, allow_http, drop_time_wait, extended_rows, raw, reregister, forget_enrollment_key;
    bool register_only, check_in_only, force, no_jitter, print_report, check_config, help, version, man;
    const char *word; /* "status", or NULL */
    enum grapheon_wildcards wildcard_mode;
    bool by_commands, fine_codes;
};
/* Flags, environment, the env file, defaults. 0; -EINVAL "usage" (exit 2) or "config.*" (exit 1) and @err. Secrets in argv are
 * overwritten. Release with grapheon__options_done(), also after a failure. */
int grapheon__options(struct grapheon_options *o, int argc, char **argv, struct err *err);
void grapheon__options_done(struct grapheon_options *o);
DEFINE_AUTO_VALUE(struct grapheon_options, grapheon__options_done)
/* Where a value came from: "flag", "environment", "file", "default". @name without dashes. */
const char *grapheon__option_origin(const char *name);
int grapheon__help(const char *program, struct buf *out);
int grapheon__man(struct buf *out);
int grapheon__usage(const char *program, struct buf *out);
/* KEY=VALUE lines as the upstream agent reads them; the last of a repeated key wins. Calls @fn for each. */
void grapheon__env_file(struct str text, void (*fn)(void *ctx, struct str key, struct str value), void *ctx);
/* What may be printed: secrets as "(set)". */
int grapheon__options_dump(const struct grapheon_options *o, struct buf *out);

/* -- grapheon_state.c: the state directory */
struct grapheon_state {
    char *dir;
    int dir_fd; /* flock()ed: one run at a time */
    struct arena *arena;
    char uuid[129];
    char *api_key;           /* NULL: none */
    char *claim;             /* made with the uuid; NULL for a directory that is only looked at */
    const struct node *file; /* state.json, or NULL when there is none or it was broken */
    bool was_broken;
    /* what state.json says; written back as a whole */
    struct buf policy; /* canonical JSON; empty: none */
    const struct node *agent_id, *last_summary;
    struct str enrollment_state, last_success;
    uint64_t sequence;
    bool has_jitter;
    uint32_t last_jitter;
    struct rows last[GS_N];
    bool has_snapshot;
    /* .muster.json: ours, so that state.json keeps to upstream's keys */
    char epoch[65];
    usec_t last_full;
    uint64_t seen_sequence;
    struct {
        char *origin;
        usec_t at;
    } refused[8]; /* servers that refuse wildcard listeners */
    size_t n_refused;
};
/* Opens @dir, making it (0700). Only @peek: makes and changes nothing. 0; -EBUSY another run; -EINVAL state.json is no object;
 * -errno. */
int grapheon__state_open(const char *dir, bool peek, struct grapheon_state **ret, struct err *err);
void grapheon__state_free(struct grapheon_state *s);
DEFINE_AUTO(struct grapheon_state *, grapheon__state_free)
int grapheon__state_save(struct grapheon_state *s, struct err *err);
int grapheon__state_set_key(struct grapheon_state *s, struct str key, struct err *err);
bool grapheon__state_refuses_wildcards(const struct grapheon_state *s, const char *origin, usec_t now);
void grapheon__state_note_refusal(struct grapheon_state *s, const char *origin, usec_t now);

/* -- grapheon_report.c: bodies */
struct report_head {
    const char *uuid, *hostname, *epoch;
    const struct grapheon_policy *policy;
    char platform_release[256];
    char observed_at[CLOCK_TEXT_MAX];
};
/* What is to be told: additions and removals by section, of which @done are told already. */
struct report_plan {
    struct rows added[GS_N], gone[GS_N];
    size_t at_added[GS_N], at_gone[GS_N];
    bool full;
    bool raw;               /* not rows but the texts they were read from, all of them and in one report */
    struct told told[GS_N]; /* the set the server has, as far as we told it */
    const struct grapheon_sample *sample;
};
/* One report of at most @max_decoded bytes with the next rows, as JSON in @json and gzip in @gz (at most GRAPHEON_RAW_BYTES).
 * @ret says how far it goes in each section. 0 or -EMSGSIZE: not even one row fits, or not all of the
 * texts. Changes nothing in @p. */
struct report_step {
    size_t added[GS_N], gone[GS_N]; /* rows of this report */
    struct told told[GS_N];         /* after it */
    bool is_last;
};
int grapheon__report_step(const struct report_plan *p, const struct report_head *h, uint64_t sequence, size_t max_decoded,
                          struct buf *json, struct buf *gz, struct report_step *ret);
/* A registration; addresses that do not fit into GRAPHEON_REGISTER_BYTES are left out. */
int grapheon__register_body(const struct grapheon_options *o, const struct report_head *h, const char *claim,
                            struct str enrollment_key, const struct rows *addresses, struct buf *b);

/* -- grapheon_talk.c: requests with their second chances */
struct loop;
struct outbound;
struct talk {
    struct loop *loop;
    struct outbound *out;
    struct arena *arena; /* of the answers */
    unsigned retries;
    const char *key_header;
};
struct answer {
    int status;              /* of HTTP; 0: none came */
    const struct node *json; /* of the body when that is JSON, else NULL; in the talk's arena */
    struct str body;
    struct err err;       /* of a failure */
    bool is_network;      /* no usable answer */
    bool maybe_delivered; /* an attempt before this answer may have reached the server */
};
/* 0; -errno and @err (URL, CA, certificate). Release with talk__done(). */
int talk__init(struct talk *t, const struct grapheon_options *o, struct arena *a, struct err *err);
void talk__done(struct talk *t);
DEFINE_AUTO_VALUE(struct talk, talk__done)
/* True: 2xx with a JSON object in @ret. False: @ret says why. @key NULL: no key; @gzipped: the body is. */
bool talk__post(struct talk *t, const char *path, struct str body, bool gzipped, const char *key, struct answer *ret);

/* -- grapheon_run.c */
/* The whole of a run but options; the exit code. */
int grapheon__run(const struct grapheon_options *o);
/* status, --print-report, --check-config */
int grapheon__status(const struct grapheon_options *o);
int grapheon__print_report(const struct grapheon_options *o);
int grapheon__check_config(const struct grapheon_options *o);
/* Shared by the two files. */
void grapheon__head(const struct grapheon_options *o, const struct grapheon_state *s, struct report_head *ret,
                    char hostname[256]);
void grapheon__wish(const struct grapheon_options *o, const struct grapheon_policy *p, struct arena *a, struct collect_wish *ret);
struct grapheon_policy grapheon__policy_of(const struct grapheon_state *s);
void grapheon__plan(const struct grapheon_state *s, const struct grapheon_sample *sample, bool full, struct report_plan *ret);
void plan__done(struct report_plan *p);
DEFINE_AUTO_VALUE(struct report_plan, plan__done)

/* -- grapheon_log.c: lines like those of the upstream agent, "2026-11-22 04:07:41,781 INFO grapheon_agent: text" on stderr */
enum say_level { SAY_DEBUG = 10, SAY_INFO = 20, SAY_WARNING = 30, SAY_ERROR = 40, SAY_CRITICAL = 50 };
void grapheon__say_level(const char *name); /* unknown: INFO */
void grapheon__say(enum say_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
