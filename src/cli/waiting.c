/* cli/waiting.c - see waiting.h. */
#include "cli/waiting.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/api.h"

#define WAITING_FIRST (2 * USEC_PER_SEC)
#define WAITING_PROBE (5 * USEC_PER_SEC)

struct waiting {
    struct cli *cli;
    struct timer *timer;
    struct http_client *client; /* made when it is needed first */
    uint64_t number;            /* of the question under way, 0: none */
    usec_t pause;               /* until the next question, doubling */
    unsigned n_calls;
    bool is_said;
};

static const struct {
    const char *slug, *text;
} reasons[] = {
    { "starting", "it is starting" },
    { "stopping", "it is stopping" },
    { "store.disk_full", "its disk is full" },
    { "store.read_only", "its disk is read-only" },
};

const char *waiting_reason(struct str body, char *room, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf safe = BUF(1024);
    struct node *root = NULL;
    struct str slug = STR_NONE;
    if (json_parse(a, body, 1 << 16, &root, NULL) == 0)
        slug = str_sub(node_text(root, "reason"), 0, 64);
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_is(slug, reasons[i].slug))
            return reasons[i].text;
    (void)text_printable(&safe, slug);
    const char *what = str_starts(slug, STR("store.")) ? "its database takes no writes" : "it is not ready";
    snprintf(room, size, "%s%s%.*s%s", what, slug.len ? " (" : "", STR_FMT(buf_as_str(&safe)), slug.len ? ")" : "");
    return room;
}

static void on_answer(void *ctx, const struct err *err, int status, struct str body)
{
    struct waiting *w = ctx;
    char room[320];
    w->number = 0;
    bool is_silent = err && err->code == -ETIMEDOUT;
    if (!is_silent && status != 503) { /* well, or not musterd */
        timer_start(w->timer, w->pause, 0);
        return;
    }
    w->is_said = true;
    cli_note(w->cli, "waiting for the server: %s", is_silent ? "it does not answer" : waiting_reason(body, room, sizeof(room)));
}

static void on_time(void *ctx)
{
    struct waiting *w = ctx;
    if (!w->n_calls || w->is_said || w->number)
        return;
    if (!w->client)
        w->client = api_client(w->cli, WAITING_PROBE);
    w->pause *= 2;
    w->number = http_client_send(w->client, &(struct http_client_req){ .method = "GET", .target = "/readyz", .done = on_answer, .ctx = w });
}

void waiting_begin(struct cli *cli)
{
    struct waiting *w = cli->waiting;
    if (!w) {
        w = cli->waiting = xnew0(struct waiting);
        w->cli = cli;
        w->timer = timer_new(cli->loop, on_time, w);
    }
    if (w->n_calls++ || w->is_said)
        return;
    w->pause = WAITING_FIRST;
    timer_start(w->timer, w->pause, 0);
}

void waiting_end(struct cli *cli)
{
    struct waiting *w = cli->waiting;
    if (--w->n_calls)
        return;
    timer_stop(w->timer);
    if (w->number)
        http_client_cancel(w->client, w->number);
    w->number = 0;
}

void waiting_free(struct waiting *w)
{
    if (!w)
        return;
    timer_free(w->timer);
    http_client_free(w->client);
    free(w);
}
