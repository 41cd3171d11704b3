/* api/operator_events.c - the event log and the audit log: pages, streams, and checking the chain. */
#include "api/operator_events.h"

#include <errno.h>

#include "api/follow.h"
#include "api/page.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/view_logs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/uuid.h"

enum { EVENTS_DEFAULT = 100, EVENTS_MAX = 5000, VERIFY_PAGE = 500, ITEM_MAX_BYTES = 64 << 10 };

/* -- following: one for events, one for audit rows */

struct tail {
    struct control *control;
    struct follow *follow;
    uint64_t sub;
    struct sink sink;
    char type[64], host[UUID_TEXT_MAX]; /* filters; empty: all */
    bool is_audit;
    uint32_t refs; /* the follower's, and one per read under way */
};

static void tail_unref(struct tail *t)
{
    if (--t->refs == 0)
        free(t);
}

static bool event_is_wanted(const struct tail *t, const struct event *e)
{
    return (!t->type[0] || str_is(e->type, t->type)) && (!t->host[0] || str_is(e->host_id, t->host));
}

static void tell_event(struct tail *t, const struct event *e,
                       void (*to)(struct follow *f, uint64_t id, struct str json))
{
    AUTO(buf_done) struct buf out = BUF(ITEM_MAX_BYTES);
    struct jw w = JW(&out);

    record_write(&event_record, e, &w);
    if (jw_done(&w) == 0)
        to(t->follow, e->id, buf_as_str(&out));
}

static void tell_audit(struct tail *t, const struct audit_row *r,
                       void (*to)(struct follow *f, uint64_t id, struct str json))
{
    AUTO(buf_done) struct buf out = BUF(ITEM_MAX_BYTES);
    struct jw w = JW(&out);

    view_audit(r, &w);
    if (jw_done(&w) == 0)
        to(t->follow, r->id, buf_as_str(&out));
}

static void tail_on_topic(void *ctx, const struct sub_event *e)
{
    struct tail *t = ctx;

    if (e->kind == SUB_EVENT && event_is_wanted(t, e->event))
        tell_event(t, e->event, follow_live);
    else if (e->kind == SUB_AUDIT)
        tell_audit(t, e->audit, follow_live);
}

static void tail_event_row(void *ctx, const struct event *e)
{
    tell_event(ctx, e, follow_row);
}

static void tail_audit_row(void *ctx, const struct audit_row *r)
{
    tell_audit(ctx, r, follow_row);
}

static void tail_read_done(void *ctx, int result)
{
    struct tail *t = ctx;

    follow_read_done(t->follow, result);
    tail_unref(t);
}

static void tail_read(void *ctx, struct follow *f, uint64_t after, uint32_t limit)
{
    struct tail *t = ctx;

    (void)f;
    t->refs++;
    if (t->is_audit)
        read_audit(t->control, after, false, limit, tail_audit_row, tail_read_done, t);
    else
        read_events(t->control, after, false, limit, str_of(t->type), str_of(t->host), tail_event_row,
                    tail_read_done, t);
}

static void tail_over(void *ctx)
{
    struct tail *t = ctx;

    topic_leave(t->control, t->sub);
    tail_unref(t);
}

static struct tail *tail_new(struct control *control, bool is_audit, struct str type, const char *host_uuid)
{
    struct tail *t = xnew0(struct tail);
    const struct follow_source src = { .read = tail_read, .over = tail_over, .ctx = t };

    *t = (struct tail){ .control = control, .is_audit = is_audit, .refs = 1 };
    (void)str_copy(type, t->type, sizeof(t->type));
    (void)str_copy(str_of(host_uuid), t->host, sizeof(t->host));
    t->follow = follow_new(&src, is_audit || (!t->type[0] && !t->host[0]));
    t->sub = is_audit ? topic_audit(control, tail_on_topic, t) : topic_events(control, tail_on_topic, t);
    return t;
}

/* Nobody was told a number above the last. Who comes with one has it from another server, or from before a restore: all that comes is
 * new to him. */
static void resume(struct tail *t, uint64_t after)
{
    uint64_t last = t->is_audit ? audit_last_id(t->control) : event_last_id(t->control);

    follow_start_after(t->follow, &t->sink, after < last ? after : last);
}

struct follow *events_follow(struct control *control, struct str type, const char *host_uuid,
                             const struct sink *sink, bool has_after, uint64_t after)
{
    struct tail *t = tail_new(control, false, type, host_uuid);

    t->sink = *sink;
    if (has_after)
        resume(t, after);
    else
        follow_start_new(t->follow, sink);
    return t->follow;
}

/* The number in Last-Event-ID wins over the query: a browser that comes back repeats its first URL. */
static bool resume_point(const struct call *c, bool has_after, uint64_t after, uint64_t *ret)
{
    uint64_t id;

    if (str_to_u64(str_trim(http_header(c->req, "last-event-id")), &id) == 0) {
        *ret = id;
        return true;
    }
    *ret = after;
    return has_after;
}

static bool wants_stream(const struct call *c, bool follow)
{
    return c->req->method == HTTP_GET &&
           (follow || str_find(http_header(c->req, "accept"), STR("text/event-stream")) >= 0);
}

static void stream_log(struct call *c, bool is_audit, struct str type, const char *host_uuid, bool has_after,
                       uint64_t after)
{
    uint64_t from;
    bool resumes = resume_point(c, has_after, after, &from);
    struct tail *t = tail_new(c->control, is_audit, type, host_uuid);
    struct stream *s = stream_open(c, 200, &follow_feed_ops, t->follow);

    if (!s) {
        follow_feed_ops.gone(t->follow);
        return;
    }
    t->sink = stream_sink(s);
    if (resumes)
        resume(t, from);
    else
        follow_start_new(t->follow, &t->sink);
}

/* -- GET /events */

struct events_query {
    struct seen seen;
    uint32_t limit;
    uint64_t after;
    int event_type;
    struct str agent_id;
    bool follow;
};
static const struct field events_query_fields[] = {
    F_U32(struct events_query, limit, "limit", .min_value = 1, .max_value = EVENTS_MAX,
          .help = "Default 100."),
    F_U64(struct events_query, after, "after", .help = "Only events after this id."),
    F_ENUM(struct events_query, event_type, "event_type", event_type_names),
    F_STR(struct events_query, agent_id, "agent_id", LIMIT_HOSTNAME, .help = "UUID or name of a host."),
    F_BOOL(struct events_query, follow, "follow",
           .help = "An event stream; so does Accept: text/event-stream."),
};
static const struct record events_query_record = RECORD_SEEN(events_query, events_query_fields);

/* Events of a page, kept as text: with `after` the store gives the oldest first, and the newest is shown
 * first. */
struct newest {
    struct call *c;
    struct blob **v;
    uint32_t n, limit;
    uint64_t last_id, after;
    bool is_ascending;
};

static struct newest *newest_new(struct call *c, uint32_t limit)
{
    struct newest *p = xnew0(struct newest);

    *p = (struct newest){ .c = call_ref(c), .limit = limit, .v = xcalloc(limit + 1, sizeof(struct blob *)) };
    return p;
}

static void newest_free(struct newest *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        blob_unref(p->v[i]);
    free(p->v);
    call_unref(p->c);
    free(p);
}

static void on_event_row(void *ctx, const struct event *e)
{
    AUTO(buf_done) struct buf out = BUF(ITEM_MAX_BYTES);
    struct newest *p = ctx;
    struct jw w = JW(&out);

    if (call_is_gone(p->c) || p->n >= p->limit)
        return;
    record_write(&event_record, e, &w);
    if (jw_done(&w) == 0)
        p->v[p->n++] = blob_new(buf_as_str(&out));
    if (e->id > p->last_id)
        p->last_id = e->id;
}

static void on_events_done(void *ctx, int result)
{
    struct newest *p = ctx;
    struct call *c = p->c;
    struct jw *w = call_json(c);

    if (call_is_gone(c)) {
        newest_free(p);
        return;
    }
    if (result < 0) {
        reply_unread(c, result);
        newest_free(p);
        return;
    }
    jw_map(w);
    jw_key(w, "events");
    jw_list(w);
    for (uint32_t i = 0; i < p->n; i++)
        jw_raw(w, blob_str(p->v[p->is_ascending ? p->n - 1 - i : i]));
    jw_end_list(w);
    jw_key(w, "total_count");
    jw_u64(w, p->n);
    jw_key(w, "last_event_id");
    jw_u64(w, p->last_id ? p->last_id : p->after);
    jw_end_map(w);
    reply_now(c, 200);
    newest_free(p);
}

static void on_events(struct call *c)
{
    const struct events_query *q = c->query;
    bool has_after = field_is_present(&events_query_record, q, "after");
    struct str type = q->event_type ? str_of(name_of(event_type_names, q->event_type)) : STR_NONE;
    struct host_view h = { 0 };
    struct err err = { 0 };
    struct newest *p;

    if (q->agent_id.len && host_find(c->control, q->agent_id, &h, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    if (wants_stream(c, q->follow)) {
        stream_log(c, false, type, h.uuid, has_after, q->after);
        return;
    }
    p = newest_new(c, q->limit ? q->limit : EVENTS_DEFAULT);
    p->is_ascending = has_after;
    p->after = q->after < event_last_id(c->control) ? q->after : event_last_id(c->control); /* as resume() */
    read_events(c->control, q->after, !has_after, p->limit, type, str_of(h.uuid), on_event_row,
                on_events_done, p);
}

/* -- GET /audit */

struct audit_query {
    struct seen seen;
    uint32_t limit;
    uint64_t after;
    bool follow;
};
static const struct field audit_query_fields[] = {
    F_PAGE_LIMIT(struct audit_query),
    F_U64(struct audit_query, after, "after",
          .help = "Rows after this id, oldest first; without it the newest, newest first."),
    F_BOOL(struct audit_query, follow, "follow"),
};
static const struct record audit_query_record = RECORD_SEEN(audit_query, audit_query_fields);

static void on_audit_row(void *ctx, const struct audit_row *row)
{
    struct jw *w = page_row(ctx, row->id);

    if (w)
        view_audit(row, w);
}

static void on_audit(struct call *c)
{
    const struct audit_query *q = c->query;
    bool has_after = field_is_present(&audit_query_record, q, "after");
    struct page *p;

    if (wants_stream(c, q->follow)) {
        stream_log(c, true, STR_NONE, NULL, has_after, q->after);
        return;
    }
    p = page_open(c, "rows", q->limit);
    p->has_no_pages = !has_after;
    read_audit(c->control, q->after, !has_after, page_want(p), on_audit_row, page_done, p);
}

/* -- GET /audit/verify: walks the whole chain in pages; the loop stays free between them */

struct verify {
    struct call *c;
    uint64_t n, first_id, last_id, broken_id, stop_at;
    uint32_t n_page;
    struct audit_row prev; /* only what the check needs: id and hash */
    bool has_prev;
    const char *broken; /* reason or NULL */
};

static const char *verdict_text(enum audit_verdict v)
{
    switch (v) {
    case AUDIT_OK:
        return NULL;
    case AUDIT_GAP:
        return "rows are missing before it";
    case AUDIT_BROKEN_LINK:
        return "it does not follow the row before it";
    case AUDIT_EDITED:
        return "it was changed after it was written";
    }
    return "unknown";
}

static void on_verify_row(void *ctx, const struct audit_row *row)
{
    struct verify *v = ctx;

    v->n_page++;
    if (v->broken)
        return;
    v->broken = verdict_text(audit_check(v->has_prev ? &v->prev : NULL, row));
    if (v->broken)
        v->broken_id = row->id;
    if (!v->has_prev)
        v->first_id = row->id;
    v->has_prev = true;
    v->prev = (struct audit_row){ .id = row->id };
    memcpy(v->prev.hash, row->hash, SHA256_LEN);
    v->last_id = row->id;
    v->n++;
}

static void verify_answer(struct verify *v)
{
    char hash[2 * SHA256_LEN + 1] = "";
    struct jw *w = call_json(v->c);

    if (v->has_prev)
        hex_encode(v->prev.hash, SHA256_LEN, hash);
    jw_map(w);
    jw_key(w, "ok");
    jw_bool(w, !v->broken);
    jw_key(w, "rows");
    jw_u64(w, v->n);
    jw_key(w, "first_id");
    jw_u64(w, v->first_id);
    jw_key(w, "last_id");
    jw_u64(w, v->last_id);
    jw_key(w, "last_hash");
    jw_cstr(w, hash);
    if (v->broken) {
        jw_key(w, "broken");
        jw_map(w);
        jw_key(w, "id");
        jw_u64(w, v->broken_id);
        jw_key(w, "reason");
        jw_cstr(w, v->broken);
        jw_end_map(w);
    }
    jw_end_map(w);
    reply_now(v->c, 200);
}

static void on_verify_done(void *ctx, int result)
{
    struct verify *v = ctx;
    AUTO(call_unref) struct call *c = v->c;

    if (call_is_gone(c)) {
        free(v);
        return;
    }
    if (result >= 0 && !v->broken && v->n_page == VERIFY_PAGE) {
        v->n_page = 0;
        read_audit(call_ref(c)->control, v->last_id, false, VERIFY_PAGE, on_verify_row, on_verify_done, v);
        return;
    }
    if (result < 0)
        reply_unread(c, result);
    else
        verify_answer(v);
    free(v);
}

static void on_audit_verify(struct call *c)
{
    struct verify *v = xnew0(struct verify);

    v->c = call_ref(c);
    read_audit(c->control, 0, false, VERIFY_PAGE, on_verify_row, on_verify_done, v);
}

#define V1 "/api/v1"
const struct route api_events_routes[] = {
    { HTTP_GET, V1 "/events", AUTH_OPERATOR, VERB_READ, .handler = on_events, .query = &events_query_record,
      .response = &event_list_record, .flags = ROUTE_STREAMS,
      .summary = "What happened, newest first, or as it happens." },
    { HTTP_GET, V1 "/audit", AUTH_OPERATOR, VERB_AUDIT_READ, .handler = on_audit,
      .query = &audit_query_record, .response = &audit_list_record, .flags = ROUTE_STREAMS,
      .summary = "Who did what, and who was refused." },
    { HTTP_GET, V1 "/audit/verify", AUTH_OPERATOR, VERB_AUDIT_READ, .handler = on_audit_verify,
      .response = &audit_verify_record, .summary = "Checks the hash chain of the audit log." },
};
const size_t api_events_routes_n = ARRAY_SIZE(api_events_routes);
