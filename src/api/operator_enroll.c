/* api/operator_enroll.c - pending hosts, decisions about them, install tokens. */
#include <errno.h>
#include <stdio.h>

#include "api/page.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/view_hosts.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/uuid.h"

static bool on_pending(void *ctx, const struct host_view *h)
{
    view_enrollment(h, call_json(ctx));
    return true;
}

static void on_enrollments(struct call *c)
{
    (void)page_begin_whole(c, "enrollments");
    host_list(c->control, HOST_PENDING, NULL, on_pending, c);
    page_end_whole(c);
}

struct approve_body {
    bool accept_labels;
    struct str name;
};
static const struct field approve_fields[] = {
    F_BOOL(struct approve_body, accept_labels, "accept_labels", .help = "Take the labels it claims."),
    F_STR(struct approve_body, name, "name", LIMIT_NAME, .help = "Display name; default: its hostname."),
};
static const struct record approve_record = RECORD(approve_body, approve_fields);

struct reason_body {
    struct str reason;
};
static const struct field reason_fields[] = { F_STR(struct reason_body, reason, "reason", 256) };
static const struct record reason_record = RECORD(reason_body, reason_fields);

/* A verb on the host of parameter 0, as it was named: a name may mean several. The answer is the host afterwards, found by its uuid. */
static void decide(struct call *c, int (*verb)(struct call *c, struct str host, struct err *err))
{
    char uuid[UUID_TEXT_MAX];
    struct host_view h;
    struct err err = { 0 };

    if (host_find(c->control, call_param(c, 0), &h, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    memcpy(uuid, h.uuid, sizeof(uuid));
    if (verb(c, call_param(c, 0), &err) < 0 || host_find(c->control, str_of(uuid), &h, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    view_agent(c->control, &h, call_json(c));
    reply_parked(c, 200);
}

static int approve(struct call *c, struct str uuid, struct err *err)
{
    const struct approve_body *b = c->body;

    return enroll_approve(c->control, &c->who, uuid, b->accept_labels, b->name, err);
}

static int reject(struct call *c, struct str uuid, struct err *err)
{
    return enroll_reject(c->control, &c->who, uuid, ((const struct reason_body *)c->body)->reason, err);
}

static int revoke(struct call *c, struct str uuid, struct err *err)
{
    return enroll_revoke(c->control, &c->who, uuid, ((const struct reason_body *)c->body)->reason, err);
}

static void on_approve(struct call *c)
{
    decide(c, approve);
}

static void on_reject(struct call *c)
{
    decide(c, reject);
}

static void on_revoke(struct call *c)
{
    decide(c, revoke);
}

/* -- install tokens */

struct token_body {
    struct seen seen;
    uint64_t uses;
    usec_t ttl;
    struct kv_list labels;
    bool auto_approve;
    struct str note;
};
static const struct field token_fields[] = {
    F_U64(struct token_body, uses, "uses", .max_value = 1000000000,
          .help = "How many hosts may use it; 0: any number. Default 1."),
    F_DURATION(struct token_body, ttl, "ttl", .help = "How long it is good; 0: for ever. Default 24h."),
    F_MAP(struct token_body, labels, "labels", LIMIT_LABELS, LIMIT_LABEL_VALUE,
          .help = "Labels its hosts get."),
    F_BOOL(struct token_body, auto_approve, "auto_approve", .help = "Its hosts need no operator."),
    F_STR(struct token_body, note, "note", 256),
};
static const struct record token_body_record = RECORD_SEEN(token_body, token_fields);

/* "<this host>:8120" of the listener, or a place to fill in when it listens everywhere. */
static void install_line(const struct api *a, const char *token, char *dst, size_t size)
{
    const char *listen = a->listen_grpc;
    bool everywhere = str_starts(str_of(listen), STR("0.0.0.0:")) || str_starts(str_of(listen), STR("[::]:"));
    const char *port = strrchr(listen, ':');

    if (everywhere && port)
        (void)snprintf(dst, size, "muster-agent --server SERVER%s --token %s", port, token);
    else
        (void)snprintf(dst, size, "muster-agent --server %s --token %s", listen, token);
}

struct token_find {
    uint64_t id;
    struct call *c;
    usec_t expires_at;
    bool found;
};

static void find_token(void *ctx, const struct token_view *t)
{
    struct token_find *f = ctx;

    if (t->id != f->id)
        return;
    f->found = true;
    f->expires_at = t->t.expires_at;
    if (f->c)
        view_install_token(t, call_json(f->c));
}

static void on_token_create(struct call *c)
{
    const struct token_body *b = c->body;
    struct token_wish wish = { .uses = field_is_present(&token_body_record, b, "uses") ? b->uses : 1,
                               .ttl = field_is_present(&token_body_record, b, "ttl") ? b->ttl : USEC_PER_DAY,
                               .labels = b->labels,
                               .auto_approve = b->auto_approve,
                               .note = b->note };
    struct token_find find = { 0 };
    struct jw *w = call_json(c);
    char text[128], line[384], at[CLOCK_TEXT_MAX];
    struct err err = { 0 };

    if (token_create(c->control, &c->who, &wish, text, &find.id, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    token_list(c->control, find_token, &find);
    install_line(c->api, text, line, sizeof(line));
    jw_map(w);
    jw_key(w, "id");
    jw_u64(w, find.id);
    jw_key(w, "token");
    jw_cstr(w, text);
    jw_key(w, "command");
    jw_cstr(w, line);
    jw_key(w, "expires_at");
    if (find.expires_at) {
        clock_format(find.expires_at, 0, at);
        jw_cstr(w, at);
    } else {
        jw_null(w);
    }
    jw_end_map(w);
    secret_wipe(text, sizeof(text));
    secret_wipe(line, sizeof(line));
    reply_parked(c, 201);
}

static void on_token_view(void *ctx, const struct token_view *t)
{
    view_install_token(t, call_json(ctx));
}

static void on_tokens(struct call *c)
{
    (void)page_begin_whole(c, "tokens");
    token_list(c->control, on_token_view, c);
    page_end_whole(c);
}

static void on_token_revoke(struct call *c)
{
    struct token_find find = { .c = c };
    struct err err = { 0 };

    if (call_param_id(c, 0, "install_token.unknown", &find.id, &err) < 0 ||
        token_revoke(c->control, &c->who, find.id, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    token_list(c->control, find_token, &find);
    reply_parked(c, 200);
}

#define V1 "/api/v1"
const struct route api_enroll_routes[] = {
    { HTTP_GET, V1 "/enrollments", AUTH_OPERATOR, VERB_READ, .handler = on_enrollments,
      .response = &enrollment_list_record, .summary = "Hosts that wait for an operator." },
    { HTTP_POST, V1 "/agents/{host}/approve", AUTH_OPERATOR, VERB_HOST_APPROVE, &approve_record,
      .handler = on_approve, .response = &agent_record, .flags = ROUTE_MUTATES,
      .summary = "Lets a pending (or rejected) host in." },
    { HTTP_POST, V1 "/agents/{host}/reject", AUTH_OPERATOR, VERB_HOST_REJECT, &reason_record,
      .handler = on_reject, .response = &agent_record, .flags = ROUTE_MUTATES,
      .summary = "Turns a pending host away." },
    { HTTP_POST, V1 "/agents/{host}/revoke", AUTH_OPERATOR, VERB_HOST_REVOKE, &reason_record,
      .handler = on_revoke, .response = &agent_record, .flags = ROUTE_MUTATES,
      .summary = "Takes the certificate back: the link is cut at once and never comes again." },
    { HTTP_POST, V1 "/tokens", AUTH_OPERATOR, VERB_INSTALL_TOKEN, &token_body_record,
      .handler = on_token_create, .response = &install_token_new_record, .status = 201,
      .flags = ROUTE_MUTATES, .summary = "Makes an install token." },
    { HTTP_GET, V1 "/tokens", AUTH_OPERATOR, VERB_INSTALL_TOKEN, .handler = on_tokens,
      .response = &install_token_list_record, .summary = "Install tokens, without their codes." },
    { HTTP_DELETE, V1 "/tokens/{id}", AUTH_OPERATOR, VERB_INSTALL_TOKEN, .handler = on_token_revoke,
      .response = &install_token_record, .flags = ROUTE_MUTATES, .summary = "Revokes an install token." },
};
const size_t api_enroll_routes_n = ARRAY_SIZE(api_enroll_routes);
