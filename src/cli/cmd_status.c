/* cli/cmd_status.c - the fleet in eight lines; its CA; and a copy of the database. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/print.h"
#include "cli/show.h"

static void line(struct buf *out, const char *label)
{
    buf_printf(out, "%-10s", label);
}

static void safe(struct buf *out, struct str s)
{
    (void)text_printable(out, s);
}

static unsigned long long num(const struct node *map, const char *key)
{
    return node_u64(map, key);
}

static double seconds(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);
    return n && n->type == NODE_REAL ? n->r : (double)num(map, key);
}

/* What agents are asked for, and beside it what is configured while their number stretches it. */
static void write_heartbeat(const struct node *root, struct buf *out)
{
    double configured = seconds(root, "heartbeat_seconds"), now = seconds(root, "heartbeat_now_seconds");
    if (now > configured)
        buf_printf(out, "every %.3g s, stretched for so many agents (configured: %.3g s)\n", now, configured);
    else
        buf_printf(out, "every %.3g s\n", configured);
}

static void write_status(const struct cli *cli, const struct node *root, struct buf *out)
{
    const struct node *hosts = node_get(root, "hosts"), *store = node_get(root, "store");
    const struct node *listen = node_get(root, "listen");
    char age[CLOCK_TEXT_MAX];
    clock_format_age(node_u64(root, "uptime_seconds") * USEC_PER_SEC, age);
    line(out, "server");
    safe(out, str_of(cli->target.url));
    buf_cstr(out, ", musterd ");
    safe(out, node_text(root, "version"));
    buf_printf(out, ", up %s%s\n", age, node_true(root, "dev") ? ", development mode" : "");
    line(out, "fleet");
    safe(out, node_text(root, "fleet"));
    buf_char(out, '\n');
    line(out, "hosts");
    buf_printf(out, "%llu: %llu ready, %llu busy, %llu stale, %llu disconnected", num(hosts, "total"),
               num(hosts, "ready"), num(hosts, "busy"), num(hosts, "stale"), num(hosts, "disconnected"));
    if (num(hosts, "pending"))
        buf_printf(out, "; %llu pending (muster pending)", num(hosts, "pending"));
    buf_char(out, '\n');
    line(out, "jobs");
    buf_printf(out, "%llu open\n", num(node_get(root, "jobs"), "open"));
    line(out, "heartbeat");
    write_heartbeat(root, out);
    line(out, "database");
    if (node_true(store, "healthy")) {
        buf_cstr(out, "healthy, ");
    } else {
        buf_cstr(out, "NOT HEALTHY: ");
        safe(out, node_text(store, "reason"));
        buf_cstr(out, ", ");
    }
    print_bytes(node_u64(store, "db_bytes"), out);
    buf_char(out, '\n');
    if (listen && listen->type == NODE_MAP) {
        line(out, "listens");
        for (const struct node *n = listen->child; n; n = n->next) {
            if (n->type == NODE_LIST) { /* more_http: those of --http-listen */
                for (const struct node *m = n->child; m; m = m->next) {
                    buf_cstr(out, ", http ");
                    safe(out, m->type == NODE_STR ? m->s : STR("?"));
                }
                continue;
            }
            buf_cstr(out, n == listen->child ? "" : ", ");
            safe(out, n->key);
            buf_char(out, ' ');
            if (n->type == NODE_STR)
                safe(out, n->s);
            else
                buf_printf(out, "%llu", num(listen, n->key.ptr));
        }
        buf_char(out, '\n');
    }
    line(out, "pin");
    safe(out, node_text(root, "pin"));
    buf_char(out, '\n');
}

static int status_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf out = BUF(64 << 10);
    const struct node *root;
    (void)options;
    (void)args;
    int rc = show_or_parse(cli, "GET", "/api/v1/status", STR_NONE, a, &root);
    if (!root)
        return rc;
    if (root->type != NODE_MAP)
        return cli_fail(cli, RC_FAILED, "server.reply", "the server's status makes no sense");
    write_status(cli, root, &out);
    return show_text(cli, &out);
}

const struct cmd cmd_status = {
    .name = "status",
    .group = "Fleet",
    .usage = "",
    .summary = "show how the server and the fleet are",
    .run = status_run,
};

/* -- ca */

static int ca_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf out = BUF(64 << 10);
    const struct node *root;
    (void)options;
    (void)args;
    int rc = show_or_parse(cli, "GET", "/api/v1/ca", STR_NONE, a, &root);
    if (!root)
        return rc;
    struct str pem = node_text(root, "ca_pem");
    if (!str_starts(pem, STR("-----BEGIN CERTIFICATE-----")))
        return cli_fail(cli, RC_FAILED, "server.reply", "the server's CA makes no sense");
    if (cli_format(cli) != OUT_NAME) {
        buf_cstr(&out, "# CA of ");
        safe(&out, node_text(root, "fleet"));
        buf_cstr(&out, ", pin ");
    }
    safe(&out, node_text(root, "pin"));
    buf_char(&out, '\n');
    if (cli_format(cli) != OUT_NAME)
        (void)buf_str(&out, pem);
    return show_text(cli, &out);
}

const struct cmd cmd_ca = {
    .name = "ca",
    .group = "Servers",
    .usage = "",
    .summary = "print the fleet's CA certificate (PEM), to hand out",
    .details = "For browsers, curl --cacert and foreign agents that reach the server by a name of its certificate (musterd --tls-name adds "
               "some). The line before it, which readers of PEM skip, has the pin; -o name prints the pin alone.",
    .run = ca_run,
};

/* -- backup */

struct backup {
    struct cli *cli;
    struct stream *stream;
    struct buf body;
    int rc;
    bool is_over, is_done;
    struct err failure;
};

static void backup_prepare(void *ctx, struct stream_request *rq, bool again)
{
    struct backup *b = ctx;
    (void)again;
    rq->method = "POST";
    buf_cstr(&rq->target, "/api/v1/backup");
    rq->body = buf_as_str(&b->body);
}

static void backup_event(void *ctx, const char *event, const char *id, struct str data)
{
    struct backup *b = ctx;
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct node *root;
    (void)id;
    if (json_parse(a, data, data.len, &root, NULL) < 0 || root->type != NODE_MAP)
        return;
    uint64_t done = node_u64(root, "done"), total = node_u64(root, "total");
    if (strcmp(event, "progress") == 0 && b->cli->err_tty && total)
        fprintf(stderr, "\r%3llu %%\x1b[K", (unsigned long long)(100 * done / total));
    bool is_error = strcmp(event, "error") == 0;
    if (!is_error && strcmp(event, "done") != 0)
        return;
    if (is_error) {
        AUTO(buf_done) struct buf why = BUF(4096);
        safe(&why, str_sub(node_text(root, "message"), 0, 300));
        b->rc = cli_fail(b->cli, RC_FAILED, "backup.failed", "the copy was not made: %s", buf_as_cstr(&why));
    }
    b->failure = b->cli->err; /* the end of the stream must not wipe it */
    b->is_done = true;
    stream_stop(b->stream);
}

static void backup_over(void *ctx, int rc)
{
    struct backup *b = ctx;
    if (b->is_done)
        b->cli->err = b->failure;
    else
        b->rc = rc == RC_OK
                    ? cli_fail(b->cli, RC_FAILED, "backup", "the server stopped before the copy was whole")
                    : rc;
    b->is_over = true;
    loop_stop(b->cli->loop);
}

/* A backup that broke off is not begun again by itself: the file is there now. */
static void backup_broken(void *ctx)
{
    struct backup *b = ctx;
    stream_stop(b->stream);
}

static char *absolute(const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    AUTO_FREE char *dir = getcwd(NULL, 0);
    return xasprintf("%s/%s", dir ? dir : "", path);
}

static char *default_name(void)
{
    char text[CLOCK_TEXT_MAX];
    clock_format(clock_wall(&clock_real), 0, text);
    for (char *p = text; *p; p++)
        if (*p == ':')
            *p = '-';
    return xasprintf("muster-%s.backup", text);
}

static int backup_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO_FREE char *name = args->n ? xstrdup(args->v[0]) : default_name();
    AUTO_FREE char *path = absolute(name);
    (void)options;
    int rc = api_connect(cli);
    if (rc != RC_OK)
        return rc;
    if (!cli->target.unix_path)
        return cli_usage(cli,
                         "a backup is made on the server itself: run this there, through its local socket");
    struct backup b = { .cli = cli, .body = BUF(16 << 10) };
    struct jw w = JW(&b.body);
    jw_map(&w);
    jw_key(&w, "path");
    jw_cstr(&w, path);
    jw_end_map(&w);
    struct stream_ops ops = { .prepare = backup_prepare,
                              .event = backup_event,
                              .over = backup_over,
                              .broken = backup_broken,
                              .ctx = &b };
    if (jw_done(&w) < 0) {
        buf_done(&b.body);
        return cli_usage(cli, "the path is too long");
    }
    b.stream = stream_open(cli, &ops, 0);
    while (!b.is_over)
        loop_run(cli->loop);
    stream_free(b.stream);
    buf_done(&b.body);
    if (cli->err_tty)
        fputs("\r\x1b[K", stderr);
    if (b.rc == RC_OK && cli_format(cli) == OUT_JSON) {
        AUTO(buf_done) struct buf out = BUF(16 << 10);
        w = JW(&out);
        jw_map(&w);
        jw_key(&w, "path");
        jw_cstr(&w, path);
        jw_end_map(&w);
        buf_char(&out, '\n');
        return show_text(cli, &out);
    }
    if (b.rc == RC_OK)
        printf("%s\n", path);
    return b.rc;
}

const struct cmd cmd_backup = {
    .name = "backup",
    .group = "Server",
    .usage = "[FILE]",
    .summary = "copy the server's database while it runs",
    .details = "Runs on the server, through its local socket. FILE must not exist; without one it is named "
               "after the time. "
               "Bring it back with: musterd restore FILE.",
    .max_args = 1,
    .run = backup_run,
};
