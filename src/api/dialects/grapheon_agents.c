/* api/dialects/grapheon_agents.c - agents as operators see and decide about them, and their check-ins. */
#include <errno.h>

#include "api/dialects/grapheon.h"
#include "base/mem.h"

enum { PAGE_LIMIT = 50 };

/* -- one */
static bool agent_id(struct call *c, uint64_t *ret)
{
    struct err err = { 0 };

    if (call_param_id(c, 0, "reporter.unknown", ret, &err) == 0)
        return true;
    grapheon_error(c, &err);
    return false;
}

static void answer_agent(struct call *c, uint64_t id, int r, const struct err *why, int status)
{
    struct reporter_view v;
    struct err err = { 0 };

    if (r == 0)
        r = reporter_find(c->control, id, &v, &err);
    else
        err = *why;
    if (r < 0) {
        grapheon_error(c, &err);
        return;
    }
    grapheon_begin(c);
    grapheon_agent_judged(call_json(c), c->control, &v);
    reply_parked(c, status);
}

static void show(struct call *c)
{
    uint64_t id;

    if (agent_id(c, &id))
        answer_agent(c, id, 0, NULL, 200);
}

static void create(struct call *c)
{
    struct err err = { 0 };
    uint64_t id = 0;
    int r = reporter_create(c->control, &c->who, c->body, &id, &err);

    answer_agent(c, id, r, &err, 201);
}

static void change(struct call *c)
{
    struct err err = { 0 };
    uint64_t id;

    if (!grapheon_has_body(c) || !agent_id(c, &id))
        return;
    int r = reporter_change(c->control, &c->who, id, c->body, &err);
    answer_agent(c, id, r, &err, 200);
}

static void approve(struct call *c)
{
    const struct grapheon_verdict *b = c->body;
    struct err err = { 0 };
    uint64_t id;

    if (!grapheon_has_body(c) || !grapheon_fits(c, "display_name", b->display_name, REPORT_TEXT_MAX) || !agent_id(c, &id))
        return;
    int r = reporter_approve(c->control, &c->who, id, b->policy_id, b->display_name, &err);
    answer_agent(c, id, r, &err, 200);
}

typedef int (*verdict_fn)(struct control *c, const struct principal *p, uint64_t id, struct str reason, struct err *err);

static void decide(struct call *c, verdict_fn fn)
{
    const struct grapheon_verdict *b = c->body;
    struct err err = { 0 };
    uint64_t id;

    if (!grapheon_has_body(c) || !grapheon_fits(c, "reason", b->reason, REPORT_REASON_MAX) || !agent_id(c, &id))
        return;
    int r = fn(c->control, &c->who, id, b->reason, &err);
    answer_agent(c, id, r, &err, 200);
}

static void reject(struct call *c)
{
    decide(c, reporter_reject);
}

static void revoke(struct call *c)
{
    decide(c, reporter_revoke);
}

static void rotate(struct call *c)
{
    const struct grapheon_verdict *b = c->body;
    char text[SECRET_TEXT_MAX], now[32];
    struct reporter_view v;
    struct err err = { 0 };
    uint64_t id;

    if (!grapheon_has_body(c) || !grapheon_fits(c, "reason", b->reason, REPORT_REASON_MAX) || !agent_id(c, &id))
        return;
    if (reporter_rotate(c->control, &c->who, id, NULL, b->reason, text, &err) < 0 || reporter_find(c->control, id, &v, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    struct jw *w = call_json(c);

    grapheon_begin(c);
    grapheon_format_time(v.row->key_issued_at, now);
    jw_map(w);
    jw_key(w, "api_key");
    jw_cstr(w, text);
    jw_key(w, "server_time");
    jw_cstr(w, now);
    jw_key(w, "message");
    jw_cstr(w, "the old key is no longer valid; this one is shown once");
    jw_key(w, "agent");
    grapheon_agent_judged(w, c->control, &v);
    jw_end_map(w);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 200);
}

static void forget(struct call *c)
{
    struct err err = { 0 };
    uint64_t id;

    if (!agent_id(c, &id))
        return;
    if (reporter_forget(c->control, &c->who, id, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    grapheon_begin(c);
    reply_parked(c, 204);
}

/* -- all */
static int state_of(struct str s)
{
    static const struct name words[] = {
        { HOST_PENDING, "pending" }, { HOST_APPROVED, "active" }, { HOST_REJECTED, "rejected" }, { HOST_REVOKED, "revoked" }, NAMES_END,
    };

    for (const struct name *n = words; n->text; n++)
        if (str_eq_nocase(s, str_of(n->text)))
            return n->value;
    return -1;
}

struct list {
    struct call *c;
    struct jw *w;
};

static void on_agent(void *ctx, const struct reporter_view *v)
{
    const struct list *l = ctx;

    grapheon_agent_judged(l->w, l->c->control, v);
}

static void nothing(void *ctx, const struct reporter_view *v)
{
    (void)ctx;
    (void)v;
}

static void list(struct call *c)
{
    const struct grapheon_page *q = c->query;
    struct list l = { c, call_json(c) };
    uint64_t limit = q->limit ? q->limit : PAGE_LIMIT, total = 0;
    int active = field_is_present(&grapheon_page_record, q, "is_active") ? q->is_active : -1;
    int state = q->enrollment_state.len ? state_of(q->enrollment_state) : 0;
    const struct reporter_filter which = { .state = state > 0 ? (enum host_state)state : 0, .is_active = active };

    if (state >= 0)
        total = reporter_list(c->control, &which, 0, 0, nothing, NULL);
    grapheon_begin(c);
    grapheon_page_begin(l.w, total, q->skip, limit);
    if (state >= 0)
        (void)reporter_list(c->control, &which, q->skip, limit, on_agent, &l);
    grapheon_page_end(l.w);
    reply_parked(c, 200);
}

/* -- check-ins: a count and a page, read one after the other */
struct history {
    struct call *c;
    struct jw *w;
    uint64_t skip, limit;
    uint32_t n_reads; /* still out */
    int result;
};

static void on_count(void *ctx, uint64_t n)
{
    struct history *h = ctx;

    if (!call_is_gone(h->c))
        grapheon_page_begin(h->w, n, h->skip, h->limit);
}

static void on_checkin(void *ctx, const struct trail_row *t, const void *obj)
{
    struct history *h = ctx;

    if (!call_is_gone(h->c))
        grapheon_checkin(h->w, obj, t->id, t->at, NULL);
}

static void on_history_done(void *ctx, int result)
{
    struct history *h = ctx;

    h->result = h->result ? h->result : result;
    if (--h->n_reads > 0)
        return;
    if (!call_is_gone(h->c) && h->result < 0) {
        reply_unread(h->c, h->result);
    } else if (!call_is_gone(h->c)) {
        grapheon_page_end(h->w);
        reply_now(h->c, 200); /* read from the disk */
    }
    call_unref(h->c);
    free(h);
}

static void checkins(struct call *c)
{
    const struct grapheon_page *q = c->query;
    struct reporter_view v;
    struct err err = { 0 };
    uint64_t id;

    if (!agent_id(c, &id))
        return;
    if (reporter_find(c->control, id, &v, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    struct history *h = xnew0(struct history);

    *h = (struct history){ call_ref(c), call_json(c), q->skip, q->limit ? q->limit : PAGE_LIMIT, 2, 0 };
    grapheon_begin(c);
    reporter_read_checkins(c->control, id, q->skip, (uint32_t)h->limit, on_count, on_checkin, on_history_done, h);
}

/* -- */
static bool claims_register(const struct http_req *req)
{
    return claim_body_key(req, "enrollment_key") || claim_body_key(req, "agent_uuid");
}

#define GRAPHEON .dialect = &dialect_grapheon
#define AGENT "/api/agents/{id}"
static const struct route rows[] = {
    { HTTP_POST, "/api/agents/register", AUTH_AGENT, .body = &grapheon_register_record, .cap = GRAPHEON_REGISTER_BYTES,
      .handler = grapheon_on_register, .flags = ROUTE_ODD_TEXT | ROUTE_MUTATES, .claims = claims_register, GRAPHEON,
      .summary = "Graphēon: an agent registers, and asks whether it was let in" },
    { HTTP_POST, "/api/agents/check-in", AUTH_AGENT, .cap = GRAPHEON_REPORT_BYTES_MAX, .cap_unproven = GRAPHEON_REPORT_UNPROVEN,
      .handler = grapheon_on_checkin, .flags = ROUTE_PROVE_HEAD | ROUTE_MUTATES | ROUTE_RAW_BODY, GRAPHEON, .summary = "Graphēon: an agent reports" },
    { HTTP_GET, "/api/agents", AUTH_OPERATOR, VERB_READ, .handler = list, .query = &grapheon_page_record, GRAPHEON,
      .summary = "Graphēon: lists agents" },
    { HTTP_POST, "/api/agents", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &reporter_create_record, .handler = create, .status = 201,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: writes an agent in beforehand" },
    { HTTP_GET, AGENT, AUTH_OPERATOR, VERB_READ, .handler = show, GRAPHEON, .summary = "Graphēon: shows an agent" },
    { HTTP_PATCH, AGENT, AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &reporter_change_record, .handler = change, .flags = ROUTE_MUTATES,
      GRAPHEON, .summary = "Graphēon: changes an agent" },
    { HTTP_DELETE, AGENT, AUTH_OPERATOR, VERB_FOREIGN_AGENT, .handler = forget, .status = 204, .flags = ROUTE_MUTATES, GRAPHEON,
      .summary = "Graphēon: forgets an agent (ours)" },
    { HTTP_POST, AGENT "/approve", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &grapheon_approve_record, .handler = approve,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: lets an agent in" },
    { HTTP_POST, AGENT "/reject", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &grapheon_reason_record, .handler = reject,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: turns an agent away" },
    { HTTP_POST, AGENT "/revoke", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &grapheon_reason_record, .handler = revoke,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: revokes an agent (ours)" },
    { HTTP_POST, AGENT "/rotate-api-key", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .body = &grapheon_reason_record, .handler = rotate,
      .flags = ROUTE_MUTATES, GRAPHEON, .summary = "Graphēon: a new API key for an agent, shown once" },
    { HTTP_GET, AGENT "/checkins", AUTH_OPERATOR, VERB_READ, .handler = checkins, .query = &grapheon_page_record, GRAPHEON,
      .summary = "Graphēon: an agent's check-ins" },
};
const struct route_table grapheon_agent_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
