/* cli/tail.c - see tail.h. */
#include "cli/tail.h"

#include <signal.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/print.h"
#include "cli/show.h"

#define TAIL_PATIENCE (2 * USEC_PER_MIN)
enum { EVENT_ARENA = 64 << 20 };

struct tailing {
    struct cli *cli;
    const struct tail *t;
    struct stream *stream;
    struct arena *arena;
    uint64_t last_id;
    int rc;
    bool is_over;
};

static void prepare(void *ctx, struct stream_request *rq, bool again)
{
    struct tailing *g = ctx;
    char text[32];
    (void)again;
    buf_cstr(&rq->target, g->t->target);
    api_query(&rq->target, "follow", STR("true"));
    if (!g->last_id)
        return;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)g->last_id);
    api_query(&rq->target, "after", str_of(text));
}

static void leave(struct tailing *g, int rc)
{
    if (g->is_over)
        return;
    g->is_over = true;
    g->rc = rc;
    loop_stop(g->cli->loop);
}

static int put_line(struct tailing *g, const struct node *n, struct buf *out)
{
    AUTO_FREE char *obj = xcalloc(1, g->t->rec->size);
    uint64_t id = node_u64(n, "id");
    if (id) /* behind the last after a break, unless the server was restored: then it is less, and new all the same */
        g->last_id = id;
    if (cli_format(g->cli) == OUT_JSON) {
        (void)node_write(n, out);
        buf_char(out, '\n');
        return RC_OK;
    }
    int rc = view_read(g->cli, g->arena, g->t->rec, n, obj);
    if (rc == RC_OK)
        g->t->line(g->cli, obj, out);
    return rc;
}

static void event(void *ctx, const char *name, const char *id, struct str data)
{
    struct tailing *g = ctx;
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    struct node *root;
    (void)id;
    arena_reset(g->arena);
    if (json_parse(g->arena, data, data.len, &root, NULL) < 0 || root->type != NODE_MAP)
        return;
    if (strcmp(name, "gap") == 0) {
        cli_note(g->cli, "rows %llu to %llu are no longer kept", (unsigned long long)node_u64(root, "from"),
                 (unsigned long long)node_u64(root, "to"));
        return;
    }
    int rc = put_line(g, root, &out);
    if (rc == RC_OK && out.len)
        rc = show_text(g->cli, &out);
    if (rc != RC_OK)
        leave(g, rc);
}

static void over(void *ctx, int rc)
{
    leave(ctx, rc);
}

static void broken(void *ctx)
{
    struct tailing *g = ctx;
    cli_note(g->cli, "lost the connection to %s; coming back", g->cli->target.url);
}

static void interrupted(void *ctx)
{
    leave(ctx, RC_OK);
}

/* The last rows, oldest first. */
static int last_rows(struct tailing *g)
{
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    AUTO(node_list_done) struct node_list items = { 0 };
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    AUTO(buf_done) struct buf raw = BUF(PRINT_MAX);
    const struct tail *t = g->t;
    bool is_json = cli_format(g->cli) == OUT_JSON;
    int rc = api_list(g->cli, a, t->target, t->key, t->limit ? t->limit : 1, &items,
                      is_json && !t->follow ? &raw : NULL);
    if (rc != RC_OK)
        return rc;
    if (is_json && !t->follow) {
        buf_char(&raw, '\n');
        return show_text(g->cli, &raw);
    }
    bool newest_first = items.n > 1 && node_u64(items.v[0], "id") > node_u64(items.v[items.n - 1], "id");
    for (size_t i = 0; i < items.n && rc == RC_OK; i++)
        rc = put_line(g, items.v[newest_first ? items.n - 1 - i : i], &out);
    if (!items.n && !t->follow)
        cli_note(g->cli, "%s", t->none);
    return rc == RC_OK ? show_text(g->cli, &out) : rc;
}

int tail_run(struct cli *cli, const struct tail *t)
{
    AUTO(arena_free) struct arena *arena = arena_new(EVENT_ARENA);
    struct tailing g = { .cli = cli, .t = t, .arena = arena };
    int rc = last_rows(&g);
    if (rc != RC_OK || !t->follow)
        return rc;
    loop_on_signal(cli->loop, SIGINT, interrupted, &g);
    loop_on_signal(cli->loop, SIGTERM, interrupted, &g);
    struct stream_ops ops = { .prepare = prepare, .event = event, .over = over, .broken = broken, .ctx = &g };
    g.stream = stream_open(cli, &ops, TAIL_PATIENCE);
    while (!g.is_over)
        loop_run(cli->loop);
    stream_free(g.stream);
    return g.rc;
}
