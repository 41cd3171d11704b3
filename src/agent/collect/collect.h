/* agent/collect/collect.h - one source of facts each, as keyed rows of canonical JSON (wire/facts.h).
 *
 * Collectors read /proc, /sys, netlink and files directly; a child process only where a format has no other reader (rpm).
 * They run on the agent's loop thread and must be quick (each states its cost); nothing static is kept between runs but what
 * struct collect_state holds. */
#ifndef MUSTER_AGENT_COLLECT_H
#define MUSTER_AGENT_COLLECT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "wire/checkin.h"
#include "wire/facts.h"

/* Where rows go while a collector runs; owns their bytes. Caps: LIMIT_SECTION_ROWS, LIMIT_ROW_BYTES, LIMIT_SECTION_BYTES. */
struct collect_out {
    struct arena *arena;
    struct fact_row *rows;
    size_t n_rows, cap_rows;
    enum section_status status;  /* OK unless the collector says otherwise */
    char message[160];
    bool is_cut;                 /* a cap was met: says so in message */
};
struct record;
/* Adds a row from a struct by its record table. Key copied. 0, -ENOBUFS (cap). A doubled key replaces nothing and is dropped. */
int collect_row(struct collect_out *out, struct str key, const struct record *rec, const void *obj);

struct collector {
    enum section section;
    usec_t every;                /* cadence; 0: on request only */
    bool no_history;
    /* Cheap question: may anything have changed since the last run (mtime of the dpkg status file ...)? NULL: always. */
    bool (*is_changed)(void *state);
    int (*run)(struct collect_out *out, const char *root); /* @root: "" or a prefix of a fake tree in tests */
};
/* The table, in section order, ended by a NULL run. */
extern const struct collector collectors[];

/* Runs one section: rows sorted into @body (fleet/inventory.h), status and message set. 0; a failing collector is status FAILED and
 * an empty body, never an error of this function except -ENOBUFS. */
int collect_section(enum section s, const char *root, struct buf *body, enum section_status *ret_status, char ret_message[160]);
/* The rows as one JSON object for `muster-agent facts`: {"os":{"status":"ok","rows":{key:{...}}}}. */
int collect_facts_json(const char *root, struct buf *out);

/* Who the host says it is. Strings live in @a. */
struct arena;
int collect_claims(struct arena *a, const char *root, struct host_claims *ret);
/* The cheap sample: two or three small reads; CPU percent is since the previous call with the same @st. */
struct beat_state {
    uint64_t cpu_total, cpu_idle;
};
int collect_beat(struct beat_state *st, const char *root, struct heartbeat *ret);

#endif
