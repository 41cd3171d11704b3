/* control/jobs.c - a job's life after it was made (wish.c): found, told, cancelled, late, ended, released.
 * Loop thread.
 *
 * A job is in memory while it has unfinished tasks and until its end is durable. Its row in the store has the
 * counts of the start, of a cancel and of the end; in between they are here (reads.c lays them over). */
#include "control/noun.h"

static size_t position(const struct control *c, uint64_t id)
{
    size_t lo = 0, hi = c->jobs.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->jobs.v[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct job *job__find(const struct control *c, uint64_t id)
{
    size_t at = position(c, id);
    return at < c->jobs.n && c->jobs.v[at]->id == id ? c->jobs.v[at] : NULL;
}

void job__row(const struct job *j, struct job_row *ret)
{
    *ret = (struct job_row){
        .id = j->id,
        .principal = j->principal,
        .created_at = j->created_at,
        .deadline = j->deadline,
        .finished_at = j->finished_at,
        .spec = j->spec,
        .stdin_data = j->stdin_data,
        .idem_key = j->idem_key,
        .cancel_requested = j->cancel_requested,
        .state = j->is_ended ? job_state_of(&j->counts, j->cancel_requested) : JOB_RUNNING,
        .counts = j->counts,
    };
    memcpy(ret->idem_hash, j->idem_hash, SHA256_LEN);
}

static uint32_t *key_epoch(struct control *c, const struct job *j)
{
    return &c->key_epoch[siphash(control__hash_key, j->idem_key) % KEY_EPOCHS];
}

uint32_t job__key_epoch(struct control *c, const struct job *j)
{
    return *key_epoch(c, j);
}

struct job *job__by_key(const struct control *c, const char *key_text, size_t len)
{
    struct job *j;
    HASH_FIND(hh_key, c->job_keys, key_text, len, j);
    return j;
}

static void index_key(struct control *c, struct job *j)
{
    if (!j->key_text)
        return;
    HASH_ADD_KEYPTR(hh_key, c->job_keys, j->key_text, j->principal.len + 1 + j->idem_key.len, j);
    (*key_epoch(c, j))++;
}

static void unindex_key(struct control *c, struct job *j)
{
    if (!j->key_text)
        return;
    HASH_DELETE(hh_key, c->job_keys, j);
    (*key_epoch(c, j))++;
    free(j->key_text);
    j->key_text = NULL;
}

static void job_free(struct control *c, struct job *j)
{
    (void)c;
    free(j->key_text);
    free(j->tasks);
    free(j->subs.v);
    buf_done_secret(&j->input);
    arena_free(j->arena);
    free(j);
}

void job__discard(struct job *j)
{
    job_free(NULL, j);
}

void job__free_all(struct control *c)
{
    HASH_CLEAR(hh_key, c->job_keys);
    for (size_t i = 0; i < c->jobs.n; i++)
        job_free(c, c->jobs.v[i]);
    vec_done(&c->jobs);
    vec_done(&c->dirty_tasks);
    vec_done(&c->dirty_hosts);
}

/* Takes @j in: its id is the newest. */
void job__file(struct control *c, struct job *j)
{
    if (j->idem_key.len) {
        j->key_text = xcalloc(1, j->principal.len + j->idem_key.len + 2);
        memcpy(j->key_text, j->principal.ptr, j->principal.len);
        memcpy(j->key_text + j->principal.len + 1, j->idem_key.ptr, j->idem_key.len);
    }
    index_key(c, j);
    j->timer.kind = TIMER_JOB;
    *vec_add(&c->jobs) = j;
    job__arm(c, j);
}

/* -- the end */
static void release(struct control *c, void *arg)
{
    uint64_t id = (uint64_t)(uintptr_t)arg;
    struct job *j = c ? job__find(c, id) : NULL;
    if (!j)
        return;
    topics__job_end(c, j);
    size_t at = position(c, id);
    vec_del(&c->jobs, at);
    job_free(c, j);
}

void job__check_end(struct control *c, struct job *j)
{
    struct job_row row;
    struct details d = { 0 };
    const struct job_counts *n = &j->counts;
    if (j->is_ended || n->queued + n->offered + n->accepted + n->running > 0)
        return;
    j->is_ended = true;
    j->finished_at = control__wall(c);
    job__row(j, &row);
    store_put_job_progress(c->store, &row);
    timers_drop(&c->timers, &j->timer);
    unindex_key(c, j);
    details_str(details_u64(&d, "job_id", j->id), "state", str_of(name_of(job_state_names, row.state)));
    details_u64(details_u64(details_u64(&d, "total", n->total), "succeeded", n->succeeded), "failed",
                n->failed);
    details_u64(details_u64(details_u64(&d, "cancelled", n->cancelled), "expired", n->expired), "lost",
                n->lost);
    event_emit(c, "job.finished", NULL, &d.list);
    commit_after(c, release, (void *)(uintptr_t)j->id);
}

/* -- time */
void job__arm(struct control *c, struct job *j)
{
    usec_t again = c->conf.away_limit / 4 < USEC_PER_HOUR ? c->conf.away_limit / 4 : USEC_PER_HOUR;
    timers_set(&c->timers, &j->timer,
               j->is_late ? control__mono(c) + again + USEC_PER_MS : control__mono_at(c, j->deadline));
}

/* Unfinished on a host that has been away for so long that nobody should wait any more. A server that was
 * down waits anew. */
static bool is_given_up(const struct control *c, const struct task *t)
{
    const struct host *h = t->host;
    if (t->state == TASK_DONE || t->state == TASK_QUEUED || (h && h->link))
        return false;
    usec_t since = h && h->seen_mono > c->started_mono ? h->seen_mono : c->started_mono;
    return control__mono(c) - since >= c->conf.away_limit;
}

void job__due(struct control *c, struct job *j)
{
    if (control__wall(c) < j->deadline) { /* the wall clock was set back */
        job__arm(c, j);
        return;
    }
    j->is_late = true;
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        struct task *t = &j->tasks[i];
        command__unsend(c, t);
        poll__take_back(c, t);
        if (t->state == TASK_QUEUED)
            task__input(c, t, TASK_IN_DEADLINE, "the job's deadline passed before the host took it");
        else if (is_given_up(c, t))
            task__end(c, t,
                      &(struct task_end){
                          .task_id = t->id,
                          .outcome = OUTCOME_LOST,
                          .message = STR("the host has been away for too long to wait for its word") });
    }
    if (!j->is_ended)
        job__arm(c, j);
}

/* -- start */
static void load_job(void *ctx, const struct job_row *r)
{
    struct control *c = ctx;
    struct job *j = job__new(&r->spec, r->principal, r->idem_key, r->stdin_data);
    if (!j) {
        log_error("job.unreadable", "an open job could not be loaded", LOG_U64("job", r->id));
        return;
    }
    j->id = r->id;
    memcpy(j->idem_hash, r->idem_hash, SHA256_LEN);
    j->created_at = r->created_at;
    j->deadline = r->deadline;
    j->cancel_requested = r->cancel_requested;
    j->cancel_grace = r->spec.grace;
    j->input_known = !r->spec.stdin_open;
    job__file(c, j);
}

static void load_task(void *ctx, const struct task_row *r)
{
    struct control *c = ctx;
    struct job *j = job__find(c, r->job_id);
    if (!j)
        return;
    /* Doubles: powers of two are full. */
    if ((j->n_tasks & (j->n_tasks - 1)) == 0)
        j->tasks = xreallocarray(j->tasks, j->n_tasks ? 2 * (size_t)j->n_tasks : 1, sizeof(*j->tasks));
    j->tasks[j->n_tasks++] = (struct task){
        .id = r->id,
        .job = j,
        .host = host__by_id(c, r->host_id),
        .offered_at = r->offered_at,
        .started_at = r->started_at,
        .finished_at = r->finished_at,
        .taken = { r->stdout_bytes, r->stderr_bytes },
        .exit_code = r->exit_code,
        .signal = (uint8_t)r->signal,
        .state = (uint8_t)r->state,
        .outcome = (uint8_t)r->outcome,
    };
}

/* Addresses of tasks are final from here. What is offered, accepted or running stays so until the host's
 * hello. */
static void settle(struct control *c, struct job *j)
{
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        struct task *t = &j->tasks[i];
        uint8_t state = t->state;
        t->state = 0;
        if (state != TASK_DONE) {
            c->n_open_tasks++;
            if (t->host)
                DL_APPEND(t->host->tasks, t);
        }
        task__move(c, t, (enum task_state)state);
        if (state != TASK_DONE && !t->host)
            task__input(c, t, TASK_IN_HOST_GONE, "the host is gone");
    }
    job__check_end(c, j);
}

int job__load(struct control *c, struct err *err)
{
    int r = store_load_open_jobs(c->store, load_job, load_task, c, err);
    if (r < 0)
        return r;
    for (size_t i = c->jobs.n; i-- > 0;) {
        struct job *j = c->jobs.v[i];
        if (j->n_tasks > 0)
            continue;
        log_error("job.empty", "an open job has no tasks", LOG_U64("job", j->id)); /* never by our hand */
        timers_drop(&c->timers, &j->timer);
        unindex_key(c, j);
        vec_del(&c->jobs, i);
        job_free(c, j);
    }
    for (size_t i = 0; i < c->jobs.n; i++)
        settle(c, c->jobs.v[i]);
    return 0;
}

/* -- cancel */
struct answer {
    uint64_t job_id;
    job_fn done;
    void *ctx;
};

static void tell_job(struct control *c, void *arg)
{
    struct answer *a = arg;
    struct job *j = c ? job__find(c, a->job_id) : NULL;
    if (j) {
        struct job_row row;
        job__row(j, &row);
        a->done(a->ctx, 0, NULL, &row, false);
    }
    free(a);
}

static int refused(struct control *c, const struct principal *p, uint64_t job_id, usec_t grace,
                   struct job **ret, struct err *err)
{
    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)job_id);
    int r = authz(c, p, VERB_RUN, str_of(target), err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    struct job *j = job__find(c, job_id);
    if (job_id == 0 || job_id >= c->next.job)
        r = err_set(err, -ENOENT, "job.unknown", "there is no job %s", target);
    else if (!j || j->is_ended)
        r = err_set(err, -EINVAL, "job.finished", "job %s has finished", target);
    else if (grace > USEC_PER_HOUR)
        r = err_set(err, -EINVAL, "field.range", "grace is at most an hour");
    *ret = j;
    return r < 0 ? audit__refused(c, p, VERB_RUN, str_of(target), r, err) : 0;
}

void job_cancel(struct control *c, const struct principal *p, uint64_t job_id, usec_t grace, job_fn done,
                void *ctx)
{
    struct err err = { 0 };
    struct details d = { 0 };
    struct job_row row;
    struct job *j = NULL;
    int r = refused(c, p, job_id, grace, &j, &err);
    if (r < 0) {
        done(ctx, r, &err, NULL, false);
        return;
    }
    j->cancel_requested = true;
    j->cancel_grace = grace ? grace : j->spec.grace;
    job__row(j, &row);
    store_put_job_progress(c->store, &row);
    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)job_id);
    audit__ok(c, p, VERB_RUN, str_of(target), details_str(&d, "what", STR("cancel")));
    d = (struct details){ 0 };
    event_emit(c, "job.cancel_requested", NULL,
               &details_str(details_u64(&d, "job_id", j->id), "by", str_of(p->name))->list);

    struct answer *a = xnew0(struct answer);
    *a = (struct answer){ .job_id = j->id, .done = done, .ctx = ctx };
    commit_after(c, tell_job, a);
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        struct task *t = &j->tasks[i];
        command__unsend(c, t); /* never left: back in the queue, and cancelled there */
        if (j->spec.kind != JOB_KIND_RERUN) /* who fetched one may be about to start it: runs stop it, and its agent says how it ended */
            poll__take_back(c, t);
        if (t->state != TASK_DONE)
            task__input(c, t, TASK_IN_CANCEL, "cancelled before the host took it");
    }
}
