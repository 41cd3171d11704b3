/* control/topics.c - subscribers: told only what is durable, in order. Loop thread.
 *
 * A change is copied and parked when somebody listens at that time; whoever joins later reads the store, and
 * its reads wait for every unit open then (store.h), so nothing falls between the two. Copies are one block
 * each: the struct and its bytes. */
#include "control/core.h"

static uint64_t join(struct control *c, sub_fn fn, void *ctx, uint64_t job_id, struct sub_list *ids)
{
    struct sub *s = xnew0(struct sub);
    *s = (struct sub){ fn, ctx, job_id };
    return *vec_add(ids) = slots_add(c->subs, s);
}

uint64_t topic_events(struct control *c, sub_fn fn, void *ctx)
{
    return join(c, fn, ctx, 0, &c->event_subs);
}

uint64_t topic_audit(struct control *c, sub_fn fn, void *ctx)
{
    return join(c, fn, ctx, 0, &c->audit_subs);
}

uint64_t topic_job(struct control *c, uint64_t job_id, sub_fn fn, void *ctx)
{
    struct job *j = job__find(c, job_id);
    return j ? join(c, fn, ctx, job_id, &j->subs) : 0;
}

/* Lists forget the id when they next deliver. */
void topic_leave(struct control *c, uint64_t sub)
{
    free(slots_del(c->subs, sub));
}

void topics__done(struct control *c)
{
    size_t iter = 0;
    uint64_t id;
    for (struct sub *s; (s = slots_next(c->subs, &iter, &id));)
        free(slots_del(c->subs, id));
    vec_done(&c->event_subs);
    vec_done(&c->audit_subs);
}

/* A subscriber may leave (itself or another) or join while being told. */
static void tell(struct control *c, struct sub_list *ids, const struct sub_event *e)
{
    size_t n = ids->n;
    for (size_t i = 0; i < n; i++) {
        struct sub *s = slots_get(c->subs, ids->v[i]);
        if (s)
            s->fn(s->ctx, e);
    }
    size_t kept = 0;
    for (size_t i = 0; i < ids->n; i++)
        if (slots_get(c->subs, ids->v[i]))
            ids->v[kept++] = ids->v[i];
    ids->n = kept;
}

/* -- copies */
static struct str take(char **at, struct str s)
{
    struct str copy = { *at, s.len };
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static size_t details_size(const struct kv_list *l)
{
    size_t n = l->n * sizeof(struct kv);
    for (size_t i = 0; i < l->n; i++)
        n += l->v[i].key.len + l->v[i].value.len;
    return n;
}

/* @kvs: room for the pairs. */
static struct kv_list details_take(struct kv *kvs, char **at, const struct kv_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        kvs[i] = (struct kv){ take(at, l->v[i].key), take(at, l->v[i].value) };
    return (struct kv_list){ kvs, l->n };
}

static void publish_event(struct control *c, void *arg)
{
    const struct event *e = arg;
    if (c)
        tell(c, &c->event_subs,
             &(struct sub_event){
                 .kind = SUB_EVENT, .event = e, .host_name = e->host, .host_uuid = e->host_id });
    free(arg);
}

void topics__event(struct control *c, const struct event *e)
{
    if (c->event_subs.n == 0)
        return;
    struct event *copy =
        xmalloc(sizeof(*e) + details_size(&e->details) + e->type.len + e->host_id.len + e->host.len);
    *copy = *e;
    struct kv *kvs = (struct kv *)(copy + 1);
    char *at = (char *)(kvs + e->details.n);
    copy->details = details_take(kvs, &at, &e->details);
    copy->type = take(&at, e->type);
    copy->host_id = take(&at, e->host_id);
    copy->host = take(&at, e->host);
    commit_after(c, publish_event, copy);
}

static void publish_audit(struct control *c, void *arg)
{
    if (c)
        tell(c, &c->audit_subs, &(struct sub_event){ .kind = SUB_AUDIT, .audit = arg });
    free(arg);
}

void topics__audit(struct control *c, const struct audit_row *a)
{
    if (c->audit_subs.n == 0)
        return;
    struct audit_row *copy = xmalloc(sizeof(*a) + details_size(&a->details) + a->principal.len + a->peer.len +
                                     a->verb.len + a->target.len + a->outcome.len + a->slug.len);
    *copy = *a;
    struct kv *kvs = (struct kv *)(copy + 1);
    char *at = (char *)(kvs + a->details.n);
    copy->details = details_take(kvs, &at, &a->details);
    copy->principal = take(&at, a->principal);
    copy->peer = take(&at, a->peer);
    copy->verb = take(&at, a->verb);
    copy->target = take(&at, a->target);
    copy->outcome = take(&at, a->outcome);
    copy->slug = take(&at, a->slug);
    commit_after(c, publish_audit, copy);
}

/* -- one job */
struct task_news {
    uint64_t job_id;
    struct task_row row;
    struct output_frame frame;
    struct str host_name, host_uuid;
};

static struct task_news *news(const struct job *j, const struct host *h, struct str text,
                              struct str *ret_text)
{
    struct str name = str_of(h ? h->name : NULL), uuid = str_of(h ? h->uuid : NULL);
    struct task_news *n = xmalloc(sizeof(*n) + name.len + uuid.len + text.len);
    *n = (struct task_news){ .job_id = j->id };
    char *at = (char *)(n + 1);
    n->host_name = take(&at, name);
    n->host_uuid = take(&at, uuid);
    *ret_text = take(&at, text);
    return n;
}

/* The job is in memory until its end was told, which is parked behind all of these. */
static void publish_task(struct control *c, void *arg)
{
    struct task_news *n = arg;
    struct job *j = c ? job__find(c, n->job_id) : NULL;
    if (j)
        tell(c, &j->subs,
             &(struct sub_event){
                 .kind = SUB_TASK, .task = &n->row, .host_name = n->host_name, .host_uuid = n->host_uuid });
    free(n);
}

void topics__task(struct control *c, const struct job *j, const struct task_row *t)
{
    if (j->subs.n == 0)
        return;
    struct str message;
    struct task_news *n = news(j, host__by_id(c, t->host_id), t->message, &message);
    n->row = *t;
    n->row.message = message;
    n->row.host_name = n->host_name;
    commit_after(c, publish_task, n);
}

static void publish_output(struct control *c, void *arg)
{
    struct task_news *n = arg;
    struct job *j = c ? job__find(c, n->job_id) : NULL;
    if (j)
        tell(c, &j->subs,
             &(struct sub_event){ .kind = SUB_OUTPUT,
                                  .output = &n->frame,
                                  .host_name = n->host_name,
                                  .host_uuid = n->host_uuid });
    free(n);
}

void topics__output(struct control *c, const struct task *t, const struct output_frame *f)
{
    if (t->job->subs.n == 0)
        return;
    struct str data;
    struct task_news *n = news(t->job, t->host, f->data, &data);
    n->frame = *f;
    n->frame.data = data;
    commit_after(c, publish_output, n);
}

void topics__job_end(struct control *c, struct job *j)
{
    struct job_row row;
    job__row(j, &row);
    tell(c, &j->subs, &(struct sub_event){ .kind = SUB_JOB_END, .job = &row });
    for (size_t i = 0; i < j->subs.n; i++)
        free(slots_del(c->subs, j->subs.v[i]));
    j->subs.n = 0;
}
