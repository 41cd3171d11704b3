/* api/dialects/grapheon_checkin.c - what agents send: registrations and check-ins.
 *
 *   check-in: key -> grapheon_intake.c: inflated and read on a pool thread -> control, in the agent's order -> reply when it is on disk
 */
#include <errno.h>
#include <stdio.h>

#include "api/auth.h"
#include "api/dialects/grapheon.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json_mend.h"

enum { ANSWER_BYTES = 12 << 10 };

/* -- registering */
static void answer_register(struct call *c, const struct register_answer *a)
{
    struct reporter_view v;
    struct err err = { 0 };
    struct jw *w = call_json(c);
    char now[32];

    if (reporter_find(c->control, a->reporter_id, &v, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    grapheon_format_time(clock_wall(c->api->conf.clock), now);
    grapheon_begin(c);
    jw_map(w);
    jw_key(w, "status");
    jw_cstr(w, a->is_active ? "active" : "pending");
    jw_key(w, "approval_required");
    jw_bool(w, !a->is_active);
    jw_key(w, "message");
    jw_cstr(w, !a->is_active    ? "waiting for an operator to approve this agent"
               : a->is_reissue  ? "here is a new API key: the one before was never used"
               : a->api_key[0]  ? "here is the API key: it is shown once"
                                : "this agent has its API key");
    jw_key(w, "api_key");
    if (a->api_key[0])
        jw_cstr(w, a->api_key);
    else
        jw_null(w);
    jw_key(w, "server_time");
    jw_cstr(w, now);
    jw_key(w, "agent");
    grapheon_agent(w, c->control, &v);
    jw_key(w, "policy");
    grapheon_policy(w, v.policy, -1);
    jw_end_map(w);
    reply_parked(c, 200);
}

/* Characters, and forms no table knows. */
static bool register_is_valid(struct call *c, const struct grapheon_register *b)
{
    const struct record *rec = &grapheon_register_record;
    struct str hash = b->claim_sha256;
    bool is_hash = hash.len == 0 || hash.len == 2 * SHA256_LEN;

    for (size_t i = 0; i < hash.len; i++)
        is_hash &= (hash.ptr[i] >= '0' && hash.ptr[i] <= '9') || (hash.ptr[i] >= 'a' && hash.ptr[i] <= 'f');
    if (!is_hash)
        return grapheon_refuse_field(c, "claim_sha256", "value_error", "must be 64 lower-case hex digits"), false;
    if (b->claim.len && b->claim.len < GRAPHEON_CLAIM_MIN)
        return grapheon_refuse_field(c, "claim", "string_too_short", "has at least 16 characters"), false;
    if (json_is_mended(b->agent_uuid)) /* an agent is found by it */
        return grapheon_refuse_field(c, "agent_uuid", "string_unicode", "is not valid text"), false;
    if (field_is_null(rec, b, "addresses"))
        return grapheon_refuse_field(c, "addresses", "list_type", "must be a list"), false;
    if (b->metadata.text.len && b->metadata.text.ptr[0] != '{' && !str_is(b->metadata.text, "null"))
        return grapheon_refuse_field(c, "metadata", "dict_type", "must be an object"), false;
    return grapheon_fits(c, "display_name", b->display_name, REPORT_TEXT_MAX) &&
           grapheon_fits(c, "hostname", b->hostname, REPORT_TEXT_MAX) && grapheon_fits(c, "site_name", b->site_name, REPORT_TEXT_MAX) &&
           grapheon_fits(c, "platform", b->platform, REPORT_TEXT_MAX) &&
           grapheon_fits(c, "platform_release", b->platform_release, REPORT_TEXT_MAX) &&
           grapheon_fits(c, "agent_version", b->agent_version, REPORT_VERSION_MAX);
}

void grapheon_on_register(struct call *c)
{
    const struct grapheon_register *b = c->body;
    struct report *rows = arena_new0(c->arena, struct report);
    struct register_answer a;
    struct err err = { 0 };

    if (!rows) {
        (void)err_set(&err, -EMSGSIZE, "request.too_large", "the request is too large");
        reply_error(c, &err);
        return;
    }
    if (!register_is_valid(c, b))
        return;
    if (b->addresses.text.len) {
        enum grapheon_read got = grapheon_read_addresses(c->arena, b->addresses.text, rows);

        if (got == GRAPHEON_READ_FIELDS || got == GRAPHEON_READ_JSON) {
            grapheon_refuse_field(c, "addresses", "list_type", "must be a list");
            return;
        }
        if (rows->n_rejected && dialect_conf(c)->grapheon_strict) {
            grapheon_refuse_fields(c, rows->refusals, rows->n_refusals);
            return;
        }
    }
    const struct register_ask ask = {
        .enroll_key = b->enrollment_key,
        .uuid = b->agent_uuid,
        .display_name = b->display_name,
        .hostname = b->hostname,
        .site_name = b->site_name,
        .version = b->agent_version,
        .platform = b->platform,
        .release = b->platform_release,
        .claim_sha256 = b->claim_sha256,
        .claim = b->claim,
        .metadata = { str_is(b->metadata.text, "null") ? STR_NONE : b->metadata.text },
        .ips = rows->ips,
        .macs = rows->macs,
        .n_ips = rows->n_ips,
        .n_macs = rows->n_macs,
        .n_addresses = rows->n_addresses,
        .client = grapheon_client_key(c),
        .peer = c->peer_addr,
    };
    if (report_register(c->control, &ask, &a, &err) < 0) {
        if (a.retry_after)
            call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(a.retry_after));
        grapheon_error(c, &err);
        return;
    }
    answer_register(c, &a);
    secret_wipe(a.api_key, sizeof(a.api_key));
}

/* -- check-ins */
static void write_rejected(struct jw *w, const struct report *r)
{
    jw_key(w, "rows_rejected");
    jw_u64(w, r->n_rejected);
    jw_key(w, "rejected");
    grapheon_refusals(w, r->refusals, r->n_refusals);
}

/* {"ip_neigh": "ok", ...} */
static void write_raw(struct jw *w, const struct report *r)
{
    jw_key(w, "raw");
    jw_map(w);
    for (size_t i = 0; i < r->n_raws; i++) {
        jw_key_str(w, r->raws[i].name);
        jw_cstr(w, r->raws[i].verdict);
    }
    jw_end_map(w);
}

static void answer_checkin(struct call *c, const struct report *r, const struct report_answer *a)
{
    const struct grapheon_seen_lists all = { r->ips, r->macs, r->n_ips, r->n_macs };
    struct jw *w = call_json(c);
    struct reporter_view v;
    struct err err = { 0 };
    uint8_t *room;
    char now[32];

    if (reporter_find(c->control, a->reporter_id, &v, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    (void)buf_reserve(&c->out, ANSWER_BYTES, &room); /* grown once */
    grapheon_format_time(a->received_at, now);
    grapheon_begin(c);
    jw_map(w);
    jw_key(w, "status");
    jw_cstr(w, "accepted");
    jw_key(w, "server_time");
    jw_cstr(w, now);
    jw_key(w, "agent");
    grapheon_agent(w, c->control, &v);
    jw_key(w, "policy");
    grapheon_policy(w, v.policy, -1);
    jw_key(w, "checkin");
    grapheon_checkin(w, a->checkin, a->checkin_id, a->received_at, a->is_repeat ? NULL : &all);
    jw_key(w, "summary");
    grapheon_summary(w, a->checkin, a->checkin_id, a->is_repeat ? NULL : &all);
    write_rejected(w, r);
    if (r->has_raw)
        write_raw(w, r);
    if (a->is_resync) {
        jw_key(w, "resync");
        jw_bool(w, true);
    }
    if (a->is_repeat) {
        jw_key(w, "repeat");
        jw_bool(w, true);
    }
    jw_end_map(w);
    reply_parked(c, 200);
}

static void on_taken(void *ctx, int result, const struct err *err, const struct report_answer *a)
{
    struct grapheon_job *j = ctx;

    if (!call_is_gone(j->c)) {
        if (result < 0)
            grapheon_error(j->c, err);
        else
            answer_checkin(j->c, &j->report, a);
    }
    grapheon_job_done(j);
}

/* What the reading found wrong with the whole; true when nothing. */
static bool is_readable(struct grapheon_job *j)
{
    struct call *c = j->c;
    struct err err = { 0 };

    if (j->inflated == -EMSGSIZE || (j->inflated == 0 && j->got == GRAPHEON_READ_TOO_LARGE))
        (void)err_set(&err, -EMSGSIZE, "request.too_large", "the report is larger than the %u bytes the policy allows",
                      j->pass.max_report_bytes);
    else if (j->inflated < 0)
        (void)err_set(&err, -EBADMSG, "report.gzip", "the body is not gzip, or was cut off");
    else if (j->got == GRAPHEON_READ_JSON)
        (void)err_set(&err, -EINVAL, "json.syntax", "the body is not JSON");
    else if (j->got == GRAPHEON_READ_FIELDS)
        (void)err_set(&err, -EINVAL, "field.invalid", "%s: %s", j->report.n_refusals ? j->report.refusals[0].field : "unknown",
                      j->report.n_refusals ? j->report.refusals[0].message : "is not valid");
    else
        return true;
    (void)report_refused(c->control, &j->pass, j->peer, &err);
    if (j->inflated == 0 && j->got == GRAPHEON_READ_FIELDS)
        grapheon_refuse_fields(c, j->report.refusals, j->report.n_refusals);
    else
        grapheon_error(c, &err);
    return false;
}

void grapheon_on_report(struct grapheon_job *j)
{
    if (call_is_gone(j->c) || !is_readable(j)) {
        grapheon_job_done(j); /* who left gets no answer and sends it again: nothing was promised */
        return;
    }
    report_checkin(j->c->control, &j->pass, &j->report, j->peer, on_taken, j);
}

/* Guesses are 401; the agent of a known key is told why it is not let in (403), however often it asks. */
static int ration(struct call *c, struct err *err)
{
    usec_t wait = dialect_status(err, NULL) == 401 ? auth_ration(c->api, c->peer_addr, err) : 0;

    if (wait > 0)
        call_header(c, "retry-after", "%llu", (unsigned long long)reply_retry_after(wait));
    return err->code;
}

static int check_head(struct call *c, struct report_pass *pass, bool *ret_gzip, struct err *err)
{
    const struct dialect_conf *conf = dialect_conf(c);
    const struct client_key client = grapheon_client_key(c);
    struct str key = http_header(c->req, conf->grapheon_key_header), encoding = http_header(c->req, "content-encoding");

    if (!key.len) {
        (void)err_set(err, -EACCES, "auth.required", "%s is missing", conf->grapheon_key_header);
        return credential_refused(c->control, "", c->peer_addr, err);
    }
    int r = report_authenticate(c->control, key, &client, c->peer_addr, pass, err);
    if (r < 0)
        return ration(c, err);
    if (c->req->body.len > conf->grapheon_max_report)
        r = err_set(err, -EMSGSIZE, "request.too_large", "the body is larger than %u bytes", conf->grapheon_max_report);
    else if (encoding.ptr && !str_eq_nocase(encoding, STR("gzip")))
        r = err_set(err, -EINVAL, "request.encoding", "Content-Encoding is gzip or absent");
    *ret_gzip = encoding.ptr != NULL;
    return r < 0 ? report_refused(c->control, pass, c->peer_addr, err) : 0;
}

void grapheon_on_checkin(struct call *c)
{
    struct report_pass pass;
    struct err err = { 0 };
    bool is_gzip = false;

    if (check_head(c, &pass, &is_gzip, &err) < 0) {
        grapheon_error(c, &err);
        return;
    }
    if (grapheon_take_in(c, &pass, is_gzip, &err) < 0) {
        call_header(c, "retry-after", "1");
        reply_error(c, &err);
    }
}
