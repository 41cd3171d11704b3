/* api/dialects/grapheon_raw.c - texts of commands in a check-in: {"raw": {"ip_neigh": "[...]", "ss_tunap": "tcp LISTEN ..."}}.
 *
 * They are read by what the agent reads them with (codec/listing.h), as extended rows, and each row it finds goes the way a row of a list
 * goes: so the keys, the digests and the refusals are the same whoever did the reading. Nothing of a text is kept but its rows. Pool thread. */
#include "api/dialects/grapheon_reader.h"

#include <errno.h>
#include <stdio.h>

#include "codec/listing.h"

/* One text on its way. */
struct text_walk {
    struct reader *rd;
    const struct listing *l;
    struct section_walk section;
    struct rows rows;
};

static void refuse_text(struct reader *rd, const char *name, const char *type, const char *message)
{
    struct report_refusal why = { .type = type };

    (void)snprintf(why.field, sizeof(why.field), "raw.%s", name);
    (void)snprintf(why.message, sizeof(why.message), "%s", message);
    grapheon__refuse_alone(rd, &why);
}

static void on_refused(void *ctx, size_t at, const char *field, const char *message)
{
    const struct text_walk *w = ctx;
    struct report_refusal why = { .type = "value_error" };

    (void)snprintf(why.field, sizeof(why.field), "raw.%s.%zu%s%s", w->l->name, at, field[0] ? "." : "", field);
    (void)snprintf(why.message, sizeof(why.message), "%s", message);
    grapheon__refuse_alone(w->rd, &why);
}

static int on_row(void *ctx, struct str text)
{
    struct text_walk *w = ctx;
    struct json_scan scan;
    const struct json_item row = { .kind = json_scan_open(text, &scan), .raw = text };
    struct report_refusal why;

    if (!grapheon__row(w->rd, &w->section, &row, &why)) /* as if the agent had sent it */
        on_refused(w, w->rows.at, why.field, why.message);
    return w->rd->is_full_up ? -ENOBUFS : 0;
}

/* The last word on a text that could not be read: the section is as it was, and says that its collector failed. */
static const char *fail(struct reader *rd, const struct listing *l, enum report_section s, const char *type, const char *message)
{
    struct report_rows *in = &rd->out->sections[s];

    *in = (struct report_rows){ .is_raw = true, .is_told = true, .status = SECTION_FAILED };
    refuse_text(rd, l->name, type, message);
    return "failed";
}

/* Its verdict. */
static const char *read_text(struct reader *rd, const struct listing *l, enum report_section s, const struct json_item *m,
                             bool is_whole, size_t *count)
{
    struct report_rows *in = &rd->out->sections[s];
    struct text_walk w = {
        .rd = rd, .l = l, .rows = { .arena = rd->a, .is_extended = true, .take = on_row, .refused = on_refused, .ctx = &w }
    };
    struct err err = { 0 };
    struct str text;

    if (m->kind != JSON_STR)
        return fail(rd, l, s, "string_type", "must be a string");
    text = json_item_text(m, rd->a);
    if (text.len > GRAPHEON_RAW_TEXT_MAX)
        return fail(rd, l, s, "string_too_long", "is longer than 4 MiB");
    if (!text.ptr) {
        rd->is_full_up = true;
        return "failed";
    }
    in->is_raw = true;
    in->is_whole = is_whole;
    if (!grapheon__rows_begin(rd, s, text.len, &w.section))
        return "failed";
    int r = l->read(text, &w.rows, &err);
    *count = grapheon__rows_end(rd, &w.section) + w.rows.n_refused;
    rd->is_full_up |= r == -ENOBUFS;
    bool is_no_listing = *count > 0 && in->n_rows == 0; /* what was printed in its place: "Cannot open netlink socket" */
    if (rd->is_full_up || (r == 0 && !is_no_listing))
        return "ok";
    *count = 0;
    return fail(rd, l, s, "value_error", r == 0 ? "no line of it could be read" : err_is(&err) ? err.text : "cannot be read");
}

/* A name as it may be shown: at most REPORT_RAW_NAME_MAX bytes, no half characters. */
static struct str shown(struct reader *rd, const struct json_item *m)
{
    const struct json_item quoted = { .kind = JSON_STR, .raw = { m->key.ptr - 1, m->key.len + 2 } };
    struct str s = json_item_text(&quoted, rd->a);
    size_t n = s.len < REPORT_RAW_NAME_MAX ? s.len : REPORT_RAW_NAME_MAX;

    while (n < s.len && n > 0 && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--;
    return str_sub(s, 0, n);
}

/* The first word on a name is the one that is told: it may be there twice, with escapes, or be another that was cut. */
static void answer(struct reader *rd, struct str name, const char *verdict)
{
    struct report *out = rd->out;

    for (size_t i = 0; i < out->n_raws; i++)
        if (str_eq(out->raws[i].name, name))
            return;
    if (!out->raws)
        out->raws = arena_array(rd->a, REPORT_RAWS, sizeof(*out->raws));
    if (out->raws && out->n_raws < REPORT_RAWS)
        out->raws[out->n_raws++] = (struct report_raw){ name, verdict };
}

void grapheon__read_raw(struct reader *rd, const struct json_item *raw, bool is_whole, size_t *const counts[REPORT_SECTIONS])
{
    struct json_item texts[LISTINGS] = { 0 };
    struct json_scan walk = json_scan_into(raw);

    rd->out->has_raw = true;
    for (struct json_item m; json_scan_next(&walk, &m);) {
        const struct listing *l = listing_find(m.key);

        if (l)
            texts[l - listings] = m; /* named twice: the later word counts */
    }
    for (size_t i = 0; i < LISTINGS && !rd->is_full_up; i++) {
        const struct listing *l = &listings[i];
        int s = name_value(report_section_names, str_of(l->section));

        if (texts[i].kind == JSON_BAD || texts[i].kind == JSON_NULL)
            continue; /* not there, or said to be not there */
        answer(rd, str_of(l->name),
               rd->out->sections[s].is_raw ? "unused" : read_text(rd, l, (enum report_section)s, &texts[i], is_whole, counts[s]));
    }
    walk = json_scan_into(raw);
    for (struct json_item m; json_scan_next(&walk, &m) && rd->out->n_raws < REPORT_RAWS;)
        if (!listing_find(m.key))
            answer(rd, shown(rd, &m), "unknown");
}
