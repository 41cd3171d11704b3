/* api/operator_jobs.c - jobs: ask, look, cancel, feed. Their output streams are in operator_output.c. */
#include <errno.h>

#include "api/operator_jobs.h"
#include "api/page.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/view_hosts.h"
#include "api/view_jobs.h"
#include "base/limits.h"
#include "base/mem.h"

enum { STDIN_CAP = 1 << 20 };

/* -- POST /jobs */

struct targets_body {
    bool all;
    struct str_list hosts;
    struct str selector;
};
static const struct field targets_fields[] = {
    F_BOOL(struct targets_body, all, "all", .help = "Every approved host."),
    F_STR_LIST(struct targets_body, hosts, "hosts", 20000, LIMIT_HOSTNAME, .help = "Names or UUIDs."),
    F_STR(struct targets_body, selector, "selector", 4096, .help = "role=web,env!=test"),
};
static const struct record targets_record = RECORD(targets_body, targets_fields);

/* Below the API 0 means "not given". Who gives 0 wants no grace: it becomes the shortest the wire to an agent can carry. */
enum { GRACE_LEAST_US = USEC_PER_MS };

static usec_t grace_of(const struct record *rec, const void *body, usec_t grace)
{
    return grace == 0 && field_is_present(rec, body, "grace") ? GRACE_LEAST_US : grace;
}

struct job_body {
    struct seen seen;
    struct targets_body targets;
    struct str_list argv;
    struct str shell, user, cwd;
    struct kv_list env;
    usec_t timeout, deadline, grace;
    uint32_t max_parallel;
    struct bytes stdin_data;
    bool stdin_open;
    uint64_t output_cap;
};
static const struct field job_body_fields[] = {
    F_SUB(struct job_body, targets, "targets", &targets_record, .flags = FIELD_REQUIRED,
          .help = "Exactly one of its members."),
    F_STR_LIST(struct job_body, argv, "argv", LIMIT_ARGV, LIMIT_ARG_BYTES,
               .help = "Program and arguments, exact."),
    F_STR(struct job_body, shell, "shell", LIMIT_ARG_BYTES, .help = "Text for /bin/sh -c, instead of argv."),
    F_STR(struct job_body, user, "user", LIMIT_NAME, .help = "User on the host; default: the agent's own."),
    F_STR(struct job_body, cwd, "cwd", 4096),
    F_MAP(struct job_body, env, "env", 1024, LIMIT_ARG_BYTES, .help = "Added to the environment."),
    F_DURATION(struct job_body, timeout, "timeout", .help = "From the start on the host; 0: none."),
    F_DURATION(struct job_body, deadline, "deadline",
               .help = "How long it waits for hosts that are away; default 1h."),
    F_DURATION(struct job_body, grace, "grace", .help = "Between SIGTERM and SIGKILL; default 10s, 0s: none."),
    F_U32(struct job_body, max_parallel, "max_parallel", .help = "Hosts at once; 0: all."),
    F_BYTES(struct job_body, stdin_data, "stdin", LIMIT_COMMAND_BYTES, .help = "Whole input, base64."),
    F_BOOL(struct job_body, stdin_open, "stdin_open", .help = "More input follows by POST .../stdin."),
    F_U64(struct job_body, output_cap, "output_cap", .help = "Bytes kept of each stream; default 64 MiB."),
};
static const struct record job_body_record = RECORD_SEEN(job_body, job_body_fields);

struct job_create_query {
    bool follow;
};
static const struct field job_create_query_fields[] = {
    F_BOOL(struct job_create_query, follow, "follow", .help = "Answer with the event stream of /output."),
};
static const struct record job_create_query_record = RECORD(job_create_query, job_create_query_fields);

static int bad_member(struct err *err, const char *path, const char *slug, const char *text)
{
    (void)err_set(err, -EINVAL, slug, "%s", text);
    err_path(err, path);
    return -EINVAL;
}

static int check_job(const struct job_body *b, struct err *err)
{
    int n_targets = b->targets.all + (b->targets.hosts.n > 0) + (b->targets.selector.len > 0);

    if (n_targets != 1)
        return bad_member(err, "targets", "job.no_targets", "targets: exactly one of all, hosts and selector is wanted");
    if ((b->argv.n > 0) == (b->shell.len > 0))
        return bad_member(err, "argv", "field.invalid", "argv: exactly one of argv and shell is wanted");
    if (b->argv.n > 0 && b->argv.v[0].len == 0)
        return bad_member(err, "argv[0]", "field.invalid", "argv[0] is empty");
    /* Below the API 0 means "not given"; who gives it does not mean the default. */
    if (b->deadline == 0 && field_is_present(&job_body_record, b, "deadline"))
        return bad_member(err, "deadline", "field.range", "deadline: with 0 nothing could run; without it hosts have an hour");
    if (b->output_cap == 0 && field_is_present(&job_body_record, b, "output_cap"))
        return bad_member(err, "output_cap", "field.range", "output_cap: at least 1 byte; without it as much as the server keeps of a stream");
    return 0;
}

static void reply_job(struct call *c, int status, const struct job_row *job)
{
    view_job(job, call_json(c));
    reply_parked(c, status);
}

static void on_created(void *ctx, int result, const struct err *err, const struct job_row *job,
                       bool is_repeat)
{
    AUTO(call_unref) struct call *c = ctx;
    const struct job_create_query *q;

    if (call_is_gone(c))
        return;
    if (result < 0) {
        reply_error_parked(c, err);
        return;
    }
    q = c->query;
    if (q->follow && c->req->method == HTTP_POST)
        output_follow_new(c, job, is_repeat);
    else
        reply_job(c, 201, job);
}

static void on_job_create(struct call *c)
{
    const struct job_body *b = c->body;
    struct str key = http_header(c->req, "idempotency-key");
    struct err err = { 0 };

    if (check_job(b, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (key.len > 255) {
        (void)err_set(&err, -EINVAL, "field.too_long", "Idempotency-Key: at most 255 bytes");
        reply_error(c, &err);
        return;
    }
    struct job_wish wish = {
        .all = b->targets.all,
        .hosts = b->targets.hosts,
        .selector = b->targets.selector,
        .argv = b->argv,
        .shell = b->shell,
        .user = b->user,
        .cwd = b->cwd,
        .env = b->env,
        .timeout = b->timeout,
        .deadline = b->deadline,
        .grace = grace_of(&job_body_record, b, b->grace),
        .max_parallel = b->max_parallel,
        .stdin_data = b->stdin_data,
        .stdin_open = b->stdin_open,
        .output_cap_bytes = b->output_cap,
        .idem_key = key,
    };
    job_create(c->control, &c->who, &wish, on_created, call_ref(c));
}

/* -- reads */

static void no_such_job(struct call *c)
{
    struct err err = { 0 };

    (void)err_set(&err, -ENOENT, "job.unknown", "there is no job %.*s",
                  STR_FMT(str_sub(call_param(c, 0), 0, 64)));
    reply_error(c, &err);
}

static void on_job_row(void *ctx, const struct job_row *j)
{
    struct jw *w = page_row(ctx, j->id);

    if (w)
        view_job(j, w);
}

static void on_job_done(void *ctx, int result)
{
    AUTO(page_free) struct page *p = ctx;

    if (page_broke(p, result))
        return;
    if (p->n == 0)
        no_such_job(p->c);
    else
        reply_now(p->c, 200);
}

static bool job_id(struct call *c, uint64_t *ret)
{
    struct err err = { 0 };

    if (call_param_id(c, 0, "job.unknown", ret, &err) == 0)
        return true;
    reply_error(c, &err);
    return false;
}

static void on_job(struct call *c)
{
    uint64_t id;

    if (job_id(c, &id))
        read_job(c->control, id, on_job_row, on_job_done, page_new(c, 1));
}

struct jobs_query {
    uint64_t before;
    uint32_t limit;
};
static const struct field jobs_query_fields[] = {
    F_U64(struct jobs_query, before, "before", .help = "Only jobs before this id."),
    F_PAGE_LIMIT(struct jobs_query),
};
static const struct record jobs_query_record = RECORD(jobs_query, jobs_query_fields);

static void on_jobs(struct call *c)
{
    const struct jobs_query *q = c->query;
    struct page *p = page_open(c, "jobs", q->limit);

    read_jobs(c->control, q->before, page_want(p), on_job_row, page_done, p);
}

struct tasks_query {
    uint64_t after;
    uint32_t limit;
};
static const struct field tasks_query_fields[] = {
    F_U64(struct tasks_query, after, "after", .help = "Only tasks after this id."),
    F_PAGE_LIMIT(struct tasks_query),
};
static const struct record tasks_query_record = RECORD(tasks_query, tasks_query_fields);

static void on_task_row(void *ctx, const struct task_row *t)
{
    struct page *p = ctx;
    struct jw *w = page_row(p, t->id);

    if (w)
        view_task(t, view_host_uuid(p->c->control, t->host_id), w);
}

static void on_tasks_done(void *ctx, int result)
{
    struct page *p = ctx;
    struct call *c = p->c;

    /* Every job has tasks, so no rows at all mean no such job (or a page behind the end, which is empty). */
    if (!call_is_gone(c) && result >= 0 && p->n == 0 && ((const struct tasks_query *)c->query)->after == 0) {
        buf_reset(&c->out);
        no_such_job(c);
        page_free(p);
        return;
    }
    page_done(p, result);
}

static void on_tasks(struct call *c)
{
    const struct tasks_query *q = c->query;
    struct page *p;
    uint64_t id;

    if (!job_id(c, &id))
        return;
    p = page_open(c, "tasks", q->limit);
    read_tasks(c->control, id, q->after, page_want(p), on_task_row, on_tasks_done, p);
}

/* -- cancel, stdin */

struct cancel_body {
    struct seen seen;
    usec_t grace;
};
static const struct field cancel_fields[] = {
    F_DURATION(struct cancel_body, grace, "grace",
               .help = "Between SIGTERM and SIGKILL; default: the job's own; 0s: none."),
};
static const struct record cancel_record = RECORD_SEEN(cancel_body, cancel_fields);

static void on_cancelled(void *ctx, int result, const struct err *err, const struct job_row *job,
                         bool is_repeat)
{
    AUTO(call_unref) struct call *c = ctx;

    (void)is_repeat;
    if (result < 0)
        reply_error_parked(c, err);
    else if (!call_is_gone(c))
        reply_job(c, 202, job);
}

static void on_job_cancel(struct call *c)
{
    const struct cancel_body *b = c->body;
    uint64_t id;

    if (job_id(c, &id))
        job_cancel(c->control, &c->who, id, grace_of(&cancel_record, b, b->grace), on_cancelled, call_ref(c));
}

struct stdin_query {
    struct seen seen;
    uint64_t offset;
    bool eof;
};
static const struct field stdin_query_fields[] = {
    F_U64(struct stdin_query, offset, "offset", .flags = FIELD_REQUIRED,
          .help = "Of the first byte in the whole input."),
    F_BOOL(struct stdin_query, eof, "eof", .help = "Nothing follows."),
};
static const struct record stdin_query_record = RECORD_SEEN(stdin_query, stdin_query_fields);

struct accepted_out {
    uint64_t accepted;
};
static const struct field accepted_fields[] = { F_U64(struct accepted_out, accepted, "accepted") };
static const struct record accepted_record = RECORD(accepted_out, accepted_fields);

static void on_job_stdin(struct call *c)
{
    const struct stdin_query *q = c->query;
    struct accepted_out out = { .accepted = c->req->body.len };
    struct err err = { 0 };
    uint64_t id;

    if (!job_id(c, &id))
        return;
    if (job_input(c->control, &c->who, id, q->offset, c->req->body, q->eof, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_record(c, 200, &accepted_record, &out);
}

#define J "/api/v1/jobs"
const struct route api_jobs_routes[] = {
    { HTTP_POST, J, AUTH_OPERATOR, VERB_RUN, &job_body_record, LIMIT_JSON_BYTES, on_job_create,
      &job_create_query_record, &job_record, 201, ROUTE_MUTATES | ROUTE_IDEM_KEY | ROUTE_STREAMS,
      .summary = "Runs a command on hosts; with follow=true the answer is the event stream of the job." },
    { HTTP_GET, J, AUTH_OPERATOR, VERB_READ, .handler = on_jobs, .query = &jobs_query_record,
      .response = &job_list_record, .summary = "Jobs, newest first." },
    { HTTP_GET, J "/{id}", AUTH_OPERATOR, VERB_READ, .handler = on_job, .response = &job_record,
      .summary = "One job." },
    { HTTP_GET, J "/{id}/tasks", AUTH_OPERATOR, VERB_READ, .handler = on_tasks, .query = &tasks_query_record,
      .response = &task_list_record, .summary = "One task per host of the job." },
    { HTTP_GET, J "/{id}/output", AUTH_OPERATOR, VERB_READ, .handler = output_get,
      .query = &output_query_record, .flags = ROUTE_STREAMS,
      .summary = "Stored output as events, then live ones with follow=true; or the bytes with raw=true." },
    { HTTP_POST, J "/{id}/cancel", AUTH_OPERATOR, VERB_RUN, &cancel_record, .handler = on_job_cancel,
      .response = &job_record, .status = 202, .flags = ROUTE_MUTATES,
      .summary = "Ends a job: SIGTERM, then SIGKILL after the grace." },
    { HTTP_POST, J "/{id}/stdin", AUTH_OPERATOR, VERB_RUN, .cap = STDIN_CAP, .handler = on_job_stdin,
      .query = &stdin_query_record, .response = &accepted_record, .flags = ROUTE_MUTATES | ROUTE_RAW_BODY,
      .summary = "Input for a job made with stdin_open." },
};
const size_t api_jobs_routes_n = ARRAY_SIZE(api_jobs_routes);
