/* api/operator_output.c - the output of a job as an event stream or as bytes: joins api/joblog.c to control's
 * reads and topics. */
#include <assert.h>
#include <errno.h>

#include "api/joblog.h"
#include "api/operator_jobs.h"
#include "api/reply.h"
#include "api/state.h"
#include "api/view_hosts.h"
#include "api/view_jobs.h"
#include "base/limits.h"
#include "base/mem.h"

enum { RAW_PAGE_BYTES = 512 << 10, JOB_JSON_MAX = 4 << 20 };

struct output_query {
    struct seen seen;
    struct str host;
    int stream;
    bool follow, raw;
};
static const struct name stream_names[] = { { STREAM_STDOUT, "stdout" },
                                            { STREAM_STDERR, "stderr" },
                                            NAMES_END };
static const struct field output_query_fields[] = {
    F_STR(struct output_query, host, "host", LIMIT_HOSTNAME, .help = "Only this host's."),
    F_ENUM(struct output_query, stream, "stream", stream_names),
    F_BOOL(struct output_query, follow, "follow", .help = "Go on with live output until the job ends."),
    F_BOOL(struct output_query, raw, "raw", .help = "The bytes themselves; needs host and stream."),
};
const struct record output_query_record = RECORD_SEEN(output_query, output_query_fields);

/* -- the event stream of one job */

struct output {
    struct control *control;
    struct call *call; /* until the stream is open */
    uint64_t job_id, sub;
    struct joblog *jl;
    struct sink sink;
    struct joblog_conf conf;
    bool follow, has_job, job_is_over, is_over;
    uint32_t n_reads; /* of our own, under way */
    int status;
    struct blob *end; /* the job as it ended, when we were told live; NULL: to be read */
};

static void output_maybe_free(struct output *o)
{
    if (o->is_over && o->n_reads == 0) {
        blob_unref(o->end);
        call_unref(o->call);
        free(o);
    }
}

static void src_read_tasks(void *ctx, struct joblog *jl, uint64_t after, uint32_t limit);
static void src_read_task(void *ctx, struct joblog *jl, uint64_t task_id);
static void src_read_output(void *ctx, struct joblog *jl, uint64_t task_id, enum output_stream stream,
                            uint64_t offset, uint64_t max_bytes);

static void host_members(struct str name, struct str uuid, struct buf *out)
{
    struct jw w = JW(out);

    /* Written as an object, then without its braces. */
    jw_map(&w);
    jw_key(&w, "host");
    jw_str(&w, name);
    jw_key(&w, "host_id");
    jw_str(&w, uuid);
    jw_end_map(&w);
    if (jw_done(&w) < 0) {
        buf_reset(out);
        return;
    }
    out->len--;
    buf_consume(out, 1);
}

static void src_task_json(void *ctx, const struct task_row *t, struct buf *out, struct buf *host)
{
    struct output *o = ctx;
    struct str uuid = view_host_uuid(o->control, t->host_id);
    struct jw w = JW(out);

    view_task(t, uuid, &w);
    host_members(t->host_name, uuid, host);
}

static struct blob *job_json(const struct job_row *j)
{
    AUTO(buf_done) struct buf out = BUF(JOB_JSON_MAX);
    struct jw w = JW(&out);

    view_job(j, &w);
    return blob_new(jw_done(&w) == 0 ? buf_as_str(&out) : STR("{}"));
}

static void put_job(struct output *o, const char *event, const struct job_row *j)
{
    AUTO(blob_unref) struct blob *json = job_json(j);

    o->sink.put(o->sink.ctx, event, 0, blob_str(json));
}

static void on_end_row(void *ctx, const struct job_row *j)
{
    struct output *o = ctx;

    if (!o->is_over)
        put_job(o, "end", j);
}

static void on_end_done(void *ctx, int result)
{
    struct output *o = ctx;

    (void)result;
    if (!o->is_over) {
        o->sink.end(o->sink.ctx); /* the sink says nothing after this: the feed ends itself */
        joblog_feed_ops.gone(o->jl);
    }
    o->n_reads--;
    output_maybe_free(o);
}

/* Everything was put: the job as it ended, then the end. Who listened live was told; it saves a read on the
 * way of every command. */
static void src_finished(void *ctx, struct joblog *jl)
{
    struct output *o = ctx;

    (void)jl;
    o->n_reads++;
    if (o->end) {
        o->sink.put(o->sink.ctx, "end", 0, blob_str(o->end));
        on_end_done(o, 0);
    } else {
        read_job(o->control, o->job_id, on_end_row, on_end_done, o);
    }
}

static void src_over(void *ctx)
{
    struct output *o = ctx;

    if (o->sub)
        topic_leave(o->control, o->sub);
    o->sub = 0;
    o->is_over = true;
    output_maybe_free(o);
}

static void on_topic(void *ctx, const struct sub_event *e)
{
    struct output *o = ctx;

    switch (e->kind) {
    case SUB_OUTPUT: {
        AUTO(buf_done) struct buf host = BUF(4096);

        host_members(e->host_name, e->host_uuid, &host);
        joblog_live_output(o->jl, e->output, buf_as_str(&host));
        break;
    }
    case SUB_TASK:
        joblog_live_task(o->jl, e->task);
        break;
    case SUB_JOB_END:
        blob_unref(o->end);
        o->end = e->job ? job_json(e->job) : NULL;
        joblog_live_end(o->jl);
        break;
    case SUB_EVENT:
    case SUB_AUDIT:
        break;
    }
}

/* The joblog may be freed while a read is under way (the reader left): it stays until its read is done, see
 * joblog.c. */
static void row_task(void *ctx, const struct task_row *t)
{
    joblog_task_row(ctx, t);
}

static void row_output(void *ctx, const struct output_frame *f)
{
    joblog_output_row(ctx, f);
}

static void read_is_done(void *ctx, int result)
{
    joblog_read_done(ctx, result);
}

static void src_read_tasks(void *ctx, struct joblog *jl, uint64_t after, uint32_t limit)
{
    struct output *o = ctx;

    read_tasks(o->control, o->job_id, after, limit, row_task, read_is_done, jl);
}

static void src_read_task(void *ctx, struct joblog *jl, uint64_t task_id)
{
    struct output *o = ctx;

    read_task(o->control, task_id, row_task, read_is_done, jl);
}

static void src_read_output(void *ctx, struct joblog *jl, uint64_t task_id, enum output_stream stream,
                            uint64_t offset, uint64_t max_bytes)
{
    struct output *o = ctx;

    read_output(o->control, task_id, stream, offset, max_bytes, row_output, read_is_done, jl);
}

static struct output *output_new(struct call *c, uint64_t job_id)
{
    struct output *o = xnew0(struct output);

    *o = (struct output){ .control = c->control, .call = call_ref(c), .job_id = job_id, .status = 200 };
    return o;
}

/* Opens the stream, puts `job` and lets the joblog run. */
static void output_start(struct output *o, const struct job_row *job)
{
    const struct joblog_source src = {
        src_read_tasks, src_read_task, src_read_output, src_task_json, src_finished, src_over, o
    };
    struct stream *s;

    o->jl = joblog_new(&src, &o->conf);
    s = stream_open(o->call, o->status, &joblog_feed_ops, o->jl);
    call_unref(o->call);
    o->call = NULL;
    if (!s) {
        joblog_feed_ops.gone(o->jl); /* frees @o when nothing is under way */
        return;
    }
    o->sink = stream_sink(s);
    put_job(o, "job", job);
    joblog_start(o->jl, &o->sink);
}

void output_follow_new(struct call *c, const struct job_row *job, bool is_repeat)
{
    struct output *o = output_new(c, job->id);

    o->status = 201;
    o->follow = true;
    o->n_reads++; /* holds @o through the start */
    o->conf = (struct joblog_conf){ .is_new = !is_repeat, .n_tasks = job->counts.total };
    /* A job that ended within its first turn has no topic any more: its rows say everything. */
    o->sub = topic_job(c->control, job->id, on_topic, o);
    if (!o->sub)
        o->conf = (struct joblog_conf){ .may_end = true };
    output_start(o, job);
    o->n_reads--;
    output_maybe_free(o);
}

/* -- GET /jobs/{id}/output */

static void raw_start(struct output *o);

static void on_get_job(void *ctx, const struct job_row *j)
{
    struct output *o = ctx;

    o->has_job = true;
    if (call_is_gone(o->call))
        return;
    if (o->conf.may_end || j->state != JOB_RUNNING)
        o->conf.may_end = true;
    /* Topic callbacks cannot come before output_start() returns: control tells of nothing from inside a read.
     */
    output_start(o, j);
}

static void on_get_job_done(void *ctx, int result)
{
    struct output *o = ctx;

    o->n_reads--;
    if (o->call && !call_is_gone(o->call)) { /* no stream was begun */
        struct err err = { 0 };

        (void)err_set(&err, -ENOENT, "job.unknown", "there is no job %llu", (unsigned long long)o->job_id);
        if (result < 0)
            reply_unread(o->call, result);
        else
            reply_error(o->call, &err);
    }
    if (!o->jl && !o->is_over)
        src_over(o);
    else
        output_maybe_free(o);
}

/* While the job is being read nothing is listened to yet: the joblog does not exist. What is told meanwhile
 * is on disk, and the joblog reads from there. */
static void on_topic_early(void *ctx, const struct sub_event *e)
{
    struct output *o = ctx;

    if (o->jl)
        on_topic(o, e);
    else if (e->kind == SUB_JOB_END)
        o->conf.may_end = true; /* the rows read from now on say so too */
}

void output_get(struct call *c)
{
    const struct output_query *q = c->query;
    struct host_view h = { 0 };
    struct err err = { 0 };
    struct output *o;
    uint64_t id;

    if (call_param_id(c, 0, "job.unknown", &id, &err) < 0 ||
        (q->host.len && host_find(c->control, q->host, &h, &err) < 0)) {
        reply_error_parked(c, &err);
        return;
    }
    if (q->raw && (!q->host.len || !q->stream || q->follow)) {
        (void)err_set(&err, -EINVAL, "field.invalid", "raw needs host and stream, and no follow");
        reply_error(c, &err);
        return;
    }
    if (c->req->method == HTTP_HEAD) {
        c->content_type = q->raw ? "application/octet-stream" : "text/event-stream";
        reply_now(c, 200);
        return;
    }
    o = output_new(c, id);
    o->conf =
        (struct joblog_conf){ .host_id = h.id.v, .stream = (enum output_stream)q->stream, .may_end = true };
    if (q->raw) {
        raw_start(o);
        return;
    }
    if (q->follow) {
        o->sub = topic_job(c->control, id, on_topic_early, o);
        o->conf.may_end = !o->sub; /* an ended job has no topic */
    }
    o->n_reads++;
    read_job(c->control, id, on_get_job, on_get_job_done, o);
}

/* -- raw bytes: one task's stream, page by page */

struct raw {
    struct control *control;
    struct call *call;
    uint64_t job_id, host_id, task_id, offset, n_page, after;
    enum output_stream stream;
    uint32_t n_tasks;
    bool has_begun, is_over;
};

static void raw_read(struct raw *r);

static void raw_free(struct raw *r)
{
    call_unref(r->call);
    free(r);
}

static void raw_on_gone(void *ctx)
{
    struct raw *r = ctx;

    r->is_over = true; /* freed where it waits: in a read's end or a drain that does not come any more */
    r->call->on_gone = NULL;
    if (r->n_tasks == UINT32_MAX) /* waits for room: nobody else comes back */
        raw_free(r);
}

static void raw_row(void *ctx, const struct output_frame *f)
{
    struct raw *r = ctx;
    struct str data = f->data;

    if (r->is_over || f->offset + data.len <= r->offset)
        return;
    if (f->offset < r->offset)
        data = str_sub(data, (size_t)(r->offset - f->offset), data.len);
    r->n_page += f->data.len;
    r->offset = f->offset + f->data.len;
    AUTO(blob_unref) struct blob *b = blob_new(data);
    (void)http_stream_write(r->call->exchange, b);
}

static void raw_on_room(void *ctx, uint64_t exchange)
{
    struct raw *r = ctx;

    (void)exchange;
    r->n_tasks = 1;
    raw_read(r);
}

static void raw_end(struct raw *r)
{
    uint64_t exchange = r->call->exchange;

    r->call->on_gone = NULL;
    raw_free(r);
    (void)http_stream_end(exchange);
}

static void raw_page_done(void *ctx, int result)
{
    struct raw *r = ctx;

    if (r->is_over) {
        raw_free(r);
    } else if (result < 0 || r->n_page + LIMIT_OUTPUT_CHUNK <= RAW_PAGE_BYTES) {
        raw_end(r);
    } else if (http_stream_queued(r->call->exchange) >= LIMIT_WRITE_HIGH) {
        r->n_tasks = UINT32_MAX;
        (void)http_stream_on_drain(r->call->exchange, raw_on_room, r);
    } else {
        raw_read(r);
    }
}

static void raw_read(struct raw *r)
{
    r->n_page = 0;
    read_output(r->control, r->task_id, r->stream, r->offset, RAW_PAGE_BYTES, raw_row, raw_page_done, r);
}

static void raw_task(void *ctx, const struct task_row *t)
{
    struct raw *r = ctx;

    r->n_tasks++;
    r->after = t->id;
    if (t->host_id == r->host_id)
        r->task_id = t->id;
}

static void raw_find(struct raw *r);

static void raw_tasks_done(void *ctx, int result)
{
    struct raw *r = ctx;
    struct err err = { 0 };

    if (call_is_gone(r->call)) {
        raw_free(r);
        return;
    }
    if (result >= 0 && !r->task_id && r->n_tasks == 1000) {
        raw_find(r);
        return;
    }
    if (result < 0 || !r->task_id) {
        (void)err_set(&err, -ENOENT, "task.unknown", "the job has no task on this host");
        if (result < 0)
            reply_unread(r->call, result);
        else
            reply_error(r->call, &err);
        raw_free(r);
        return;
    }

    struct call *c = r->call;
    struct http_res res = { .status = 200, .content_type = "application/octet-stream" };
    if (http_stream_begin(c->exchange, &res) < 0) {
        raw_free(r);
        return;
    }
    call_begin_stream(c, 200);
    c->on_gone = raw_on_gone;
    c->on_gone_ctx = r;
    r->n_tasks = 1;
    raw_read(r);
}

static void raw_find(struct raw *r)
{
    r->n_tasks = 0;
    read_tasks(r->control, r->job_id, r->after, 1000, raw_task, raw_tasks_done, r);
}

/* Takes what @o knows; a raw answer needs none of its machinery. */
static void raw_start(struct output *o)
{
    struct raw *r = xnew0(struct raw);

    *r = (struct raw){ .control = o->control,
                       .call = TAKE(o->call),
                       .job_id = o->job_id,
                       .host_id = o->conf.host_id,
                       .stream = o->conf.stream };
    free(o);
    raw_find(r);
}
