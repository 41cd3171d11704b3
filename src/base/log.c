/* base/log.c - see log.h. One lock around everything but the level test, so that a line is never torn and the
 * sink needs no lock of its own. Lines are at most LINE_MAX_BYTES; what a field makes longer is cut. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/log_file.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

enum {
    LINE_MAX_BYTES = 16 << 10,
    VALUE_MAX_BYTES = 4 << 10,
    RING_TEXT_MAX = 1000, /* times 2000 lines: 2 MB at the very most */
    REPEATS_PER_S = 20,
    REPEAT_SLOTS =
        64, /* a slug whose place is taken by another starts to count anew: it errs towards printing */
};

static const struct name level_names[] = {
    { LOG_ERROR, "ERROR" }, { LOG_WARN, "WARN" },   { LOG_INFO, "INFO" },
    { LOG_DEBUG, "DEBUG" }, { LOG_TRACE, "TRACE" }, NAMES_END,
};

struct ring_line {
    uint64_t wall_us;
    enum log_level level;
    char *target, *text;
};
struct repeat {
    char slug[ERR_SLUG_MAX];
    uint64_t second;
    uint32_t n, n_left_out;
};

static struct {
    pthread_mutex_t lock;
    atomic_int level;
    enum log_format format;
    bool has_colour, to_journal;
    struct log_file file; /* .path NULL: stderr */
    log_sink_fn sink;
    void *sink_ctx;
    const struct clock *clock;
    struct ring_line *ring; /* made at the first event */
    uint32_t ring_max, ring_at, ring_n;
    struct repeat repeats[REPEAT_SLOTS];
    uint64_t swept_second;
} g = { .lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .clock = &clock_real };

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&g.level, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store(&g.level, (int)level);
}

int log_level_parse(struct str s, enum log_level *ret)
{
    if (str_eq_nocase(s, STR("warning"))) {
        *ret = LOG_WARN;
        return 0;
    }
    for (const struct name *n = level_names; n->text; n++) {
        if (!str_eq_nocase(s, str_of(n->text)))
            continue;
        *ret = (enum log_level)n->value;
        return 0;
    }
    return -EINVAL;
}

int log_format_parse(struct str s, enum log_format *ret)
{
    static const struct name names[] = {
        { LOG_PRETTY, "pretty" },
        { LOG_JSON, "json" },
        { LOG_COMPACT, "compact" },
        NAMES_END,
    };
    int v = name_value(names, s);
    if (v < 0)
        return -EINVAL;
    *ret = (enum log_format)v;
    return 0;
}

/* -- lines */

static void put_json_str(struct buf *b, struct str s)
{
    AUTO(buf_done) struct buf clean = BUF(3 * VALUE_MAX_BYTES);
    if (!utf8_is_valid(s) && utf8_lossy(&clean, s) == 0)
        s = buf_as_str(&clean);
    buf_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n')
            buf_cstr(b, "\\n");
        else if (c == '\t')
            buf_cstr(b, "\\t");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(b, "\\u%04x", c);
        else
            buf_char(b, (char)c);
    }
    buf_char(b, '"');
}

/* "..." for people: quotes escaped, control characters as \xNN. */
static void put_quoted(struct buf *b, struct str s)
{
    buf_char(b, '"');
    struct str part;
    bool is_first = true;
    while (str_cut(&s, '"', &part)) {
        if (!is_first)
            buf_cstr(b, "\\\"");
        is_first = false;
        text_printable(b, part);
    }
    buf_char(b, '"');
}

static struct str cut_value(struct str s)
{
    if (s.len <= VALUE_MAX_BYTES)
        return s;
    s = str_sub(s, 0, VALUE_MAX_BYTES);
    s.len = utf8_whole_prefix(s);
    return s;
}

static void put_value(struct buf *b, const struct log_field *f, bool is_json)
{
    switch (f->type) {
    case LOG_F_END:
        break;
    case LOG_F_STR:
        if (is_json)
            put_json_str(b, cut_value(f->v.s));
        else
            put_quoted(b, cut_value(f->v.s));
        break;
    case LOG_F_U64:
        buf_printf(b, "%llu", (unsigned long long)f->v.u);
        break;
    case LOG_F_I64:
        buf_printf(b, "%lld", (long long)f->v.i);
        break;
    case LOG_F_F64:
        if (f->v.f - f->v.f == 0) /* finite */
            buf_printf(b, "%.6g", f->v.f);
        else
            buf_cstr(b, "null");
        break;
    case LOG_F_BOOL:
        buf_cstr(b, f->v.u ? "true" : "false");
        break;
    }
}

struct event {
    usec_t wall;
    enum log_level level;
    const char *target, *slug, *msg;
    const struct log_field *fields;
    size_t n;
};

static void put_json(struct buf *b, const struct event *e)
{
    char stamp[CLOCK_TEXT_MAX];
    clock_format(e->wall, 6, stamp);
    buf_printf(b, "{\"timestamp\":\"%s\",\"level\":\"%s\",\"message\":", stamp,
               name_of(level_names, (int)e->level));
    put_json_str(b, str_of(e->msg));
    buf_cstr(b, ",\"target\":");
    put_json_str(b, str_of(e->target));
    buf_cstr(b, ",\"slug\":");
    put_json_str(b, str_of(e->slug));
    for (size_t i = 0; i < e->n; i++) {
        size_t before = b->len;
        buf_char(b, ',');
        put_json_str(b, str_of(e->fields[i].key));
        buf_char(b, ':');
        put_value(b, &e->fields[i], true);
        if (b->len + 64 > LINE_MAX_BYTES) { /* the object must close: this field and the rest are left out */
            b->len = before;
            buf_cstr(b, ",\"cut\":true");
            break;
        }
    }
    buf_char(b, '}');
}

/* message key="value" key=1 */
static void put_text(struct buf *b, const struct event *e)
{
    text_printable(b, str_of(e->msg));
    for (size_t i = 0; i < e->n; i++) {
        buf_printf(b, " %s=", e->fields[i].key);
        put_value(b, &e->fields[i], false);
    }
}

static void put_line(struct buf *b, const struct event *e)
{
    static const char *const colours[] = { "\033[31m", "\033[33m", "\033[32m", "\033[34m", "\033[35m" };
    bool has_colour = g.has_colour && !g.sink && !g.file.path;
    const char *level = name_of(level_names, (int)e->level);
    char stamp[CLOCK_TEXT_MAX];
    if (g.format == LOG_JSON) {
        put_json(b, e);
        return;
    }
    clock_format(e->wall, g.format == LOG_COMPACT ? 0 : 6, stamp);
    if (g.format == LOG_COMPACT) {
        stamp[19] = '\0';
        buf_printf(b, "%s ", stamp + 11);
    } else {
        buf_printf(b, has_colour ? "\033[2m%s\033[0m " : "%s ", stamp);
    }
    if (has_colour)
        buf_printf(b, "%s%s\033[0m ", colours[e->level], level);
    else
        buf_printf(b, "%s ", level);
    if (g.format == LOG_PRETTY)
        buf_printf(b, has_colour ? "\033[2m%s:\033[0m " : "%s: ", e->target);
    put_text(b, e);
}

/* -- where they go */

static void ring_add(const struct event *e)
{
    if (!g.ring_max)
        return;
    if (!g.ring)
        g.ring = xcalloc(g.ring_max, sizeof(*g.ring));
    AUTO(buf_done) struct buf b = BUF(LINE_MAX_BYTES);
    put_text(&b, e);
    struct str text = str_sub(buf_as_str(&b), 0, RING_TEXT_MAX);
    text.len = utf8_whole_prefix(text);
    struct ring_line *l = &g.ring[g.ring_at];
    free(l->target);
    free(l->text);
    *l = (struct ring_line){ e->wall, e->level, xstrdup(e->target), str_dup(text) };
    g.ring_at = (g.ring_at + 1) % g.ring_max;
    if (g.ring_n < g.ring_max)
        g.ring_n++;
}

static void ring_free(void)
{
    for (uint32_t i = 0; g.ring && i < g.ring_max; i++) {
        free(g.ring[i].target);
        free(g.ring[i].text);
    }
    free(g.ring);
    g.ring = NULL;
    g.ring_at = g.ring_n = 0;
}

static void emit(const struct event *e)
{
    static const int priorities[] = { 3, 4, 6, 7, 7 }; /* syslog's, by enum log_level */
    AUTO(buf_done) struct buf b = BUF(LINE_MAX_BYTES + 16);
    ring_add(e);
    if (g.sink) {
        put_line(&b, e);
        g.sink(g.sink_ctx, e->level, e->slug, buf_as_cstr(&b));
        return;
    }
    if (!g.file.path && g.to_journal)
        buf_printf(&b, "<%d>", priorities[e->level]);
    put_line(&b, e);
    if (b.len == b.max)
        b.len--;
    buf_char(&b, '\n');
    if (g.file.path)
        log_file__write(&g.file, e->wall, buf_as_str(&b));
    else
        (void)fd_write_all(STDERR_FILENO, b.ptr, b.len); /* nobody left to tell */
}

/* -- repeats */

static void report_left_out(struct repeat *r, usec_t wall)
{
    if (!r->n_left_out)
        return;
    const struct log_field fields[] = { LOG_CSTR("of", r->slug), LOG_U64("times", r->n_left_out) };
    r->n_left_out = 0;
    emit(&(struct event){ wall, LOG_WARN, "log", "log.repeated", "repeats were left out", fields, 2 });
}

static bool is_repeat(const char *slug, usec_t wall)
{
    static const uint8_t key[16] = "not a secret";
    uint64_t second = wall / USEC_PER_SEC;
    if (second != g.swept_second) {
        g.swept_second = second;
        for (size_t i = 0; i < REPEAT_SLOTS; i++)
            if (g.repeats[i].second != second)
                report_left_out(&g.repeats[i], wall);
    }
    struct repeat *r = &g.repeats[siphash(key, str_of(slug)) % REPEAT_SLOTS];
    if (r->second != second || strncmp(r->slug, slug, sizeof(r->slug) - 1) != 0) {
        report_left_out(r, wall);
        *r = (struct repeat){ .second = second };
        snprintf(r->slug, sizeof(r->slug), "%s", slug);
    }
    if (r->n < REPEATS_PER_S) {
        r->n++;
        return false;
    }
    r->n_left_out++;
    return true;
}

void log_write(enum log_level level, const char *target, const char *slug, const char *msg,
               const struct log_field *fields, size_t n)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    pthread_mutex_lock(&g.lock);
    struct event e = { clock_wall(g.clock), level, target, slug ? slug : "", msg, fields, n };
    if (!is_repeat(e.slug, e.wall))
        emit(&e);
    pthread_mutex_unlock(&g.lock);
    errno = saved;
}

/* -- set-up */

/* systemd tells "device:inode" of the journal's stream; stderr may have been redirected since. */
static bool stderr_is_journal(void)
{
    const char *want = getenv("JOURNAL_STREAM");
    struct stat st;
    char have[64];
    if (!want || fstat(STDERR_FILENO, &st) < 0)
        return false;
    snprintf(have, sizeof(have), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(want, have) == 0;
}

int log_open(const struct log_conf *conf, struct err *err)
{
    struct log_file fresh = { .fd = -1 };
    pthread_mutex_lock(&g.lock);
    int r = 0;
    if (conf->file)
        r = log_file__open(&fresh, conf->file, (int)conf->rotation, conf->retention_days, clock_wall(g.clock),
                           err);
    if (r == 0) {
        log_file__done(&g.file);
        g.file = fresh;
        g.format = conf->format;
        const char *no_colour = getenv("NO_COLOR"); /* no-color.org: set and not empty */
        g.has_colour = isatty(STDERR_FILENO) && !(no_colour && *no_colour);
        g.to_journal = stderr_is_journal();
        if (conf->ring_lines != g.ring_max) {
            ring_free();
            g.ring_max = conf->ring_lines;
        }
    }
    pthread_mutex_unlock(&g.lock);
    if (r == 0)
        log_set_level(conf->level);
    return r;
}

void log_reopen(void)
{
    pthread_mutex_lock(&g.lock);
    if (g.file.path)
        log_file__reopen(&g.file);
    pthread_mutex_unlock(&g.lock);
}

void log_tick(void)
{
    pthread_mutex_lock(&g.lock);
    if (g.file.path)
        log_file__tick(&g.file, clock_wall(g.clock));
    pthread_mutex_unlock(&g.lock);
}

void log_done(void)
{
    pthread_mutex_lock(&g.lock);
    log_file__done(&g.file);
    ring_free();
    g.ring_max = 0;
    g.format = LOG_PRETTY;
    g.sink = NULL;
    g.clock = &clock_real;
    memset(g.repeats, 0, sizeof(g.repeats));
    pthread_mutex_unlock(&g.lock);
    log_set_level(LOG_INFO);
}

void log_set_sink(log_sink_fn fn, void *ctx)
{
    pthread_mutex_lock(&g.lock);
    g.sink = fn;
    g.sink_ctx = ctx;
    pthread_mutex_unlock(&g.lock);
}

void log_set_clock(const struct clock *c)
{
    pthread_mutex_lock(&g.lock);
    g.clock = c ? c : &clock_real;
    pthread_mutex_unlock(&g.lock);
}

void log_visit(log_visit_fn fn, void *ctx)
{
    pthread_mutex_lock(&g.lock);
    for (uint32_t i = 0; i < g.ring_n; i++) {
        const struct ring_line *l = &g.ring[(g.ring_at + g.ring_max - g.ring_n + i) % g.ring_max];
        fn(ctx, l->wall_us, l->level, l->target, l->text);
    }
    pthread_mutex_unlock(&g.lock);
}
