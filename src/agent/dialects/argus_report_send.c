/* agent/dialects/argus_report_send.c - events to the server, or to the spool when there is none. See argus_report.h. */
#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include "agent/dialects/argus_report.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/uuid.h"
#include "codec/record.h"

enum { TOKEN_BYTES = 4096, PATIENCE_S = 30 };

const char *const report_event_types[] = { "batch_start", "batch_done", "batch_failed", "job_start", "job_epoch", "job_done", "job_failed",
                                           "resource_snapshot", "log_line", "env_snapshot", NULL };

void report__note_exit(struct report *r, int code)
{
    if (code > r->exit_code)
        r->exit_code = code;
}

/* -- opening */

static int read_token(struct report *r, struct err *err)
{
    const char *text = getenv("ARGUS_TOKEN"), *path = r->opt->token_file ? r->opt->token_file : getenv("ARGUS_TOKEN_FILE");
    AUTO(buf_done_secret) struct buf b = BUF(TOKEN_BYTES);

    if (!r->opt->token_file && text && *text) {
        r->token = xstrdup(text);
        return 0;
    }
    if (path && *path) {
        int e = fd_read_file(path, &b);

        if (e < 0)
            return err_set(err, e, "argus.token", "cannot read the token from %s: %m", path);
        r->token = str_dup(str_trim(buf_as_str(&b)));
    }
    return r->token && *r->token ? 0 : err_set(err, -EACCES, "argus.token", "ARGUS_TOKEN is not set, nor ARGUS_TOKEN_FILE");
}

int report__open(struct report *r, const struct report_options *o, struct err *err)
{
    AUTO_FREE char *home = argus__home(), *dir = NULL;
    struct argus_link link = { .url = o->url, .ca_file = o->ca_file, .insecure_http = o->insecure_http };
    int code = ARGUS_EXIT_USAGE;

    *r = (struct report){ .opt = o };
    if (!o->url) {
        err_set(err, -EINVAL, "config.usage", "ARGUS_URL is not set: which server?");
        return code;
    }
    if (read_token(r, err) < 0)
        return ARGUS_EXIT_TOKEN;
    r->loop = link.loop = loop_new();
    if (argus__outbound(&link, &r->out, &code, err) < 0)
        return code;
    dir = o->spool_dir ? xstrdup(o->spool_dir) : xasprintf("%s/.argus-reporter", home);
    /* Without a spool events are still sent. */
    if (argus__spool_open(dir, outbound_origin(r->out), &r->spool, err) < 0)
        (void)fprintf(stderr, "argus-report: %s: events that cannot be sent will be lost\n", err->text);
    *err = (struct err){ 0 };
    return 0;
}

void report__done(struct report *r)
{
    for (size_t i = 0; i < r->queue.n; i++)
        buf_done(&r->queue.v[i]);
    vec_done(&r->queue);
    argus__spool_free(r->spool);
    outbound_free(r->out);
    loop_free(r->loop);
    secret_free(r->token);
    *r = (struct report){ 0 };
}

/* -- asking */

struct answer {
    int status;
    bool is_down; /* no server spoke */
    usec_t retry_after;
    char text[512];
    struct buf body;
};

static void on_answer(void *ctx, const struct outbound_reply *rp)
{
    struct answer *a = ctx;

    a->status = rp->status;
    a->is_down = rp->err != NULL;
    a->retry_after = rp->retry_after;
    buf_reset(&a->body);
    (void)buf_str(&a->body, rp->body);
    argus__reply_text(rp, a->text, sizeof(a->text));
}

static void wait_for(usec_t t)
{
    struct timespec ts = { (time_t)(t / USEC_PER_SEC), (long)(t % USEC_PER_SEC) * 1000 };

    (void)nanosleep(&ts, NULL);
}

/* As the SDK does: a server that stumbles is asked again shortly, one that is busy when it says. */
static void ask(struct report *r, struct argus_ask *q, struct answer *a)
{
    static const usec_t pauses[] = { 100 * USEC_PER_MS, 300 * USEC_PER_MS, USEC_PER_SEC };
    usec_t patience = PATIENCE_S * USEC_PER_SEC;
    size_t n = 0;

    q->token = r->token;
    q->done = on_answer;
    q->ctx = a;
    for (;;) {
        usec_t pause;

        if (argus__call(r->loop, r->out, q) < 0) {
            a->is_down = true;
            return;
        }
        if (a->status == 429) {
            pause = a->retry_after ? a->retry_after : USEC_PER_SEC;
            if (pause > patience)
                return;
            patience -= pause;
        } else if ((a->is_down || a->status >= 500) && n < ARRAY_SIZE(pauses)) {
            pause = pauses[n++];
        } else {
            return;
        }
        wait_for(pause);
    }
}

enum sent { SENT, SENT_NOT, SENT_REFUSED }; /* SENT_NOT: later */

static enum sent judge(struct report *r, const struct answer *a)
{
    if (a->status == 200)
        return SENT;
    (void)fprintf(stderr, "argus-report: %s\n", a->text);
    if (a->status == 401 || a->status == 403)
        report__note_exit(r, ARGUS_EXIT_TOKEN);
    if (a->is_down || a->status == 429 || a->status >= 500 || (a->status >= 300 && a->status < 400))
        return SENT_NOT;
    report__note_exit(r, ARGUS_EXIT_RUNTIME);
    return SENT_REFUSED;
}

/* {"results": [{"event_id", "status", "error"}]}: says what was not taken. */
static void read_results(struct report *r, const struct buf *body)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct node *root;
    const struct node *results;

    if (json_parse(a, buf_as_str(body), ARGUS_REPLY_BYTES, &root, NULL) < 0 || root->type != NODE_MAP)
        return;
    results = node_get(root, "results");
    for (const struct node *n = results && results->type == NODE_LIST ? results->child : NULL; n; n = n->next) {
        const struct node *status = n->type == NODE_MAP ? node_get(n, "status") : NULL;
        AUTO(buf_done) struct buf text = BUF(1024);

        if (!status || status->type != NODE_STR || !str_is(status->s, "rejected"))
            continue;
        r->n_refused++;
        report__note_exit(r, ARGUS_EXIT_RUNTIME);
        (void)node_write(n, &text);
        (void)fprintf(stderr, "argus-report: refused: %s\n", buf_as_cstr(&text));
    }
}

/* @events: a list's inside. A batch that is refused as a whole is sent in halves, so that one event takes no others with it. */
static enum sent send_events(struct report *r, const struct str *events, size_t n)
{
    AUTO(buf_done) struct buf body = BUF(2 * REPORT_CHUNK_BYTES);
    struct answer a = { .body = BUF(ARGUS_REPLY_BYTES) };
    struct argus_ask q = { .method = "POST", .path = n == 1 ? "/api/events" : "/api/events/batch" };
    enum sent how;

    if (n == 0)
        return SENT;
    if (n == 1) {
        q.body = events[0];
    } else {
        (void)buf_cstr(&body, "{\"events\":[");
        for (size_t i = 0; i < n; i++) {
            (void)buf_cstr(&body, i ? "," : "");
            (void)buf_str(&body, events[i]);
        }
        (void)buf_cstr(&body, "]}");
        q.body = buf_as_str(&body);
    }
    ask(r, &q, &a);
    how = judge(r, &a);
    if (how == SENT) {
        r->n_sent += (uint32_t)n;
        read_results(r, &a.body);
    } else if (how == SENT_REFUSED && n == 1) {
        r->n_refused++;
    } else if (how == SENT_REFUSED && a.status != 401 && a.status != 403) {
        how = send_events(r, events, n / 2);
        if (how != SENT_NOT)
            how = send_events(r, events + n / 2, n - n / 2);
    } else if (how == SENT_REFUSED) {
        r->n_refused += (uint32_t)n;
    }
    buf_done(&a.body);
    return how;
}

/* -- the spool */

/* What is there first, so that events arrive in their order. False: the server is away. */
static bool send_spool(struct report *r)
{
    struct str events[REPORT_CHUNK], next;
    size_t n = 0, bytes = 0;
    bool is_up = true;

    while (is_up && r->spool && argus__spool_take(r->spool) == 1) {
        while (is_up && argus__spool_next(r->spool, &next)) {
            if (n == REPORT_CHUNK || (n > 0 && bytes + next.len > REPORT_CHUNK_BYTES)) {
                is_up = send_events(r, events, n) != SENT_NOT;
                n = bytes = 0;
            }
            events[n++] = next;
            bytes += next.len;
        }
        if (is_up)
            is_up = send_events(r, events, n) != SENT_NOT;
        n = bytes = 0;
        argus__spool_give(r->spool, is_up);
    }
    return is_up;
}

static void put_aside(struct report *r, struct str event)
{
    int e = r->spool ? argus__spool_put(r->spool, event) : -ENOSPC;

    if (e == 0) {
        r->n_spooled++;
        return;
    }
    r->n_lost++;
    report__note_exit(r, ARGUS_EXIT_RUNTIME);
    (void)fprintf(stderr, "argus-report: an event is lost: %s\n", strerror(-e));
}

void report__flush(struct report *r)
{
    AUTO_FREE struct str *events = xcalloc(r->queue.n + 1, sizeof(*events));
    size_t n = r->queue.n;
    bool is_up = !r->is_unreachable && send_spool(r);

    for (size_t i = 0; i < n; i++)
        events[i] = buf_as_str(&r->queue.v[i]);
    if (is_up)
        is_up = send_events(r, events, n) != SENT_NOT;
    r->is_unreachable = !is_up;
    for (size_t i = 0; !is_up && i < n; i++)
        put_aside(r, events[i]);
    for (size_t i = 0; i < n; i++)
        buf_done(&r->queue.v[i]);
    r->queue.n = r->queue_bytes = 0;
}

/* -- events */

static void fill_in(const struct report *r, struct argus_event *ev, char id[UUID_TEXT_MAX], char host[ARGUS_HOSTNAME_MAX + 1])
{
    const struct report_options *o = r->opt;
    const struct passwd *pw = getpwuid(geteuid());
    struct uuid u = uuid_v4();

    uuid_format(&u, id);
    host[0] = '\0';
    (void)gethostname(host, ARGUS_HOSTNAME_MAX);
    host[ARGUS_HOSTNAME_MAX] = '\0';
    const struct {
        struct str *to;
        const char *a, *b;
    } rows[] = {
        { &ev->event_id, o->event_id, id },           { &ev->batch_id, o->batch, NULL },
        { &ev->event_type, o->type, NULL },           { &ev->job_id, o->job, NULL },
        { &ev->schema_version, ARGUS_SCHEMA, NULL },  { &ev->source.project, o->project, NULL },
        { &ev->source.host, o->host, host },          { &ev->source.user, o->user, pw ? pw->pw_name : NULL },
        { &ev->source.commit, o->commit, NULL },      { &ev->source.command, o->command, NULL },
        { &ev->data.text, "{}", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].to->len == 0)
            *rows[i].to = str_of(rows[i].a ? rows[i].a : rows[i].b);
    if (ev->timestamp == 0)
        ev->timestamp = clock_wall(&clock_real);
    ev->timestamp -= ev->timestamp % USEC_PER_SEC; /* whole seconds on this wire */
}

void report__add(struct report *r, struct argus_event *ev)
{
    struct buf text = BUF(REPORT_EVENT_BYTES);
    char id[UUID_TEXT_MAX], host[ARGUS_HOSTNAME_MAX + 1];
    struct jw w = JW(&text);

    fill_in(r, ev, id, host);
    record_write(&argus_event_record, ev, &w);
    if (jw_done(&w) < 0) {
        (void)fprintf(stderr, "argus-report: an event is larger than %d bytes and is left out\n", REPORT_EVENT_BYTES);
        report__note_exit(r, ARGUS_EXIT_USAGE);
        buf_done(&text);
        return;
    }
    if (r->queue.n >= REPORT_CHUNK || (r->queue.n > 0 && r->queue_bytes + text.len > REPORT_CHUNK_BYTES))
        report__flush(r);
    r->queue_bytes += text.len;
    *vec_add(&r->queue) = text;
}

/* -- stop */

static bool says_yes(const struct node *root, const char *key)
{
    const struct node *n = node_get(root, key);

    return n && n->type == NODE_BOOL && n->b;
}

/* A batch's id is the reporter's choice: any byte may be in it. */
static char *escape_path(const char *s)
{
    AUTO(buf_done) struct buf out = BUF(4096);

    for (; *s; s++) {
        bool is_plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-_.~", *s);

        (void)(is_plain ? buf_char(&out, *s) : buf_printf(&out, "%%%02X", (unsigned)(uint8_t)*s));
    }
    return xstrdup(buf_as_cstr(&out));
}

int report__is_stopped(struct report *r, const char *batch, int *ret_exit, struct err *err)
{
    AUTO_FREE char *id = escape_path(batch);
    AUTO_FREE char *path = xasprintf("/api/batches/%s/stop-requested", id);
    AUTO(arena_free) struct arena *arena = arena_new(ARGUS_ARENA_BYTES);
    struct answer a = { .body = BUF(ARGUS_REPLY_BYTES) };
    struct argus_ask q = { .method = "GET", .path = path };
    struct node *root;
    int is_stopped = -EBADMSG;

    ask(r, &q, &a);
    *ret_exit = REPORT_EXIT_UNKNOWN;
    if (a.status == 401 || a.status == 403)
        *ret_exit = ARGUS_EXIT_TOKEN;
    /* The real server says one of these names, its own SDK reads the other. */
    if (a.status == 200 && json_parse(arena, buf_as_str(&a.body), ARGUS_REPLY_BYTES, &root, err) == 0 && root->type == NODE_MAP)
        is_stopped = says_yes(root, "requested") || says_yes(root, "stop_requested");
    else if (a.status != 200)
        err_set(err, -EIO, "argus.stopped", "%s", a.text);
    buf_done(&a.body);
    return is_stopped;
}
