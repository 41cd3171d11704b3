/* agent/dialects/grapheon_run.c - one run: register if there is no key, gate, jitter, collect, tell, remember (spec 2.3). */
#include <errno.h>
#include <sys/utsname.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "fleet/report.h"

enum { REGISTER_TIMEOUT_S = 15, REPEATS_MAX = 3, ENROLLMENT_KEY_MAX = 512 };

struct run {
    const struct grapheon_options *o;
    struct grapheon_state *s;
    struct talk talk;
    struct grapheon_policy policy;
    struct grapheon_sample sample;
    struct report_plan plan;
    struct report_head head;
    char hostname[256];
    size_t n_told; /* reports that were taken */
    size_t max_decoded;
    bool full, raw, dropped_wildcards, asked_for_resync, reregistered;
    unsigned n_repeats;
};

static int failed(const struct run *run, const struct answer *a)
{
    grapheon__say(SAY_ERROR, "%s", a->err.text);
    return grapheon__exit_code(run->o->fine_codes, a->status, a->is_network);
}

static int local_failure(const struct grapheon_options *o, const struct err *err)
{
    grapheon__say(SAY_ERROR, "%s", err->text);
    return o->fine_codes ? GRAPHEON_EXIT_CONFIG : GRAPHEON_EXIT_FAILED;
}

/* -- what both bodies begin with, and what a policy means */

void grapheon__head(const struct grapheon_options *o, const struct grapheon_state *s, struct report_head *ret, char hostname[256])
{
    struct utsname u;

    *ret = (struct report_head){ .uuid = s->uuid, .epoch = s->epoch };
    if (gethostname(hostname, 255) < 0)
        hostname[0] = '\0';
    hostname[255] = '\0';
    ret->hostname = o->hostname ? o->hostname : hostname;
    if (uname(&u) == 0)
        (void)snprintf(ret->platform_release, sizeof(ret->platform_release), "%.255s", u.release);
    clock_format(clock_wall(&clock_real), 0, ret->observed_at);
}

struct grapheon_policy grapheon__policy_of(const struct grapheon_state *s)
{
    struct grapheon_policy p;
    struct node *n = NULL;

    if (s->policy.len > 0)
        (void)json_parse(s->arena, buf_as_str(&s->policy), s->policy.len, &n, NULL);
    grapheon__policy_read(n, &p);
    return p;
}

static void take_policy(struct run *run, const struct node *fresh)
{
    AUTO(buf_done) struct buf merged = BUF(1 << 20);
    struct node *cached = NULL;

    if (run->s->policy.len > 0)
        (void)json_parse(run->s->arena, buf_as_str(&run->s->policy), run->s->policy.len, &cached, NULL);
    if (grapheon__policy_merge(cached, fresh, &merged) < 0)
        return; /* absurdly large: the one we have will do */
    buf_reset(&run->s->policy);
    (void)buf_str(&run->s->policy, buf_as_str(&merged));
}

void grapheon__wish(const struct grapheon_options *o, const struct grapheon_policy *p, struct arena *a, struct collect_wish *ret)
{
    *ret = (struct collect_wish){ .arena = a,
                                  .by_commands = o->by_commands,
                                  .keep_text = o->raw,
                                  .timeout = p->command_timeout_s * USEC_PER_SEC,
                                  .max_rows = (size_t)o->max_rows,
                                  .drop_time_wait = o->drop_time_wait,
                                  .is_extended = o->extended_rows,
                                  .root = "" };
    memcpy(ret->enabled, p->enabled, sizeof(ret->enabled));
}

/* -- registering */

static int enrollment_key(const struct grapheon_options *o, struct buf *out, struct err *err)
{
    if (o->enrollment_key)
        return buf_cstr(out, o->enrollment_key);
    if (!o->enrollment_key_file)
        return err_set(err, -ENOENT, "grapheon.key",
                       "this host has no API key, and no enrollment key to get one with: --enrollment-key-file");
    return secret_file_read(o->enrollment_key_file, ENROLLMENT_KEY_MAX, out, err);
}

static int ask_for_key(struct run *run, struct answer *ret, struct err *err)
{
    AUTO(buf_done_secret) struct buf key = BUF(4096), body = BUF(128 << 10);
    AUTO(sample__done) struct grapheon_sample sample = { 0 };
    struct collect_wish wish;
    struct grapheon_policy p = run->policy;
    int r = enrollment_key(run->o, &key, err);

    if (r < 0)
        return r;
    p.command_timeout_s = REGISTER_TIMEOUT_S;
    grapheon__wish(run->o, &p, run->s->arena, &wish);
    for (size_t s = 0; s < GS_N; s++)
        wish.enabled[s] = s == GS_ADDRESSES;
    grapheon__collect(&wish, &sample);
    r = grapheon__register_body(run->o, &run->head, run->s->claim, buf_as_str(&key), &sample.rows[GS_ADDRESSES], &body);
    if (r < 0)
        return err_set(err, r, "grapheon.register", "the registration is too large");
    (void)talk__post(&run->talk, "/api/agents/register", buf_as_str(&body), false, NULL, ret);
    return 0;
}

static void forget_enrollment_key(const struct grapheon_options *o)
{
    if (o->forget_enrollment_key && o->enrollment_key_file && unlink(o->enrollment_key_file) == 0)
        grapheon__say(SAY_INFO, "Removed %s: it is not needed any more", o->enrollment_key_file);
}

static bool is_text(const struct node *n)
{
    return n && n->type == NODE_STR && n->s.len > 0;
}

/* -1: go on; else the exit code. */
static int enroll(struct run *run)
{
    struct grapheon_state *s = run->s;
    const struct node *status, *agent, *key, *n;
    struct answer a = { 0 };
    struct err err = { 0 };

    if (ask_for_key(run, &a, &err) < 0)
        return local_failure(run->o, &err);
    if (err_is(&a.err))
        return failed(run, &a);
    status = node_get(a.json, "status");
    agent = node_get(a.json, "agent");
    key = node_get(a.json, "api_key");
    n = status; /* what an earlier answer said is no longer so */
    if (agent && agent->type == NODE_MAP) {
        s->agent_id = node_get(agent, "id");
        if (is_text(node_get(agent, "enrollment_state")))
            n = node_get(agent, "enrollment_state");
    }
    if (is_text(n))
        s->enrollment_state = n->s;
    take_policy(run, node_get(a.json, "policy"));
    run->policy = grapheon__policy_of(s);
    if (!status || status->type != NODE_STR || !str_is(status->s, "active")) {
        if (grapheon__state_save(s, &err) < 0)
            return local_failure(run->o, &err);
        grapheon__say(SAY_INFO, "Registered as %s; waiting for admin approval", s->uuid);
        return GRAPHEON_EXIT_OK;
    }
    if (!key || key->type != NODE_STR || str_trim(key->s).len == 0) {
        grapheon__say(
            SAY_ERROR,
            "This agent is active, but the server returned no API key: one was issued before. Rotate the key on the server "
            "and put the new one into %s/api_key",
            s->dir);
        return grapheon__exit_code(run->o->fine_codes, 403, false);
    }
    if (grapheon__state_set_key(s, str_trim(key->s), &err) < 0 || grapheon__state_save(s, &err) < 0)
        return local_failure(run->o, &err);
    grapheon__say(SAY_INFO, "Registered as %s; API key stored", s->uuid);
    forget_enrollment_key(run->o);
    return -1;
}

/* -- telling */

void plan__done(struct report_plan *p)
{
    for (size_t s = 0; s < GS_N; s++) {
        rows_done(&p->added[s]);
        rows_done(&p->gone[s]);
    }
}

void grapheon__plan(const struct grapheon_state *s, const struct grapheon_sample *sample, bool full, struct report_plan *ret)
{
    static const struct rows nothing;

    *ret = (struct report_plan){ .full = full, .sample = sample };
    for (enum grapheon_section i = 0; i < GS_N; i++) {
        const struct rows *before = full ? &nothing : &s->last[i];

        if (sample->status[i] == SECTION_OK)
            rows__delta(&sample->rows[i], before, &ret->added[i], &ret->gone[i]);
        for (size_t k = 0; k < before->n; k++)
            if (k == 0 || !str_eq(before->v[k], before->v[k - 1]))
                told__add(&ret->told[i], i, before->v[k]);
    }
}

/* What the server has been told so far becomes the snapshot: after a report in the middle, rows from both sides. */
static void keep_snapshot(struct run *run, const struct report_step *st)
{
    struct report_plan *p = &run->plan;

    for (enum grapheon_section i = 0; i < GS_N; i++) {
        struct rows *last = &run->s->last[i], next = { 0 };
        size_t g = 0;

        if (st->is_last) {
            for (size_t k = 0; k < run->sample.rows[i].n; k++)
                *vec_add(&next) = run->sample.rows[i].v[k];
        } else {
            for (size_t k = 0; !p->full && k < last->n; k++) {
                while (g < st->gone[i] && str_cmp(p->gone[i].v[p->at_gone[i] + g], last->v[k]) < 0)
                    g++;
                if (g == st->gone[i] || !str_eq(p->gone[i].v[p->at_gone[i] + g], last->v[k]))
                    *vec_add(&next) = last->v[k];
            }
            for (size_t k = 0; k < st->added[i]; k++)
                *vec_add(&next) = p->added[i].v[p->at_added[i] + k];
            rows_sort(&next);
        }
        rows_done(last);
        *last = next;
        p->at_added[i] += st->added[i];
        p->at_gone[i] += st->gone[i];
        p->told[i] = st->told[i];
    }
    run->s->has_snapshot = true;
}

static struct str time_of(const struct run *run, const struct node *json)
{
    const struct node *t = node_get(json, "server_time");

    return t && t->type == NODE_STR ? t->s : str_of(run->head.observed_at);
}

/* Takes what a 2xx says into the state and makes it last. */
static int taken(struct run *run, const struct answer *a, uint64_t sequence, const struct report_step *st, struct err *err)
{
    struct grapheon_state *s = run->s;
    const struct node *resync = node_get(a->json, "resync"), *summary = node_get(a->json, "summary"),
                      *rejected = node_get(a->json, "rows_rejected");
    static const struct node nothing = { .type = NODE_MAP };

    take_policy(run, node_get(a->json, "policy"));
    keep_snapshot(run, st);
    run->n_told++;
    run->asked_for_resync = run->asked_for_resync || (resync && resync->type == NODE_BOOL && resync->b);
    s->sequence = sequence;
    s->last_summary = summary && summary->type == NODE_MAP ? summary : &nothing;
    if (run->plan.full)
        s->last_full = clock_wall(&clock_real);
    run->plan.full = false; /* what follows are additions to it */
    if (rejected && rejected->type == NODE_INT && rejected->i > 0)
        grapheon__say(SAY_WARNING, "The server refused %lld rows of the report", (long long)rejected->i);
    if (!st->is_last)
        return grapheon__state_save(s, err); /* the time stays: the next run goes on if this one does not */
    s->last_success = time_of(run, a->json);
    if (run->asked_for_resync || run->raw) { /* an empty snapshot: a full report is next, whichever agent runs */
        for (size_t i = 0; i < GS_N; i++)
            rows_done(&s->last[i]);
        s->has_snapshot = false;
    }
    if (run->asked_for_resync)
        grapheon__say(SAY_INFO, "The server asks for everything anew: the next report is a full one");
    if (s->last_full == 0)
        s->last_full = clock_wall(&clock_real); /* another agent's snapshot: the day begins here */
    return grapheon__state_save(s, err);
}

static void plan_again(struct run *run, bool full)
{
    plan__done(&run->plan);
    grapheon__plan(run->s, &run->sample, full || run->raw, &run->plan);
    run->plan.raw = run->raw;
}

/* Texts are no good here: the rows that were read from them are. */
static void go_on_with_rows(struct run *run, bool full, const char *why)
{
    run->raw = false;
    plan_again(run, full);
    grapheon__say(SAY_WARNING, "%s: sending rows", why);
}

/* Did the server read the texts? Each that it could not, in the log. */
static bool texts_were_read(const struct node *json)
{
    const struct node *raw = node_get(json, "raw");

    if (!raw || raw->type != NODE_MAP)
        return false;
    for (const struct node *c = raw->child; c; c = c->next)
        if (c->type != NODE_STR || !str_is(c->s, "ok"))
            grapheon__say(SAY_WARNING, "The server could not read what %.*s printed", STR_FMT(str_sub(c->key, 0, 64)));
    return true;
}

/* What can be mended after a refusal: true when it is worth another try. */
static bool mend(struct run *run, const struct answer *a, size_t n_bytes)
{
    if (a->status == 413 && run->raw) {
        go_on_with_rows(run, run->full, "The texts are too large for the server");
        return true;
    }
    if (a->status == 413 && n_bytes / 2 >= GRAPHEON_REPORT_MIN / 2 && run->max_decoded > GRAPHEON_REPORT_MIN / 2) {
        run->max_decoded = n_bytes / 2;
        grapheon__say(SAY_WARNING, "The report is too large for the server: sending it in pieces of %zu bytes", run->max_decoded);
        return true;
    }
    if (grapheon__is_wildcard_refusal(a->status, a->json) && run->o->wildcard_mode == GW_AUTO && !run->dropped_wildcards &&
        rows__drop_wildcards(&run->sample.rows[GS_CONNECTIONS]) > 0) {
        run->dropped_wildcards = true;
        plan_again(run, run->full && run->n_told == 0);
        grapheon__say(SAY_WARNING, "The server refuses listeners on every address: sending the report without them");
        return true;
    }
    if (a->status == 401 && run->o->reregister && !run->reregistered && !run->o->check_in_only) {
        run->reregistered = true;
        grapheon__say(SAY_WARNING, "The API key was refused: registering again");
        return enroll(run) == -1;
    }
    return false;
}

static bool is_true(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);

    return n && n->type == NODE_BOOL && n->b;
}

/* Upgrading is the work of scripts and packages: here it is only said. */
static void say_skew(const struct run *run)
{
    struct grapheon_policy p = grapheon__policy_of(run->s);

    if (report_is_other_version(STR(MUSTER_VERSION), str_of(p.target_version)))
        grapheon__say(SAY_INFO, "Version %s is wanted here, this is %s", p.target_version, MUSTER_VERSION);
}

static int tell(struct run *run)
{
    AUTO(buf_done) struct buf json = BUF(64 << 20), gz = BUF(GRAPHEON_RAW_BYTES);
    struct err err = { 0 };

    for (;;) {
        uint64_t sequence = run->s->sequence + 1;
        struct report_step st;
        struct answer a = { 0 };
        int r = grapheon__report_step(&run->plan, &run->head, sequence, run->max_decoded, &json, &gz, &st);

        if (r < 0 && run->raw) {
            go_on_with_rows(run, run->full, "The texts do not fit into one report");
            continue;
        }
        if (r < 0) {
            (void)err_set(&err, r, "grapheon.report", "the report cannot be made to fit");
            return local_failure(run->o, &err);
        }
        if (!talk__post(&run->talk, "/api/agents/check-in", buf_as_str(&gz), true, run->s->api_key, &a)) {
            if (mend(run, &a, json.len))
                continue;
            return failed(run, &a);
        }
        if (is_true(a.json, "repeat") && !a.maybe_delivered && run->n_repeats++ < REPEATS_MAX) {
            /* an earlier run's report of this number was taken, and its answer lost: what the server has now is not what we
             * remember, and this report has not been told yet */
            run->s->sequence = sequence;
            plan_again(run, true);
            grapheon__say(SAY_INFO, "The server has a report %llu already: sending a full one under the next number",
                          (unsigned long long)sequence);
            continue;
        }
        if (run->raw && !texts_were_read(a.json)) { /* it has taken an empty report, as number @sequence */
            run->s->sequence = sequence;
            go_on_with_rows(run, true, "The server does not read texts of commands");
            continue;
        }
        if (run->dropped_wildcards)
            grapheon__state_note_refusal(run->s, outbound_origin(run->talk.out), clock_wall(&clock_real));
        if (taken(run, &a, sequence, &st, &err) < 0)
            return local_failure(run->o, &err);
        if (st.is_last)
            break;
    }
    grapheon__say(SAY_INFO, "Check-in accepted (sequence %llu%s)", (unsigned long long)run->s->sequence,
                  run->n_told > 1 ? ", in pieces" : "");
    say_skew(run);
    return GRAPHEON_EXIT_OK;
}

/* -- the run */

static bool gate_is_open(const struct run *run)
{
    usec_t last = 0, wait;

    if (run->o->force)
        return true;
    if (grapheon__time(run->s->last_success, &last) < 0)
        last = 0;
    if (grapheon__gate(&run->policy, (uint32_t)run->o->timer_interval_s, last, clock_wall(&clock_real), &wait))
        return true;
    grapheon__say(SAY_INFO, "Skipping collection: the next report is due in %llu s",
                  (unsigned long long)((wait + USEC_PER_SEC - 1) / USEC_PER_SEC));
    return false;
}

static void wait_jitter(struct run *run)
{
    uint32_t s = run->o->force || run->o->no_jitter ? 0 : grapheon__jitter(str_of(run->s->uuid), run->policy.jitter_s);
    struct timespec ts = { s, 0 };

    run->s->last_jitter = s;
    run->s->has_jitter = true;
    if (s == 0)
        return;
    grapheon__say(SAY_INFO, "Waiting %u s before collecting", s);
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

static int check_in(struct run *run)
{
    const struct grapheon_options *o = run->o;
    usec_t now = clock_wall(&clock_real), every = (usec_t)o->full_every_s * USEC_PER_SEC;
    struct collect_wish wish;
    size_t n = 0;

    grapheon__wish(o, &run->policy, run->s->arena, &wish);
    grapheon__collect(&wish, &run->sample);
    clock_format(clock_wall(&clock_real), 0, run->head.observed_at);
    if (o->wildcard_mode == GW_DROP ||
        (o->wildcard_mode == GW_AUTO && grapheon__state_refuses_wildcards(run->s, outbound_origin(run->talk.out), now)))
        (void)rows__drop_wildcards(&run->sample.rows[GS_CONNECTIONS]);
    run->full = !run->s->has_snapshot || (every && run->s->last_full && now >= run->s->last_full + every);
    run->max_decoded = run->policy.max_report_bytes;
    run->raw = o->raw;
    plan_again(run, run->full);
    for (size_t s = 0; s < GS_N; s++)
        n += run->plan.added[s].n;
    grapheon__say(SAY_DEBUG, "Collected %zu addresses, %zu neighbors, %zu connections, %zu routes; %zu rows are new",
                  run->sample.rows[0].n, run->sample.rows[1].n, run->sample.rows[2].n, run->sample.rows[3].n, n);
    return tell(run);
}

static int run_with_state(struct run *run)
{
    const struct grapheon_options *o = run->o;
    struct err err = { 0 };
    int code;

    run->policy = grapheon__policy_of(run->s);
    grapheon__head(o, run->s, &run->head, run->hostname);
    run->head.policy = &run->policy;
    if (o->check_in_only && !run->s->api_key) {
        (void)err_set(&err, -ENOENT, "grapheon.key",
                      "--check-in-only needs an API key, and there is none in %s/api_key: register first", run->s->dir);
        return local_failure(o, &err);
    }
    if (talk__init(&run->talk, o, run->s->arena, &err) < 0)
        return local_failure(o, &err);
    if (!run->s->api_key) {
        code = enroll(run);
        if (code >= 0)
            return code;
    }
    if (o->register_only) {
        if (grapheon__state_save(run->s, &err) < 0)
            return local_failure(o, &err);
        grapheon__say(SAY_INFO, "Register-only mode complete");
        return GRAPHEON_EXIT_OK;
    }
    if (!gate_is_open(run))
        return GRAPHEON_EXIT_OK;
    wait_jitter(run);
    return check_in(run);
}

int grapheon__run(const struct grapheon_options *o)
{
    struct run run = { .o = o };
    struct err err = { 0 };
    int code;

    if (!o->server_url) {
        (void)err_set(&err, -EINVAL, "config.server", "which server? --server-url or GRAPHEON_AGENT_SERVER_URL");
        return local_failure(o, &err);
    }
    if (grapheon__state_open(o->state_dir ? o->state_dir : ".", false, &run.s, &err) < 0)
        return local_failure(o, &err);
    code = run_with_state(&run);
    plan__done(&run.plan);
    sample__done(&run.sample);
    talk__done(&run.talk);
    grapheon__state_free(run.s);
    return code;
}
