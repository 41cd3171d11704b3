/* api/joblog.c - see joblog.h. One read is under way at a time: a page of tasks, a task's row, or a page of
 * one stream. */
#include "api/joblog.h"

#include <assert.h>

#include <utlist.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/table.h"
#include "base/text.h"
#include "base/vec.h"

enum {
    TASK_PAGE = 100,
    OUTPUT_PAGE_BYTES = 512 << 10,
    HELD_MAX_BYTES = 1 << 20,
    EVENT_MAX_BYTES = 256 << 10
};
enum { N_STREAMS = 2 };

struct entry {
    uint64_t task_id;
    enum { WAITING, READING, LIVE } state;
    uint64_t sent[N_STREAMS];                   /* offset behind the last byte put */
    uint64_t kept[N_STREAMS], total[N_STREAMS]; /* from the last row seen */
    bool is_cut[N_STREAMS];
    bool row_is_done; /* the row held says the task is done */
    bool done_was_put;
    struct blob *row;          /* the task event to put after the output; NULL: to be read */
    char *host;                /* "host":"..","host_id":".." */
    struct entry *prev, *next; /* in jl->todo */
    UT_hash_handle hh;
};
struct held {
    struct blob *row; /* a task event, or NULL: a frame */
    bool row_is_done;
    enum output_stream stream;
    uint64_t offset;
    struct blob *data;
};
struct joblog {
    struct joblog_source src;
    struct joblog_conf conf;
    struct sink sink;
    struct entry *by_id, *todo, *current;
    enum { READ_NONE, READ_TASKS, READ_TASK, READ_OUTPUT } read;
    int stream; /* being read: 0, 1; N_STREAMS: both are done */
    uint64_t n_read_bytes, last_task;
    uint32_t n_page, n_done, busy;
    bool has_all_tasks, is_gone, is_finished, held_overflowed, waits_for_room, saw_end;
    VEC(struct held) held; /* of current */
    size_t held_bytes;
};

struct joblog *joblog_new(const struct joblog_source *src, const struct joblog_conf *conf)
{
    struct joblog *jl = xnew0(struct joblog);

    *jl = (struct joblog){ .src = *src, .conf = *conf, .has_all_tasks = conf->is_new };
    return jl;
}

/* -- entries */

static struct entry *entry_find(struct joblog *jl, uint64_t task_id)
{
    struct entry *e;

    HASH_FIND(hh, jl->by_id, &task_id, sizeof(task_id), e);
    return e;
}

static struct entry *entry_new(struct joblog *jl, uint64_t task_id)
{
    struct entry *e = xnew0(struct entry);

    e->task_id = task_id;
    HASH_ADD(hh, jl->by_id, task_id, sizeof(e->task_id), e);
    return e;
}

static void entry_free(struct entry *e)
{
    blob_unref(e->row);
    free(e->host);
    free(e);
}

/* Takes what @t says; its event is put later. */
static void entry_take_row(struct joblog *jl, struct entry *e, const struct task_row *t)
{
    AUTO(buf_done) struct buf json = BUF(EVENT_MAX_BYTES), host = BUF(4096);

    jl->src.task_json(jl->src.ctx, t, &json, &host);
    blob_unref(e->row);
    e->row = blob_new(buf_as_str(&json));
    e->row_is_done = t->state == TASK_DONE;
    e->kept[0] = t->stdout_bytes;
    e->kept[1] = t->stderr_bytes;
    e->total[0] = t->stdout_total > t->stdout_bytes ? t->stdout_total : t->stdout_bytes;
    e->total[1] = t->stderr_total > t->stderr_bytes ? t->stderr_total : t->stderr_bytes;
    e->is_cut[0] = t->stdout_truncated;
    e->is_cut[1] = t->stderr_truncated;
    if (!e->host)
        e->host = str_dup(buf_as_str(&host));
}

static void held_reset(struct joblog *jl)
{
    for (size_t i = 0; i < jl->held.n; i++) {
        blob_unref(jl->held.v[i].row);
        blob_unref(jl->held.v[i].data);
    }
    jl->held.n = 0;
    jl->held_bytes = 0;
    jl->held_overflowed = false;
}

static void maybe_free(struct joblog *jl)
{
    struct entry *e, *next;

    if (!jl->is_gone || jl->busy > 0 || jl->read != READ_NONE)
        return; /* a read under way comes back to us */
    HASH_ITER(hh, jl->by_id, e, next)
    {
        HASH_DEL(jl->by_id, e);
        entry_free(e);
    }
    held_reset(jl);
    vec_done(&jl->held);
    free(jl);
}

/* -- putting */

static const char *stream_name(int i)
{
    return i == 0 ? "stdout" : "stderr";
}

static bool wants_stream(const struct joblog *jl, int i)
{
    return jl->conf.stream == 0 || (int)jl->conf.stream == i + 1;
}

static void put_gap(struct joblog *jl, struct entry *e, int i, uint64_t to)
{
    AUTO(buf_done) struct buf out = BUF(1024);
    struct jw w = JW(&out);

    if (!wants_stream(jl, i) || to <= e->sent[i])
        return;
    jw_map(&w);
    jw_key(&w, "task_id");
    jw_u64(&w, e->task_id);
    jw_key(&w, "stream");
    jw_cstr(&w, stream_name(i));
    jw_key(&w, "from");
    jw_u64(&w, e->sent[i]);
    jw_key(&w, "to");
    jw_u64(&w, to);
    jw_end_map(&w);
    if (jw_done(&w) == 0)
        jl->sink.put(jl->sink.ctx, "gap", 0, buf_as_str(&out));
    e->sent[i] = to;
}

/* Puts the part of the frame that was not put yet. */
static void put_output(struct joblog *jl, struct entry *e, enum output_stream stream, uint64_t offset,
                       struct str data)
{
    AUTO(buf_done) struct buf b64 = BUF(EVENT_MAX_BYTES), out = BUF(2 * EVENT_MAX_BYTES);
    int i = stream == STREAM_STDERR;
    struct jw w = JW(&out);

    if (!wants_stream(jl, i) || offset + data.len <= e->sent[i])
        return;
    if (offset < e->sent[i]) {
        data = str_sub(data, (size_t)(e->sent[i] - offset), data.len);
        offset = e->sent[i];
    }
    if (offset > e->sent[i])
        put_gap(jl, e, i, offset);

    jw_map(&w);
    jw_key(&w, "task_id");
    jw_u64(&w, e->task_id);
    if (e->host && e->host[0]) {
        (void)buf_char(&out, ',');
        (void)buf_cstr(&out, e->host);
    }
    jw_key(&w, "stream");
    jw_cstr(&w, stream_name(i));
    jw_key(&w, "offset");
    jw_u64(&w, offset);
    jw_key(&w, "data");
    if (base64_encode(&b64, data) < 0)
        return;
    jw_str(&w, buf_as_str(&b64));
    jw_end_map(&w);
    e->sent[i] = offset + data.len;
    if (jw_done(&w) == 0)
        jl->sink.put(jl->sink.ctx, "output", 0, buf_as_str(&out));
}

/* The task event held by @e; output that will never come (cut by a cap, removed by retention) is told first.
 */
static void put_row(struct joblog *jl, struct entry *e)
{
    if (!e->row)
        return;
    if (e->row_is_done && !e->done_was_put)
        for (int i = 0; i < N_STREAMS; i++)
            put_gap(jl, e, i, e->is_cut[i] ? e->total[i] : e->kept[i]);
    if (!e->done_was_put)
        jl->sink.put(jl->sink.ctx, "task", 0, blob_str(e->row));
    if (e->row_is_done && !e->done_was_put) {
        e->done_was_put = true;
        jl->n_done++;
    }
    blob_unref(e->row);
    e->row = NULL;
}

/* -- the worker */

static void work(struct joblog *jl);

static bool has_room(struct joblog *jl)
{
    if (jl->sink.has_room(jl->sink.ctx))
        return true;
    if (!jl->waits_for_room) {
        jl->waits_for_room = true;
        jl->sink.want_room(jl->sink.ctx);
    }
    return false;
}

/* @e fell behind: its bytes and its state are read again. */
static void send_back(struct joblog *jl, struct entry *e)
{
    blob_unref(e->row);
    e->row = NULL;
    e->state = WAITING;
    DL_APPEND(jl->todo, e);
    (void)has_room(jl); /* asks for it */
}

/* Everything of current was read: its row, then what was held, then it is live. */
static void current_is_read(struct joblog *jl)
{
    struct entry *e = jl->current;

    put_row(jl, e);
    for (size_t i = 0; i < jl->held.n && !jl->is_gone; i++) {
        struct held *h = &jl->held.v[i];

        if (!h->row) {
            put_output(jl, e, h->stream, h->offset, blob_str(h->data));
        } else {
            blob_unref(e->row);
            e->row = blob_ref(h->row);
            e->row_is_done = h->row_is_done;
            put_row(jl, e);
        }
    }
    held_reset(jl);
    e->state = LIVE;
    jl->current = NULL;
}

static void read_current(struct joblog *jl)
{
    struct entry *e = jl->current;

    if (!e->row) {
        jl->read = READ_TASK;
        jl->src.read_task(jl->src.ctx, jl, e->task_id);
        return;
    }
    /* A task that is done and whose bytes were all put needs no read. */
    while (jl->stream < N_STREAMS &&
           (!wants_stream(jl, jl->stream) || (e->row_is_done && e->sent[jl->stream] >= e->kept[jl->stream])))
        jl->stream++;
    if (jl->stream == N_STREAMS) {
        if (jl->held_overflowed) { /* too much came meanwhile: once more, from where we are */
            held_reset(jl);
            blob_unref(e->row);
            e->row = NULL;
            jl->stream = 0;
            read_current(jl);
            return;
        }
        current_is_read(jl);
        return;
    }
    jl->n_read_bytes = 0;
    jl->read = READ_OUTPUT;
    jl->src.read_output(jl->src.ctx, jl, e->task_id, jl->stream == 0 ? STREAM_STDOUT : STREAM_STDERR,
                        e->sent[jl->stream], OUTPUT_PAGE_BYTES);
}

static void work(struct joblog *jl)
{
    while (!jl->is_gone && !jl->is_finished && jl->read == READ_NONE && has_room(jl)) {
        if (jl->current) {
            read_current(jl);
        } else if (jl->todo) {
            jl->current = jl->todo;
            DL_DELETE(jl->todo, jl->current);
            jl->current->state = READING;
            jl->stream = 0;
            held_reset(jl);
        } else if (!jl->has_all_tasks) {
            jl->n_page = 0;
            jl->read = READ_TASKS;
            jl->src.read_tasks(jl->src.ctx, jl, jl->last_task, TASK_PAGE);
        } else if (jl->saw_end && jl->conf.is_new && jl->n_done < jl->conf.n_tasks) {
            jl->conf.is_new = jl->has_all_tasks =
                false; /* some ended before anybody could listen: look them up */
        } else if (jl->conf.may_end || jl->saw_end) {
            jl->is_finished = true;
            jl->src.finished(jl->src.ctx, jl);
        } else {
            return; /* all live */
        }
    }
}

static void work_guarded(struct joblog *jl)
{
    jl->busy++;
    work(jl);
    jl->busy--;
    maybe_free(jl);
}

void joblog_start(struct joblog *jl, const struct sink *sink)
{
    jl->sink = *sink;
    work_guarded(jl);
}

/* -- live */

static void hold(struct joblog *jl, const struct held *h, size_t size)
{
    if (jl->held_overflowed || jl->held_bytes + size > HELD_MAX_BYTES) {
        jl->held_overflowed = true;
        blob_unref(h->row);
        blob_unref(h->data);
        return;
    }
    *vec_add(&jl->held) = *h;
    jl->held_bytes += size;
}

void joblog_live_output(struct joblog *jl, const struct output_frame *f, struct str host_json)
{
    struct entry *e = entry_find(jl, f->task_id);

    if (jl->is_gone || jl->is_finished)
        return;
    if (!e) {
        if (!jl->conf.is_new)
            return; /* its page was not read yet, or it is not asked for */
        e = entry_new(jl, f->task_id);
        e->state = LIVE;
        e->host = str_dup(host_json);
    }
    jl->busy++;
    switch (e->state) {
    case LIVE:
        if (jl->sink.has_room(jl->sink.ctx))
            put_output(jl, e, f->stream, f->offset, f->data);
        else
            send_back(jl, e);
        break;
    case READING:
        hold(jl, &(struct held){ .stream = f->stream, .offset = f->offset, .data = blob_new(f->data) },
             f->data.len + 64);
        break;
    case WAITING:
        break;
    }
    jl->busy--;
    maybe_free(jl);
}

void joblog_live_task(struct joblog *jl, const struct task_row *t)
{
    struct entry *e = entry_find(jl, t->id);

    if (jl->is_gone || jl->is_finished)
        return;
    if (!e) {
        if (!jl->conf.is_new || (jl->conf.host_id && jl->conf.host_id != t->host_id))
            return;
        e = entry_new(jl, t->id);
        e->state = LIVE;
    }
    jl->busy++;
    switch (e->state) {
    case LIVE:
        if (jl->sink.has_room(jl->sink.ctx)) {
            entry_take_row(jl, e, t);
            put_row(jl, e);
        } else {
            send_back(jl, e);
        }
        break;
    case READING: {
        struct blob *row = e->row ? blob_ref(e->row) : NULL;
        bool was_done = e->row_is_done;

        entry_take_row(jl, e, t); /* for its text; what is held for the read stays as it was */
        hold(jl, &(struct held){ .row = TAKE(e->row), .row_is_done = e->row_is_done }, 512);
        e->row = row;
        e->row_is_done = row ? was_done : false;
        break;
    }
    case WAITING:
        blob_unref(e->row); /* stale: read it again */
        e->row = NULL;
        break;
    }
    jl->busy--;
    maybe_free(jl);
}

void joblog_live_end(struct joblog *jl)
{
    if (jl->is_gone)
        return;
    jl->saw_end = true;
    work_guarded(jl);
}

/* -- answers of the source */

void joblog_task_row(struct joblog *jl, const struct task_row *t)
{
    struct entry *e;

    if (jl->is_gone)
        return;
    if (jl->read == READ_TASK) {
        entry_take_row(jl, jl->current, t);
        return;
    }
    jl->n_page++;
    jl->last_task = t->id;
    if (jl->conf.host_id && jl->conf.host_id != t->host_id)
        return;
    e = entry_find(jl, t->id);
    if (e && (e->state != LIVE || e->done_was_put))
        return;
    if (!e)
        e = entry_new(jl, t->id);
    e->state = WAITING;
    entry_take_row(jl, e, t);
    DL_APPEND(jl->todo, e);
}

void joblog_output_row(struct joblog *jl, const struct output_frame *f)
{
    if (jl->is_gone || !jl->current)
        return;
    jl->busy++;
    jl->n_read_bytes += f->data.len;
    put_output(jl, jl->current, f->stream, f->offset, f->data);
    jl->busy--;
}

/* The job's rows went while we read (retention): nothing more can be told of this task. */
static void current_vanished(struct joblog *jl)
{
    jl->current->state = LIVE;
    held_reset(jl);
    jl->current = NULL;
}

static void joblog_gone(void *feed)
{
    struct joblog *jl = feed;

    if (jl->is_gone)
        return;
    jl->is_gone = true;
    jl->src.over(jl->src.ctx);
    maybe_free(jl);
}

void joblog_read_done(struct joblog *jl, int result)
{
    int what = (int)jl->read;

    jl->read = READ_NONE;
    jl->busy++;
    if (jl->is_gone) {
        /* freed below */
    } else if (result < 0) {
        jl->is_finished = true;
        jl->sink.end(jl->sink.ctx);
        joblog_gone(jl);
    } else {
        if (what == READ_TASKS && jl->n_page < TASK_PAGE)
            jl->has_all_tasks = true;
        if (what == READ_TASK && !jl->current->row)
            current_vanished(jl);
        if (what == READ_OUTPUT && jl->n_read_bytes + LIMIT_OUTPUT_CHUNK <= OUTPUT_PAGE_BYTES)
            jl->stream++; /* a short page: that was all */
        work(jl);
    }
    jl->busy--;
    maybe_free(jl);
}

static void joblog_room(void *feed)
{
    struct joblog *jl = feed;

    jl->waits_for_room = false;
    work_guarded(jl);
}

const struct feed_ops joblog_feed_ops = { .room = joblog_room, .gone = joblog_gone };
