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

enum { COLLECT_MESSAGE_MAX = 160, COLLECT_PORTS_USED_MAX = 2048 };

/* Where rows go while a collector runs; owns their bytes. Caps: LIMIT_SECTION_ROWS, LIMIT_ROW_BYTES, LIMIT_SECTION_BYTES. */
struct collect_out {
    struct arena *arena;         /* of the rows; collectors keep their own short-lived strings here too */
    struct fact_row *rows;       /* malloced */
    size_t n_rows, cap_rows, n_bytes;
    struct buf scratch;          /* the row being written */
    enum section_status status;  /* OK unless the collector says otherwise */
    char message[COLLECT_MESSAGE_MAX];
    bool is_cut;                 /* a cap was met: says so in message */
};
struct record;
/* Adds a row from a struct by its record table. Key copied. 0, also when this row alone is too big (it is left out, is_cut is
 * set); -ENOBUFS when the section is full: stop. Of rows with one key the first added stays. */
int collect_row(struct collect_out *out, struct str key, const struct record *rec, const void *obj);

/* What the last runs saw, so that unchanged sources need no run. All-zero but for @root: nothing was seen. Plain values. */
struct collect_stamp {
    uint64_t mtime_ns, size, inode;
};
struct collect_state {
    const char *root; /* as for run() */
    struct collect_stamp stamps[SECTION_N][2];
};
/* Forgets what was seen of @s, so that its next is_changed() says yes (after a run that failed, or a Resync). */
void collect_forget(struct collect_state *st, enum section s);

struct collector {
    enum section section;
    usec_t every;                /* cadence; 0: on request only */
    bool no_history;
    /* Cheap question: may anything have changed since it last said yes (mtime of the dpkg status file ...)? It remembers what
     * it saw before it answers, so a change during the run that follows is seen by the next question. NULL: always.
     * @state: a struct collect_state. */
    bool (*is_changed)(void *state);
    /* @root: "" or a prefix of a fake tree in tests (netlink replies are then the files ROOT/netlink/NAME). 0 or -errno: then
     * the section has FAILED with out->message or the error's name. */
    int (*run)(struct collect_out *out, const char *root);
};
/* The table, in section order (collectors[s] is section s), ended by a NULL run. */
extern const struct collector collectors[];

/* Runs one section: rows sorted into @body (fleet/inventory.h), status and message set. 0; a failing collector is status FAILED and
 * an empty body, never an error of this function except -ENOBUFS. */
int collect_section(enum section s, const char *root, struct buf *body, enum section_status *ret_status,
                    char ret_message[COLLECT_MESSAGE_MAX]);
/* The rows as one JSON object for `muster-agent facts`: {"os":{"status":"ok","rows":{key:{...}}}}. Sections on request only are
 * left out. @off not NULL: nothing is collected; each section is disabled, and this is why. 0 or -ENOBUFS. */
int collect_facts_json(const char *root, const char *off, struct buf *out);

/* What the section "ports" says from now on (copied); NULL: there is no scan. @method is static text, @used a JSON object. */
struct collect_ports {
    uint32_t start, end, available, reserved;
    const char *method;
    struct str used;
};
void collect_ports_tell(const struct collect_ports *p);
/* There is no scan, and this is why (copied); until the next call of either. */
void collect_ports_off(enum section_status status, const char *why);

/* Who the host says it is; agent_version and labels are the caller's to fill. Strings live in @a. What cannot be read is left
 * empty: 0, or -ENOBUFS when @a is full. */
struct arena;
int collect_claims(struct arena *a, const char *root, struct host_claims *ret);
/* The cheap sample: two or three small reads; CPU percent is since the previous call with the same @st (0 the first
 * time). @ret is zeroed first; tasks and roles are the caller's to fill. 0; -errno when /proc/stat cannot be read;
 * -EBADMSG when one of stat, loadavg, uptime and meminfo cannot be understood. */
struct beat_state {
    uint64_t cpu_total, cpu_idle;
};
int collect_beat(struct beat_state *st, const char *root, struct heartbeat *ret);

#endif
