/* api/dialects/grapheon_intake.c - the bodies of check-ins on their way: taken in compressed, inflated and read on pool threads, handed
 * on in order.
 *
 *   loop: bytes copied -> waiting ── batches of some tens ── pool: inflate, read ── loop: each agent's in order -> grapheon_checkin.c
 *
 * What waits is small: the bytes as sent, of many agents, a few of each. What has been inflated is large, so only so many bodies are
 * open at a time; the others wait in their compressed form. Counted is the most that reading a body can take: its text, of the length
 * that the gzip itself says, the arena with its cap, what is noted beside. So all together is JOBS_BYTES_MAX + OPEN_BYTES_MAX (or the
 * one largest report) + OPEN_MAX desks, at the most, whoever sends what.
 *
 * What waits while the pool is busy goes to it together: under load a hand-over to another thread costs as much as reading a report.
 * Desks (arena, text) and inflaters are made once and used again. */
#include "api/dialects/grapheon.h"

#include <errno.h>
#include <stdio.h>

#include "api/state.h"
#include "base/mem.h"
#include "base/table.h"
#include "base/vec.h"
#include "codec/gzip.h"

enum {
    JOBS_MAX = 8192,             /* check-ins under way; beyond it 503 */
    JOBS_BYTES_MAX = 64 << 20,   /* and what they are as sent */
    LANE_MAX = 4,                /* of one agent: it has one report on its way, and what a lost connection left */
    OPEN_MAX = 256,              /* inflated at a time */
    OPEN_BYTES_MAX = 64 << 20,   /* and what they can take together; one that takes more is alone */
    BATCH_MAX = 64,
    BATCHES_MAX = 2,             /* at the pool at a time */
    ARENA_FACTOR = 32,           /* what reading takes, in bytes per byte of text: rows of 21 bytes become 500 */
    ARENA_BASE = 64 << 10,
    ARENA_MOST = 64 << 20,       /* sections end at LIMIT_SECTION_ROWS: no report needs more */
    BESIDE_FACTOR = 16,          /* marks of rows and places of lists, of the shortest there are */
    DESK_TEXT_KEPT = 64 << 10,
    DESKS_IDLE = 8,              /* kept while nothing is under way */
};

/* Where a body is read: made once, used for many. */
struct desk {
    struct arena *arena;
    struct buf text;
};

/* Of one agent: what it sent, in order. Lives as long as anything of it is under way. */
struct grapheon_lane {
    uint64_t reporter_id;
    unsigned n; /* under way, those handed on too */
    struct grapheon_job *first, **last;
    UT_hash_handle hh;
};

struct grapheon_intake {
    struct loop *loop;
    bool is_over; /* the api is gone; the last batch frees this */
    struct grapheon_lane *lanes;
    struct grapheon_job *waiting, **waiting_last; /* to be read */
    size_t n_jobs, n_bytes, n_open, open_bytes;
    unsigned n_batches;
    VEC(struct desk) desks; /* free ones */
    VEC(struct gunzip *) inflaters;
};

/* On its way to the pool and back. */
struct batch {
    struct grapheon_intake *in;
    struct gunzip *inflater;
    struct grapheon_job *jobs[BATCH_MAX];
    size_t n;
};

static void send_batches(struct grapheon_intake *in);

/* -- life */
static struct grapheon_intake *intake_of(struct api *a)
{
    if (!a->grapheon) {
        a->grapheon = xnew0(struct grapheon_intake);
        a->grapheon->loop = a->conf.loop;
        a->grapheon->waiting_last = &a->grapheon->waiting;
    }
    return a->grapheon;
}

static void desk_done(struct desk *d)
{
    arena_free(d->arena);
    buf_done(&d->text);
}

static void keep_desks(struct grapheon_intake *in, size_t n)
{
    while (in->desks.n > n)
        desk_done(&in->desks.v[--in->desks.n]);
}

static void intake_free(struct grapheon_intake *in)
{
    keep_desks(in, 0);
    vec_done(&in->desks);
    while (in->inflaters.n > 0)
        gunzip_free(in->inflaters.v[--in->inflaters.n]);
    vec_done(&in->inflaters);
    free(in);
}

/* -- what a body can take */
static size_t text_bytes(const struct grapheon_job *j)
{
    struct str raw = buf_as_str(&j->raw);
    size_t said = j->is_gzip ? gzip_says(raw) : raw.len;

    return said < j->pass.max_report_bytes ? said : j->pass.max_report_bytes;
}

static size_t arena_bytes(const struct grapheon_job *j)
{
    size_t want = ARENA_BASE + ARENA_FACTOR * text_bytes(j);

    return want < ARENA_MOST ? want : ARENA_MOST;
}

static size_t open_bytes(const struct grapheon_job *j)
{
    return (1 + BESIDE_FACTOR) * text_bytes(j) + arena_bytes(j) / 3 * 4; /* base/arena.c: a third more is held than handed out */
}

static void sit_down(struct grapheon_intake *in, struct grapheon_job *j)
{
    struct desk d = { 0 };

    if (in->desks.n)
        d = in->desks.v[--in->desks.n];
    else
        d.arena = arena_new(0);
    arena_set_max(d.arena, arena_bytes(j));
    j->arena = d.arena;
    j->text = d.text;
    j->text.max = text_bytes(j);
}

static void get_up(struct grapheon_intake *in, struct grapheon_job *j)
{
    struct desk d = { j->arena, j->text };

    if (in->is_over) {
        desk_done(&d);
        return;
    }
    arena_reset(d.arena);
    buf_reset(&d.text);
    buf_trim(&d.text, DESK_TEXT_KEPT);
    *vec_add(&in->desks) = d;
}

static void lane_leave(struct grapheon_intake *in, struct grapheon_lane *l)
{
    if (--l->n > 0)
        return;
    HASH_DEL(in->lanes, l);
    free(l);
}

static void job_free(struct grapheon_job *j)
{
    struct grapheon_intake *in = j->in;

    in->n_jobs--;
    in->n_bytes -= j->raw.len;
    if (j->is_open) {
        in->n_open--;
        in->open_bytes -= open_bytes(j);
        get_up(in, j);
    }
    lane_leave(in, j->lane);
    buf_done(&j->raw);
    call_unref(j->c);
    free(j);
}

void grapheon_job_done(struct grapheon_job *j)
{
    struct grapheon_intake *in = j->in;

    job_free(j);
    if (in->n_jobs == 0)
        keep_desks(in, DESKS_IDLE);
    send_batches(in);
}

void grapheon_stop(struct api *a)
{
    struct grapheon_intake *in = TAKE(a->grapheon);
    struct grapheon_lane *l, *next_lane;
    struct grapheon_job *j, *next;

    if (!in)
        return;
    in->is_over = true;
    in->waiting = NULL;
    HASH_ITER(hh, in->lanes, l, next_lane)
    {
        for (j = l->first; j; j = next) { /* the lane goes with its last */
            next = j->next_in_lane;
            if (!j->is_open || j->is_read) /* else it is at the pool: its batch frees it */
                job_free(j);
        }
    }
    if (in->n_batches == 0)
        intake_free(in);
}

/* -- the order of one agent's */
static struct grapheon_lane *lane_find(const struct grapheon_intake *in, uint64_t reporter_id)
{
    struct grapheon_lane *l;

    HASH_FIND(hh, in->lanes, &reporter_id, sizeof(reporter_id), l);
    return l;
}

static void lane_add(struct grapheon_intake *in, struct grapheon_job *j)
{
    struct grapheon_lane *l = lane_find(in, j->pass.reporter_id);

    if (!l) {
        l = xnew0(struct grapheon_lane);
        l->reporter_id = j->pass.reporter_id;
        l->last = &l->first;
        HASH_ADD(hh, in->lanes, reporter_id, sizeof(l->reporter_id), l);
    }
    j->lane = l;
    l->n++;
    *l->last = j;
    l->last = &j->next_in_lane;
}

/* The oldest of this agent, out of its lane, if it has been read. */
static struct grapheon_job *lane_take(struct grapheon_intake *in, uint64_t reporter_id)
{
    struct grapheon_lane *l = lane_find(in, reporter_id);
    struct grapheon_job *j = l ? l->first : NULL;

    if (!j || !j->is_read)
        return NULL;
    l->first = j->next_in_lane;
    if (!l->first)
        l->last = &l->first;
    return j;
}

/* -- reading: on a pool thread */
static void read_body(struct grapheon_job *j, struct gunzip *inflater)
{
    struct str text = buf_as_str(&j->raw);

    if (j->is_gzip && text.len) {
        bool is_gzip = text.len > 2 && (unsigned char)text.ptr[0] == 0x1f && (unsigned char)text.ptr[1] == 0x8b;

        j->inflated = is_gzip ? gunzip_run(inflater, text, &j->text) : -EBADMSG;
        if (j->inflated == -EMSGSIZE && j->text.max < j->pass.max_report_bytes)
            j->inflated = -EBADMSG; /* more than it said: its last four bytes are wrong */
        text = buf_as_str(&j->text);
    } else if (text.len > j->pass.max_report_bytes) {
        j->inflated = -EMSGSIZE;
    }
    if (j->inflated < 0)
        return;
    j->got = grapheon_read_report(j->arena, text, j->is_strict, &j->report);
    j->report.is_gzip = j->is_gzip;
}

static void read_batch(void *ctx)
{
    const struct batch *b = ctx;

    for (size_t i = 0; i < b->n; i++)
        read_body(b->jobs[i], b->inflater);
}

/* -- back on the loop */
static void drop_batch(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        job_free(b->jobs[i]);
    if (b->in->n_batches == 0)
        intake_free(b->in);
}

static void on_read(void *ctx)
{
    AUTO_FREE struct batch *b = ctx;
    struct grapheon_intake *in = b->in;
    uint64_t agents[BATCH_MAX];
    struct grapheon_job *j;

    in->n_batches--;
    *vec_add(&in->inflaters) = b->inflater;
    if (in->is_over) {
        drop_batch(b);
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        b->jobs[i]->is_read = true;
        agents[i] = b->jobs[i]->pass.reporter_id; /* the job may go with one before it */
    }
    send_batches(in); /* the pool goes on while we are busy with these */
    for (size_t i = 0; i < b->n; i++)
        while ((j = lane_take(in, agents[i])))
            grapheon_on_report(j);
}

/* -- to the pool */
static bool may_open(const struct grapheon_intake *in, const struct grapheon_job *j)
{
    return in->n_open == 0 || (in->n_open < OPEN_MAX && in->open_bytes + open_bytes(j) <= OPEN_BYTES_MAX);
}

static void open_job(struct grapheon_intake *in, struct grapheon_job *j)
{
    j->is_open = true;
    in->n_open++;
    in->open_bytes += open_bytes(j);
    sit_down(in, j);
}

static void send_batches(struct grapheon_intake *in)
{
    while (!in->is_over && in->n_batches < BATCHES_MAX && in->waiting && may_open(in, in->waiting)) {
        struct batch *b = xnew0(struct batch);
        struct grapheon_job *j;

        b->in = in;
        b->inflater = in->inflaters.n ? in->inflaters.v[--in->inflaters.n] : gunzip_new();
        while (b->n < BATCH_MAX && (j = in->waiting) && may_open(in, j)) {
            in->waiting = j->next_waiting;
            if (!in->waiting)
                in->waiting_last = &in->waiting;
            open_job(in, j);
            b->jobs[b->n++] = j;
        }
        in->n_batches++;
        loop_work(in->loop, read_batch, on_read, b);
    }
}

int grapheon_take_in(struct call *c, const struct report_pass *pass, bool is_gzip, struct err *err)
{
    struct grapheon_intake *in = intake_of(c->api);
    const struct grapheon_lane *l = lane_find(in, pass->reporter_id);
    size_t bytes = c->req->body.len;

    if (l && l->n >= LANE_MAX)
        return err_set(err, -EBUSY, "report.busy", "%u reports of this agent are being read already: send it again in a moment", l->n);
    if (in->n_jobs >= JOBS_MAX || in->n_bytes + bytes > JOBS_BYTES_MAX)
        return err_set(err, -EAGAIN, "report.overloaded", "too many reports at once: send it again in a moment");
    struct grapheon_job *j = xmalloc(sizeof(*j));

    *j = (struct grapheon_job){ .in = in,
                                .c = call_ref(c),
                                .pass = *pass,
                                .is_gzip = is_gzip,
                                .is_strict = dialect_conf(c)->grapheon_strict,
                                .raw = BUF(bytes) };
    (void)snprintf(j->peer, sizeof(j->peer), "%s", c->peer_addr);
    (void)buf_str(&j->raw, c->req->body); /* the request may be gone before it was read */
    in->n_jobs++;
    in->n_bytes += bytes;
    lane_add(in, j);
    *in->waiting_last = j;
    in->waiting_last = &j->next_waiting;
    send_batches(in);
    return 0;
}
