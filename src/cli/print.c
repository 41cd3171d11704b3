/* cli/print.c - see print.h. */
#include "cli/print.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/vec.h"
#include "codec/record.h"

#define BOLD "\x1b[1m"
#define RESET "\x1b[0m"

enum { CELL_MAX = 1 << 20 };

struct column {
    char *heading;
    const struct field *field; /* NULL in a named table */
    size_t base;               /* offset of the struct that holds the field */
    size_t width;
    bool is_right, is_state, has_value;
};
struct table {
    VEC(struct column) columns;
    VEC(char *) cells; /* row by row; owned */
};

/* Words people scan for. What is not here stays plain. */
static const struct {
    const char *word, *color;
} colors[] = {
    { "ready", "\x1b[32m" },        { "online", "\x1b[32m" },   { "succeeded", "\x1b[32m" },
    { "ok", "\x1b[32m" },           { "approved", "\x1b[32m" }, { "busy", "\x1b[36m" },
    { "running", "\x1b[36m" },      { "stale", "\x1b[33m" },    { "late", "\x1b[33m" },
    { "pending", "\x1b[33m" },      { "partial", "\x1b[33m" },  { "queued", "\x1b[33m" },
    { "disconnected", "\x1b[31m" }, { "lost", "\x1b[31m" },     { "failed", "\x1b[31m" },
    { "cancelled", "\x1b[31m" },    { "revoked", "\x1b[31m" },  { "denied", "\x1b[31m" },
    { "rejected", "\x1b[31m" },
};

const char *print_color_of(struct str word)
{
    for (size_t i = 0; i < ARRAY_SIZE(colors); i++)
        if (str_is(word, colors[i].word))
            return colors[i].color;
    return "";
}

static const char *heading_of(const struct field *f)
{
    return f->column ? f->column : f->name;
}

static bool is_number(enum field_type t)
{
    return t == FT_I32 || t == FT_U32 || t == FT_I64 || t == FT_U64 || t == FT_F64;
}

static void add_columns(struct table *t, const struct record *rec, size_t base, bool wide)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        const char *heading = heading_of(f);
        if (!heading[0] || ((f->flags & FIELD_WIDE) && !wide))
            continue;
        if (f->type == FT_SUB) {
            add_columns(t, f->sub, base + f->offset, wide);
            continue;
        }
        struct column *c = vec_add(&t->columns);
        *c = (struct column){ .heading = xstrdup(heading),
                              .field = f,
                              .base = base,
                              .width = utf8_columns(str_of(heading)),
                              .is_right = is_number(f->type) && !(f->flags & FIELD_ID),
                              .is_state = f->flags & FIELD_STATE };
    }
}

struct table *table_of(const struct record *rec, bool wide)
{
    struct table *t = xnew0(struct table);
    add_columns(t, rec, 0, wide);
    return t;
}

struct table *table_named(const struct str *headings, size_t n)
{
    struct table *t = xnew0(struct table);
    for (size_t i = 0; i < n; i++) {
        AUTO(buf_done) struct buf b = BUF(CELL_MAX);
        text_printable(&b, headings[i]);
        struct column *c = vec_add(&t->columns);
        *c = (struct column){ .heading = str_dup(buf_as_str(&b)), .width = utf8_columns(buf_as_str(&b)) };
    }
    return t;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->columns.n; i++)
        free(t->columns.v[i].heading);
    for (size_t i = 0; i < t->cells.n; i++)
        free(t->cells.v[i]);
    vec_done(&t->columns);
    vec_done(&t->cells);
    free(t);
}

size_t table_rows(const struct table *t)
{
    return t->columns.n ? t->cells.n / t->columns.n : 0;
}

static void add_cell(struct table *t, size_t i, struct buf *b)
{
    struct column *c = &t->columns.v[i];
    if (b->len == 0)
        buf_char(b, '-');
    struct str s = buf_as_str(b);
    size_t width = utf8_columns(s);
    if (width > c->width)
        c->width = width;
    /* Where all rows say nothing, or the usual, the column tells nothing and is left out. */
    c->has_value |= !str_is(s, "-") && !(c->field && c->field->usual && str_is(s, c->field->usual));
    *vec_add(&t->cells) = str_dup(s);
}

/* A time that is still to come ("expires") is an age below zero for record_cell(): say so in words. */
static void put_cell(const struct field *f, const void *obj, usec_t now, struct buf *out)
{
    usec_t at =
        f->type == FT_TIME || f->type == FT_TIME_MS ? *(const usec_t *)((const char *)obj + f->offset) : 0;
    if (now && at > now) {
        char text[CLOCK_TEXT_MAX];
        clock_format_age(at - now, text);
        buf_printf(out, "in %s", text);
        return;
    }
    (void)record_cell(f, obj, now, out);
}

void table_add(struct table *t, const void *obj, usec_t now)
{
    for (size_t i = 0; i < t->columns.n; i++) {
        AUTO(buf_done) struct buf b = BUF(CELL_MAX);
        put_cell(t->columns.v[i].field, (const char *)obj + t->columns.v[i].base, now, &b);
        add_cell(t, i, &b);
    }
}

void table_add_cells(struct table *t, const struct str *cells)
{
    for (size_t i = 0; i < t->columns.n; i++) {
        AUTO(buf_done) struct buf b = BUF(CELL_MAX);
        text_printable(&b, cells[i]);
        add_cell(t, i, &b);
    }
}

static void pad(struct buf *out, size_t n)
{
    buf_printf(out, "%*s", (int)n, "");
}

static void put_row(const struct table *t, char *const *cells, bool color, bool all_columns, struct buf *out)
{
    size_t owed = 0; /* spaces not yet written, so that no line ends in some */
    for (size_t i = 0; i < t->columns.n; i++) {
        const struct column *c = &t->columns.v[i];
        if (!all_columns && !c->has_value && table_rows(t))
            continue;
        struct str s = str_of(cells ? cells[i] : c->heading);
        size_t width = utf8_columns(s), room = c->width > width ? c->width - width : 0;
        const char *paint = !color ? "" : !cells ? BOLD : c->is_state ? print_color_of(s) : "";
        pad(out, owed + (c->is_right ? room : 0));
        buf_printf(out, "%s%.*s%s", paint, STR_FMT(s), *paint ? RESET : "");
        owed = 2 + (c->is_right ? 0 : room);
    }
    buf_char(out, '\n');
}

void table_write(const struct table *t, bool color, bool all_columns, struct buf *out)
{
    put_row(t, NULL, color, all_columns, out);
    for (size_t r = 0; r < table_rows(t); r++)
        put_row(t, &t->cells.v[r * t->columns.n], color, all_columns, out);
}

/* -- one object */
enum { VALUE_AT = 24 };

/* "memory_bytes" is "memory": its value says "2.0 GiB". */
static void put_label(const char *name, size_t indent, struct buf *out)
{
    struct str s = str_of(name), unit = STR("_bytes");
    size_t width = str_ends(s, unit) ? s.len - unit.len : s.len;
    pad(out, indent);
    for (size_t i = 0; i < width; i++)
        buf_char(out, name[i] == '_' ? ' ' : (char)tolower((unsigned char)name[i]));
    buf_char(out, ':');
    pad(out, width + indent + 1 < VALUE_AT ? VALUE_AT - width - indent - 1 : 1);
}

/* What is not there, none, or not so: one object has many of those. */
static bool says_nothing(const struct field *f, struct str s)
{
    static const char *const zeros[] = { "0", "0 B", "0s" };
    bool is_zero = false;
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        is_zero |= str_is(s, zeros[i]) && (is_number(f->type) || f->type == FT_DURATION);
    return s.len == 0 || str_is(s, "-") || is_zero || (f->type == FT_BOOL && str_is(s, "no"));
}

static void put_value(const struct field *f, const void *obj, usec_t now, struct buf *out)
{
    const char *p = (const char *)obj + f->offset;
    if (f->type == FT_U64 && str_ends(str_of(f->name), STR("_bytes"))) {
        print_bytes(*(const uint64_t *)p, out);
        return;
    }
    bool is_time = f->type == FT_TIME || f->type == FT_TIME_MS;
    (void)record_cell(f, obj, 0, out);
    if (is_time && now && *(const usec_t *)p) {
        usec_t at = *(const usec_t *)p;
        char text[CLOCK_TEXT_MAX];
        clock_format_age(now > at ? now - at : at - now, text);
        buf_printf(out, now > at ? " (%s ago)" : " (in %s)", text);
    }
}

/* A line for each: its first member, then the others that say something. */
static void put_list(const struct field *f, const void *obj, size_t indent, struct buf *out)
{
    const struct any_list *l = (const void *)((const char *)obj + f->offset);
    for (size_t i = 0; i < l->n; i++) {
        const void *row = (const char *)l->v + i * f->sub->size;
        size_t start = out->len, n = 0;
        pad(out, indent);
        for (size_t k = 0; k < f->sub->n_fields; k++) {
            const struct field *m = &f->sub->fields[k];
            AUTO(buf_done) struct buf b = BUF(PRINT_MAX);
            (void)record_cell(m, row, 0, &b);
            if (says_nothing(m, buf_as_str(&b)))
                continue;
            if (n > 0)
                buf_cstr(out, ":");
            if (n == 1 && out->len - start < VALUE_AT)
                pad(out, VALUE_AT - (out->len - start));
            else if (n > 0)
                buf_cstr(out, " ");
            (void)buf_str(out, buf_as_str(&b));
            n++;
        }
        buf_char(out, '\n');
    }
}

static void put_object(const struct record *rec, const void *obj, usec_t now, size_t indent, struct buf *out)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        const struct field *f = &rec->fields[i];
        AUTO(buf_done) struct buf b = BUF(PRINT_MAX);
        if (f->type == FT_SUB || f->type == FT_LIST) {
            if (f->type == FT_SUB)
                put_object(f->sub, (const char *)obj + f->offset, now, indent + 2, &b);
            else
                put_list(f, obj, indent + 2, &b);
            if (b.len) {
                put_label(f->name, indent, out);
                while (out->len && out->ptr[out->len - 1] == ' ')
                    out->len--;
                buf_char(out, '\n');
                (void)buf_str(out, buf_as_str(&b));
            }
            continue;
        }
        put_value(f, obj, now, &b);
        if (says_nothing(f, buf_as_str(&b)))
            continue;
        put_label(f->name[0] ? f->name : heading_of(f), indent, out);
        (void)buf_str(out, buf_as_str(&b));
        buf_char(out, '\n');
    }
}

void print_object(const struct record *rec, const void *obj, usec_t now, struct buf *out)
{
    put_object(rec, obj, now, 0, out);
}

void print_name(const struct record *rec, const void *obj, struct buf *out)
{
    for (size_t i = 0; i < rec->n_fields; i++) {
        if (!(rec->fields[i].flags & FIELD_ID))
            continue;
        (void)record_cell(&rec->fields[i], obj, 0, out);
        buf_char(out, '\n');
        return;
    }
}

void print_bytes(uint64_t n, struct buf *out)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    double v = (double)n;
    size_t u = 0;
    while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
        v /= 1024;
        u++;
    }
    buf_printf(out, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

/* A terminal shared with a program that made it non-blocking says EAGAIN: wait for it. */
int print_out(int fd, struct str s)
{
    while (s.len) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };
            (void)poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return -errno;
        } else if (n > 0) {
            s = str_sub(s, (size_t)n, s.len);
        }
    }
    return 0;
}
