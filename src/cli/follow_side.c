/* cli/follow_side.c - questions asked on the side while a job is followed: cancel it, which tasks wait, which
 * hosts are away. See follow.h. */
#include <errno.h>

#include "cli/follow_priv.h"

#define OFFLINE_AGAIN (3 * USEC_PER_SEC)
#define CANCEL_PATIENCE (2 * USEC_PER_SEC)

static void side_send(struct follow *f, const char *method, struct str target,
                      void (*done)(void *ctx, const struct err *err, int status, struct str body))
{
    if (!f->side)
        f->side = api_client(f->cli, 0);
    struct http_client_req req = { .method = method, .done = done, .ctx = f };
    AUTO(buf_done) struct buf b = BUF(4096);
    (void)buf_str(&b, target);
    req.target = buf_as_cstr(&b);
    req.n_headers = api_headers(f->cli, &req.headers);
    http_client_send(f->side, &req);
}

static void job_target(const struct follow *f, const char *what, struct buf *out)
{
    buf_printf(out, "/api/v1/jobs/%llu%s", (unsigned long long)f->job_id, what);
}

static void cancel_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct follow *f = ctx;
    f->cancel_answered = true;
    struct err why = { 0 };
    if (err && err_is(err))
        why = *err;
    else if (status >= 300)
        (void)api_error(status, body, &why);
    if (!err_is(&why) || strcmp(why.slug, "job.finished") == 0)
        return;
    f->cancel_sent = false;
    if (f->cancel_failed)
        return; /* said before, and tried once more */
    f->cancel_failed = true;
    follow__clear_bar(f);
    cli_note(f->cli, "could not cancel job %llu: %s", (unsigned long long)f->job_id, why.text);
}

void follow__cancel(struct follow *f)
{
    if (!f->has_job || f->cancel_sent || !f->conf->cancel_on_interrupt)
        return;
    f->cancel_sent = true;
    f->cancel_answered = false;
    AUTO(buf_done) struct buf b = BUF(256);
    job_target(f, "/cancel", &b);
    side_send(f, "POST", buf_as_str(&b), cancel_done);
}

/* -- hosts that are away */

static void again(struct follow *f)
{
    if (!f->has_ended && !f->is_over)
        timer_start(f->offline, OFFLINE_AGAIN, 0);
}

/* The items of a one-page answer, or NULL. */
static const struct node *items_of(struct follow *f, const struct err *err, int status, struct str body,
                                   const char *key)
{
    struct node *root;
    arena_reset(f->arena);
    if ((err && err_is(err)) || status != 200 || json_parse(f->arena, body, REPLY_MAX, &root, NULL) < 0 ||
        root->type != NODE_MAP)
        return NULL;
    const struct node *list = node_get(root, key);
    return list && list->type == NODE_LIST ? list : NULL;
}

/* What was offered and not answered is cancelled when its host is back, and not before: that is not waited for. */
static void leave_behind(struct follow *f)
{
    for (size_t i = 0; i < f->tracks.n; i++) {
        struct track *t = f->tracks.v[i];
        if (t->state == TRACK_DONE)
            continue;
        t->state = TRACK_DONE;
        t->is_left = true;
        t->result = RESULT_UNREACHABLE;
        t->code = RC_UNREACHABLE;
    }
    if (f->is_json)
        cli_note(f->cli, "host.offline: not every task has ended; those are cancelled when their hosts are back: muster job %llu",
                 (unsigned long long)f->job_id);
    follow__leave(f, RC_OK);
}

/* Everything that is still open waits for a host that is away: end it, truthfully. Where the cancel was taken and that is still so at
 * the next look, nobody here can end it. */
static void maybe_give_up(struct follow *f)
{
    uint64_t open = f->n_total > f->tracks.n ? f->n_total - f->tracks.n : 0, offline = 0;
    for (size_t i = 0; i < f->tracks.n; i++) {
        open += f->tracks.v[i]->state != TRACK_DONE;
        offline += f->tracks.v[i]->state == TRACK_WAITING && f->tracks.v[i]->is_offline;
    }
    if (!open || offline < open) {
        again(f);
        return;
    }
    if (f->gave_up && f->cancel_sent && f->cancel_answered) {
        leave_behind(f);
        return;
    }
    for (size_t i = 0; i < f->tracks.n; i++)
        f->tracks.v[i]->gave_up = f->tracks.v[i]->state == TRACK_WAITING;
    f->gave_up = true;
    follow__cancel(f); /* once more where it was refused; no-op while it is under way */
    timer_start(f->offline, CANCEL_PATIENCE, 0);
}

/* A command that runs on a host that went away is waited for, and the user should know. */
static void tell_missed(struct follow *f)
{
    const struct track *one = NULL;
    size_t n = 0;
    for (size_t i = 0; i < f->tracks.n; i++) {
        struct track *t = f->tracks.v[i];
        if (t->state != TRACK_RUNNING || !t->is_offline || t->is_missed) {
            t->is_missed &= t->is_offline;
            continue;
        }
        t->is_missed = true;
        one = t;
        n++;
    }
    if (n == 0)
        return;
    follow__clear_bar(f);
    if (n == 1)
        cli_note(f->cli, "%s is not connected any more; its command may go on there, and its end comes when it is back", one->host);
    else
        cli_note(f->cli, "%zu hosts are not connected any more; their commands may go on there, and their ends come when they are back", n);
}

static void away_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct follow *f = ctx;
    const struct node *list = items_of(f, err, status, body, "agents");
    if (!list || f->has_ended) {
        again(f);
        return;
    }
    for (size_t i = 0; i < f->tracks.n; i++) {
        struct track *t = f->tracks.v[i];
        if (t->state == TRACK_DONE)
            continue;
        t->is_offline = false;
        for (const struct node *n = list->child; n && !t->is_offline; n = n->next)
            t->is_offline =
                t->host_id && str_is(node_text(n, "id"), t->host_id) && node_u64(n, "connected_at") == 0;
    }
    tell_missed(f);
    maybe_give_up(f);
}

static void tasks_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct follow *f = ctx;
    const struct node *list = items_of(f, err, status, body, "tasks");
    bool is_open = false;
    for (const struct node *n = list ? list->child : NULL; n; n = n->next) {
        struct task_view v = { 0 };
        if (view_read(f->cli, f->arena, &task_view_record, n, &v) != RC_OK) {
            err_reset(&f->cli->err);
            continue;
        }
        if (str_is(v.state, "done"))
            continue; /* the stream tells ends, after the output */
        follow__task(f, &v);
        is_open = true;
    }
    if (!is_open || f->has_ended) {
        again(f);
        return;
    }
    side_send(f, "GET", STR("/api/v1/agents?connected=false&limit=10000"), away_done);
}

void follow__offline_tick(void *ctx)
{
    struct follow *f = ctx;
    if (!f->has_job || f->has_ended)
        return;
    AUTO(buf_done) struct buf b = BUF(256);
    job_target(f, "/tasks?limit=10000", &b);
    side_send(f, "GET", buf_as_str(&b), tasks_done);
}

int follow__all_tasks(struct follow *f)
{
    AUTO(buf_done) struct buf b = BUF(256);
    AUTO(node_list_done) struct node_list list = { 0 };
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    job_target(f, "/tasks", &b);
    int rc = api_list(f->cli, a, buf_as_cstr(&b), "tasks", 0, &list, NULL);
    for (size_t i = 0; rc == RC_OK && i < list.n; i++) {
        struct task_view v = { 0 };
        rc = view_read(f->cli, a, &task_view_record, list.v[i], &v);
        if (rc == RC_OK)
            follow__task(f, &v);
    }
    return rc;
}
