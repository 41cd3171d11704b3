/* base/log.h - one event a line, with fields.
 *
 *   log_info("host.approved", "host approved", LOG_STR("host", name), LOG_U64("id", id));
 *
 * One event is logged once, by whoever handled it; base, codec, net, fleet may only log_debug. Fields named
 * with a secret never reach here. The message is constant text; what varies is a field. Control characters are
 * escaped. Any thread; the sink is set once at start. Repeats of one slug above 20 a second are counted and
 * reported, not printed. Shapes (pretty, json, compact): sandbox spec section 11. */
#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_PRETTY, LOG_JSON, LOG_COMPACT };

struct log_field {
    const char *key;
    enum { LOG_F_END, LOG_F_STR, LOG_F_U64, LOG_F_I64, LOG_F_F64, LOG_F_BOOL } type;
    union {
        struct str s;
        uint64_t u;
        int64_t i;
        double f;
    } v;
};
#define LOG_STR(k, val) ((struct log_field){ (k), LOG_F_STR, { .s = (val) } })
#define LOG_CSTR(k, val) LOG_STR(k, str_of(val))
#define LOG_U64(k, val) ((struct log_field){ (k), LOG_F_U64, { .u = (val) } })
#define LOG_I64(k, val) ((struct log_field){ (k), LOG_F_I64, { .i = (val) } })
#define LOG_F64(k, val) ((struct log_field){ (k), LOG_F_F64, { .f = (val) } })
#define LOG_BOOL(k, val) ((struct log_field){ (k), LOG_F_BOOL, { .u = (val) } })
/* slug and sentence of a struct err. */
#define LOG_ERR(e) LOG_CSTR("error", (e)->slug), LOG_CSTR("why", (e)->text)

void log_write(enum log_level level, const char *target, const char *slug, const char *msg,
               const struct log_field *fields, size_t n);

#define log__at(level, slug, msg, ...)                                                             \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log__f[] = { __VA_ARGS__ __VA_OPT__(, ){ 0 } };                 \
            log_write(level, LOG_TARGET, slug, msg, log__f, sizeof(log__f) / sizeof(log__f[0]) - 1); \
        }                                                                                          \
    } while (0)
#ifndef LOG_TARGET
#define LOG_TARGET "muster"
#endif
#define log_error(slug, ...) log__at(LOG_ERROR, slug, __VA_ARGS__)
#define log_warn(slug, ...) log__at(LOG_WARN, slug, __VA_ARGS__)
#define log_info(slug, ...) log__at(LOG_INFO, slug, __VA_ARGS__)
#define log_debug(slug, ...) log__at(LOG_DEBUG, slug, __VA_ARGS__)

bool log_enabled(enum log_level level);
void log_set_level(enum log_level level);
int log_level_parse(struct str s, enum log_level *ret);   /* 0 or -EINVAL; accepts "warning" */
int log_format_parse(struct str s, enum log_format *ret); /* 0 or -EINVAL */

struct log_conf {
    enum log_level level;
    enum log_format format;
    const char *file;          /* NULL: stderr */
    enum { LOG_ROTATE_NEVER, LOG_ROTATE_DAILY, LOG_ROTATE_HOURLY } rotation;
    uint32_t retention_days;   /* rotated files older than this are deleted; 0: kept */
    uint32_t ring_lines;       /* kept for log_visit(): LOG_RING_LINES in the server, 0 in the tiny agent */
};
enum { LOG_RING_LINES = 2000 };
/* Opens the sink; colour only if stderr is a terminal and NO_COLOR is unset. 0 or -errno and @err. May be called
 * again (reload). Not thread-safe against log_write of the very first call. */
int log_open(const struct log_conf *conf, struct err *err);
/* Reopens the file (SIGUSR1, logrotate). */
void log_reopen(void);

/* To be called now and then: rotation and retention must not wait for the next line of a server that has nothing to
 * say. Cheap. */
void log_tick(void);

/* Tests: every event goes to @fn instead. NULL restores. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *slug, const char *line);
void log_set_sink(log_sink_fn fn, void *ctx);
/* Tests: time stamps, rotation and the repeat limit follow @c (borrowed). NULL: the real clock. */
struct clock;
void log_set_clock(const struct clock *c);
/* Closes the file and frees the ring; back to INFO on stderr. For tests and the end of main(). */
void log_done(void);

/* The newest log_conf.ring_lines events for an API, each as "message key=value..." without time and level: visits
 * oldest first; @fn runs with the log's lock held, so it must not log. */
typedef void (*log_visit_fn)(void *ctx, uint64_t wall_us, enum log_level level, const char *target,
                             const char *line);
void log_visit(log_visit_fn fn, void *ctx);

#endif
