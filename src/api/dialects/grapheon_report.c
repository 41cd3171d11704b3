/* api/dialects/grapheon_report.c - the body of a check-in, read in one walk over its text. Runs on a pool thread: nothing here is
 * shared.
 *
 * First the members are found, because what comes last (digest, removed) decides how rows that came first are keyed. */
#include "api/dialects/grapheon_reader.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "fleet/inventory.h"

enum {
    ROW_USUAL = 120, /* what a row of a connection takes; room for rows is made by it, and doubled when they are shorter */
    SECTION_BYTES = LIMIT_SECTION_BYTES - (256 << 10),
};

static void note(struct reader *rd, const struct report_refusal *why)
{
    struct report *out = rd->out;

    if (!out->refusals)
        out->refusals = arena_array(rd->a, REPORT_REFUSALS, sizeof(*out->refusals));
    if (out->refusals && out->n_refusals < REPORT_REFUSALS)
        out->refusals[out->n_refusals++] = *why;
}

bool grapheon__refuse(struct reader *rd, const char *field, const char *type, const char *text)
{
    struct report_refusal why = { .type = type };

    (void)snprintf(why.field, sizeof(why.field), "%s", field);
    (void)snprintf(why.message, sizeof(why.message), "%s", text);
    note(rd, &why);
    rd->is_refused = true;
    return false;
}

void grapheon__refuse_alone(struct reader *rd, const struct report_refusal *why)
{
    rd->out->n_rejected++;
    note(rd, why);
}

static void refuse_row(struct reader *rd, enum report_section s, size_t index, const struct report_refusal *in)
{
    struct report_refusal why = *in;

    (void)snprintf(why.field, sizeof(why.field), "%s.%zu%s%.40s", name_of(report_section_names, (int)s), index, in->field[0] ? "." : "",
                   in->field);
    grapheon__refuse_alone(rd, &why);
}

/* -- arrays that grow in the arena */
static size_t first_room(size_t bytes)
{
    return bytes / ROW_USUAL + 8;
}

/* @v, or a copy of its @n elements with more room; NULL: the arena is full. */
static void *with_room(struct reader *rd, void *v, size_t n, size_t room, size_t size)
{
    void *more = arena_array(rd->a, room, size);

    if (!more)
        rd->is_full_up = true;
    else if (n)
        memcpy(more, v, n * size);
    return more;
}

static bool ips_have_room(struct reader *rd)
{
    struct report *out = rd->out;
    size_t room = 2 * rd->ips_room;

    if (out->n_ips < rd->ips_room)
        return true;
    struct str *ips = with_room(rd, out->ips, out->n_ips, room, sizeof(*ips));
    uint64_t *marks = with_room(rd, out->ip_marks, out->n_ips, room, sizeof(*marks));
    if (!ips || !marks)
        return false;
    out->ips = ips;
    out->ip_marks = marks;
    rd->ips_room = room;
    return true;
}

static bool macs_have_room(struct reader *rd)
{
    struct report *out = rd->out;

    if (out->n_macs < rd->macs_room)
        return true;
    struct str *macs = with_room(rd, out->macs, out->n_macs, 2 * rd->macs_room, sizeof(*macs));
    if (!macs)
        return false;
    out->macs = macs;
    rd->macs_room *= 2;
    return true;
}

static bool rows_have_room(struct reader *rd, struct report_rows *in, size_t *room)
{
    if (in->n_rows < *room)
        return true;
    struct fact_row *rows = with_room(rd, in->rows, in->n_rows, 2 * *room, sizeof(*rows));
    uint64_t *marks = with_room(rd, in->marks, in->n_rows, 2 * *room, sizeof(*marks));
    struct str *macs = with_room(rd, in->macs, in->n_rows, 2 * *room, sizeof(*macs));
    uint8_t *tails = with_room(rd, in->tails, in->n_rows, 2 * *room, sizeof(*tails));
    if (!rows || !marks || !macs || !tails)
        return false;
    in->rows = rows;
    in->tails = tails;
    in->marks = marks;
    in->macs = macs;
    *room *= 2;
    return true;
}

static bool removed_have_room(struct reader *rd, struct report_rows *in, size_t *room)
{
    if (in->n_removed < *room)
        return true;
    struct str *removed = with_room(rd, in->removed, in->n_removed, 2 * *room, sizeof(*removed));
    uint64_t *marks = with_room(rd, in->removed_marks, in->n_removed, 2 * *room, sizeof(*marks));
    if (!removed || !marks)
        return false;
    in->removed = removed;
    in->removed_marks = marks;
    *room *= 2;
    return true;
}

/* -- addresses seen */
static void see_ips(struct reader *rd, const struct grapheon_row *row)
{
    struct report *out = rd->out;

    for (size_t i = 0; i < row->n_ips; i++) {
        if (str_eq(row->ips[i], rd->last_ips[i]))
            continue;
        uint64_t mark = siphash(rd->mark_key, row->ips[i]);
        rd->last_ips[i] = row->ips[i];

        if (!ips_have_room(rd) || !mark_set_add(&rd->ips, mark))
            continue;
        out->ips[out->n_ips++] = row->ips[i];
        out->ip_marks[out->n_ip_marks++] = mark;
    }
    if (row->mac.len && macs_have_room(rd) && mark_set_add(&rd->macs, siphash(rd->mark_key, row->mac)))
        out->macs[out->n_macs++] = row->mac;
}

static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* -- digests: over what was told, row by row as it was told */
static void add_digest(struct reader *rd, enum report_section s, const struct json_item *row, struct mark_set *told,
                       struct report_digest *sum)
{
    struct fact_digest h;
    uint64_t mark;

    buf_reset(&rd->canonical);
    if (json_item_canonical(row, rd->a, &rd->canonical) < 0) {
        rd->is_full_up = true;
        return;
    }
    fact_row_hash(&(struct fact_row){ str_of(name_of(report_section_names, (int)s)), buf_as_str(&rd->canonical) }, &h);
    memcpy(&mark, h.b, sizeof(mark));
    if (!mark_set_add(told, mark))
        return;
    fact_digest_add(&sum->sum, &h);
    sum->count++;
}

/* -- rows, found again by their marks: open addressing with linear probing, 128 KiB at LIMIT_SECTION_ROWS */
static uint32_t *place_of(const struct section_walk *w, const struct report_rows *in, uint64_t mark)
{
    uint32_t i = (uint32_t)mark & (w->n_places - 1);

    while (w->places[i] && in->marks[w->places[i] - 1] != mark)
        i = (i + 1) & (w->n_places - 1);
    return &w->places[i];
}

static void make_places(struct section_walk *w, const struct report_rows *in, size_t n_rows)
{
    for (w->n_places = 16; n_rows * 4 > w->n_places * 3ul;)
        w->n_places *= 2;
    free(w->places);
    w->places = xcalloc(w->n_places, sizeof(*w->places));
    for (size_t i = 0; i < in->n_rows; i++)
        *place_of(w, in, in->marks[i]) = (uint32_t)i + 1;
}

static size_t row_bytes(const struct fact_row *row)
{
    return row->key.len + row->json.len + 8;
}

static void keep_row(struct reader *rd, struct section_walk *w, const struct grapheon_row *row)
{
    struct report_rows *in = &rd->out->sections[w->section];
    uint64_t mark = siphash(rd->mark_key, row->key);

    if (!rows_have_room(rd, in, &w->room))
        return;
    if ((in->n_rows + 1) * 4 > w->n_places * 3ul)
        make_places(w, in, 2 * in->n_rows);
    uint32_t *place = place_of(w, in, mark);
    const struct fact_row *before = *place ? &in->rows[*place - 1] : NULL; /* told twice: the later word counts, if it fits */
    size_t bytes = w->bytes + row_bytes(&(struct fact_row){ row->key, row->json }) - (before ? row_bytes(before) : 0);
    if (bytes > SECTION_BYTES || (!before && in->n_rows == LIMIT_SECTION_ROWS)) {
        in->n_dropped++;
        return;
    }
    w->bytes = bytes;
    if (!before)
        *place = (uint32_t)++in->n_rows;
    in->rows[*place - 1] = (struct fact_row){ row->key, row->json };
    in->marks[*place - 1] = mark;
    in->macs[*place - 1] = row->mac;
    in->tails[*place - 1] = row->tail;
}

bool grapheon__rows_begin(struct reader *rd, enum report_section s, size_t bytes, struct section_walk *w)
{
    struct report_rows *in = &rd->out->sections[s];

    *w = (struct section_walk){ .section = s, .room = first_room(bytes) };
    in->is_told = true;
    in->rows = arena_array(rd->a, w->room, sizeof(*in->rows));
    in->marks = arena_array(rd->a, w->room, sizeof(*in->marks));
    in->macs = arena_array(rd->a, w->room, sizeof(*in->macs));
    in->tails = arena_array(rd->a, w->room, sizeof(*in->tails));
    if (!in->rows || !in->marks || !in->macs || !in->tails) {
        rd->is_full_up = true;
        return false;
    }
    make_places(w, in, bytes / ROW_USUAL < LIMIT_SECTION_ROWS ? bytes / ROW_USUAL : LIMIT_SECTION_ROWS);
    return true;
}

bool grapheon__row(struct reader *rd, struct section_walk *w, const struct json_item *item, struct report_refusal *why)
{
    struct report_rows *in = &rd->out->sections[w->section];
    struct grapheon_row row;

    w->n_told++;
    if (in->has_digest)
        add_digest(rd, w->section, item, &w->told, &in->added);
    if (in->n_dropped) { /* the section is full: what follows takes no memory */
        in->n_dropped++;
        return true;
    }
    if (!grapheon_read_row(rd->a, &rd->room, w->section, item, rd->out->tells_removals || in->is_whole, &row, why))
        return false;
    keep_row(rd, w, &row);
    see_ips(rd, &row);
    return true;
}

size_t grapheon__rows_end(struct reader *rd, struct section_walk *w)
{
    free(w->places);
    mark_set_done(&w->told);
    rd->is_full_up |= arena_left(rd->a) < 64;
    return w->n_told;
}

static size_t read_rows(struct reader *rd, enum report_section s, const struct json_item *list)
{
    struct json_scan walk = json_scan_into(list);
    struct section_walk w;
    struct report_refusal why;

    if (!grapheon__rows_begin(rd, s, list->raw.len, &w))
        return 0;
    for (struct json_item m; json_scan_next(&walk, &m) && !rd->is_full_up;)
        if (!grapheon__row(rd, &w, &m, &why))
            refuse_row(rd, s, m.index, &why);
    return grapheon__rows_end(rd, &w);
}

static void read_removed(struct reader *rd, enum report_section s, const struct json_item *list)
{
    struct report_rows *in = &rd->out->sections[s];
    struct json_scan walk = json_scan_into(list);
    size_t room = first_room(list->raw.len);
    struct mark_set told = { 0 };
    struct report_refusal why;
    struct grapheon_row row;

    in->n_removed = 0; /* a section named twice: the later word counts */
    in->gone = (struct report_digest){ 0 };
    in->removed = arena_array(rd->a, room, sizeof(*in->removed));
    in->removed_marks = arena_array(rd->a, room, sizeof(*in->removed_marks));
    rd->is_full_up |= !in->removed || !in->removed_marks;
    for (struct json_item m; !rd->is_full_up && json_scan_next(&walk, &m);) {
        if (in->has_digest)
            add_digest(rd, s, &m, &told, &in->gone);
        /* what was refused when it came is not here to be removed */
        if (in->n_removed == LIMIT_SECTION_ROWS || !grapheon_read_row(rd->a, &rd->room, s, &m, true, &row, &why) ||
            !removed_have_room(rd, in, &room))
            continue;
        in->removed[in->n_removed] = row.key;
        in->removed_marks[in->n_removed++] = siphash(rd->mark_key, row.key);
    }
    mark_set_done(&told);
}

/* -- fields of the report itself */
static size_t n_chars(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool get_text(struct reader *rd, const struct json_item *m, const char *field, size_t max_chars, struct str *ret)
{
    if (m->kind == JSON_NULL)
        return true;
    if (m->kind != JSON_STR)
        return grapheon__refuse(rd, field, "string_type", "must be a string");
    *ret = json_item_text(m, rd->a);
    return n_chars(*ret) <= max_chars || grapheon__refuse(rd, field, "string_too_long", "is too long");
}

static bool get_uuid(struct reader *rd, const struct json_item *m)
{
    if (m->kind == JSON_NULL)
        return grapheon__refuse(rd, "agent_uuid", "string_type", "must be a string");
    if (!get_text(rd, m, "agent_uuid", REPORT_UUID_MAX, &rd->out->uuid))
        return false;
    return rd->out->uuid.len || grapheon__refuse(rd, "agent_uuid", "string_too_short", "must not be empty");
}

static bool get_observed(struct reader *rd, const struct json_item *m)
{
    struct str s = m->kind == JSON_STR ? json_item_text(m, rd->a) : m->raw;

    if (m->kind != JSON_STR && m->kind != JSON_INT && m->kind != JSON_REAL)
        return grapheon__refuse(rd, "observed_at", "datetime_type", "must be a date and time");
    return grapheon_parse_time(s, &rd->out->observed_at) ||
           grapheon__refuse(rd, "observed_at", "datetime_parsing", "is no date and time");
}

static bool get_sequence(struct reader *rd, const struct json_item *m)
{
    int64_t v;

    rd->out->has_sequence = m->kind != JSON_NULL;
    if (m->kind == JSON_NULL)
        return true;
    if (!json_item_int(m, &v))
        return grapheon__refuse(rd, "sequence_number", "int_parsing", "must be a whole number");
    rd->out->sequence = (uint64_t)v;
    return v >= 0 || grapheon__refuse(rd, "sequence_number", "greater_than_equal", "must be 0 or more");
}

static bool get_full(struct reader *rd, const struct json_item *m)
{
    return json_item_bool(m, &rd->out->is_full) || grapheon__refuse(rd, "full_snapshot", "bool_parsing", "must be true or false");
}

/* {"section": ...} of our own keys: what is not understood is left alone. */
static void each_section(const struct json_item *m, void (*fn)(struct reader *rd, enum report_section s, const struct json_item *v),
                         struct reader *rd)
{
    struct json_scan walk = json_scan_into(m);

    for (struct json_item v; m->kind == JSON_MAP && json_scan_next(&walk, &v);) {
        int s = name_value(report_section_names, v.key);

        if (s >= 0)
            fn(rd, (enum report_section)s, &v);
    }
}

static void on_status(struct reader *rd, enum report_section s, const struct json_item *v)
{
    int status = name_value(section_status_names, json_item_text(v, rd->a));

    if (status > 0)
        rd->out->sections[s].status = (enum section_status)status;
}

/* {"docker_ps": "missing"}: of collectors that are no sections all there is to know is whether the agent has them. */
static void read_collectors(struct reader *rd, const struct json_item *m)
{
    struct json_scan walk = json_scan_into(m);

    for (struct json_item v; m->kind == JSON_MAP && json_scan_next(&walk, &v);)
        if (name_value(section_status_names, json_item_text(&v, rd->a)) == SECTION_MISSING)
            rd->out->is_missing_collector = true;
}

static void on_truncated(struct reader *rd, enum report_section s, const struct json_item *v)
{
    int64_t n;

    if (json_item_int(v, &n) && n > 0)
        rd->out->sections[s].n_truncated = (uint64_t)n;
}

static void on_digest(struct reader *rd, enum report_section s, const struct json_item *v)
{
    struct report_rows *in = &rd->out->sections[s];
    struct json_scan walk = json_scan_into(v);
    int64_t count = -1;
    bool has_sum = false;

    for (struct json_item m; v->kind == JSON_MAP && json_scan_next(&walk, &m);)
        if (json_item_is(&m, "count"))
            (void)json_item_int(&m, &count);
        else if (json_item_is(&m, "sha256"))
            has_sum = hex_decode(json_item_text(&m, rd->a), in->digest.sum.b, SHA256_LEN) == 0;
    in->has_digest = has_sum && count >= 0;
    in->digest.count = (uint64_t)count;
}

static void on_removed(struct reader *rd, enum report_section s, const struct json_item *v)
{
    if (v->kind == JSON_LIST)
        read_removed(rd, s, v);
}

/* -- the whole */
struct members {
    struct json_item lists[REPORT_SECTIONS], removed, status, collectors, digest, truncated, raw;
    bool has_uuid, has_observed, has_full;
};

static bool read_member(struct reader *rd, const struct json_item *m, struct members *ms)
{
    struct report *out = rd->out;
    int s = name_value(report_section_names, m->key);

    if (s >= 0) {
        ms->lists[s] = *m;
        return m->kind == JSON_LIST || grapheon__refuse(rd, name_of(report_section_names, s), "list_type", "must be a list");
    }
    if (json_item_is(m, "agent_uuid"))
        return ms->has_uuid = true, get_uuid(rd, m);
    if (json_item_is(m, "observed_at"))
        return ms->has_observed = true, get_observed(rd, m);
    if (json_item_is(m, "sequence_number"))
        return get_sequence(rd, m);
    if (json_item_is(m, "full_snapshot"))
        return ms->has_full = true, get_full(rd, m);
    if (json_item_is(m, "hostname"))
        return get_text(rd, m, "hostname", REPORT_TEXT_MAX, &out->hostname);
    if (json_item_is(m, "fqdn"))
        return get_text(rd, m, "fqdn", REPORT_TEXT_MAX, &out->fqdn);
    if (json_item_is(m, "platform"))
        return get_text(rd, m, "platform", REPORT_TEXT_MAX, &out->platform);
    if (json_item_is(m, "platform_release"))
        return get_text(rd, m, "platform_release", REPORT_TEXT_MAX, &out->release);
    if (json_item_is(m, "agent_version"))
        return get_text(rd, m, "agent_version", REPORT_VERSION_MAX, &out->version);
    if (json_item_is(m, "metadata"))
        return m->kind == JSON_MAP || m->kind == JSON_NULL || grapheon__refuse(rd, "metadata", "dict_type", "must be an object");
    if (json_item_is(m, "state_epoch"))
        return get_text(rd, m, "state_epoch", GRAPHEON_EPOCH_MAX, &out->epoch);
    if (json_item_is(m, "raw")) {
        ms->raw = *m;
        return m->kind == JSON_MAP || m->kind == JSON_NULL || grapheon__refuse(rd, "raw", "dict_type", "must be an object");
    }
    if (json_item_is(m, "removed"))
        ms->removed = *m;
    else if (json_item_is(m, "section_status"))
        ms->status = *m;
    else if (json_item_is(m, "collector_status"))
        ms->collectors = *m;
    else if (json_item_is(m, "digest"))
        ms->digest = *m;
    else if (json_item_is(m, "truncated"))
        ms->truncated = *m;
    return true;
}

static bool begin(struct reader *rd, struct arena *a, struct str text, struct report *ret)
{
    *rd = (struct reader){
        .a = a,
        .out = ret,
        .room = BUF(LIMIT_ROW_BYTES),
        .canonical = BUF(64 << 10),
        .mark_key = report_mark_key(),
        .ips_room = first_room(text.len),
        .macs_room = first_room(text.len) / 2,
    };
    ret->ips = arena_array(a, rd->ips_room, sizeof(*ret->ips));
    ret->ip_marks = arena_array(a, rd->ips_room, sizeof(*ret->ip_marks));
    ret->macs = arena_array(a, rd->macs_room, sizeof(*ret->macs));
    mark_set_room(&rd->ips, (uint32_t)(text.len / ROW_USUAL));
    return ret->ips && ret->ip_marks && ret->macs;
}

static void end(struct reader *rd)
{
    struct report *out = rd->out;

    if (out->n_ips)
        qsort(out->ips, out->n_ips, sizeof(*out->ips), text_order);
    if (out->n_macs)
        qsort(out->macs, out->n_macs, sizeof(*out->macs), text_order);
    json_spans_done(&rd->spans);
    mark_set_done(&rd->ips);
    mark_set_done(&rd->macs);
    buf_done(&rd->room);
    buf_done(&rd->canonical);
}

static void read_all(struct reader *rd, struct json_scan *walk)
{
    struct report *out = rd->out;
    struct members ms = { 0 };
    size_t *counts[REPORT_SECTIONS] = { &out->n_addresses, &out->n_neighbors, &out->n_connections, &out->n_routes };

    for (struct json_item m; json_scan_next(walk, &m);)
        (void)read_member(rd, &m, &ms);
    if (!ms.has_uuid)
        (void)grapheon__refuse(rd, "agent_uuid", "missing", "is required");
    if (!ms.has_observed)
        (void)grapheon__refuse(rd, "observed_at", "missing", "is required");
    if (rd->is_refused)
        return;
    out->tells_removals = ms.removed.kind == JSON_MAP || ms.digest.kind == JSON_MAP;
    each_section(&ms.status, on_status, rd);
    read_collectors(rd, &ms.collectors);
    each_section(&ms.truncated, on_truncated, rd);
    each_section(&ms.digest, on_digest, rd);
    each_section(&ms.removed, on_removed, rd);
    if (ms.raw.kind == JSON_MAP)
        grapheon__read_raw(rd, &ms.raw, out->is_full || !ms.has_full, counts);
    for (enum report_section s = 0; s < REPORT_SECTIONS && !rd->is_full_up; s++)
        if (ms.lists[s].kind == JSON_LIST && !out->sections[s].is_raw)
            *counts[s] = read_rows(rd, s, &ms.lists[s]);
}

enum grapheon_read grapheon_read_report(struct arena *a, struct str text, bool strict, struct report *ret)
{
    struct json_scan walk;
    struct json_spans spans = { 0 };
    struct reader rd;
    enum json_kind kind = json_scan_open_large(text, &spans, &walk);

    *ret = (struct report){ 0 };
    if (kind == JSON_BAD) {
        json_spans_done(&spans);
        return GRAPHEON_READ_JSON;
    }
    bool has_room = begin(&rd, a, text, ret);
    rd.spans = spans;
    if (!has_room) {
        end(&rd);
        return GRAPHEON_READ_TOO_LARGE;
    }
    if (kind == JSON_MAP)
        read_all(&rd, &walk);
    else
        (void)grapheon__refuse(&rd, "", "model_attributes_type", "must be an object");
    end(&rd);
    if (rd.is_refused || (strict && ret->n_rejected))
        return GRAPHEON_READ_FIELDS;
    return rd.is_full_up ? GRAPHEON_READ_TOO_LARGE : GRAPHEON_READ_OK;
}

enum grapheon_read grapheon_read_addresses(struct arena *a, struct str list, struct report *ret)
{
    struct json_scan walk;
    struct reader rd;
    enum json_kind kind = json_scan_open(list, &walk);
    const struct json_item whole = { .kind = JSON_LIST, .raw = list };

    *ret = (struct report){ 0 };
    if (kind != JSON_LIST)
        return kind == JSON_BAD ? GRAPHEON_READ_JSON : GRAPHEON_READ_FIELDS;
    if (!begin(&rd, a, list, ret)) {
        end(&rd);
        return GRAPHEON_READ_TOO_LARGE;
    }
    ret->n_addresses = read_rows(&rd, REPORT_ADDRESSES, &whole);
    end(&rd);
    return rd.is_full_up ? GRAPHEON_READ_TOO_LARGE : GRAPHEON_READ_OK;
}
