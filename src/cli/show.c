/* cli/show.c - see show.h. */
#include "cli/show.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/print.h"
#include "codec/record.h"

int show_text(struct cli *cli, const struct buf *b)
{
    int r = print_out(STDOUT_FILENO, buf_as_str(b));
    if (r == -EPIPE)
        return RC_PIPE;
    if (r < 0)
        return cli_fail(cli, RC_FAILED, "output", "cannot write: %s", strerror(-r));
    return RC_OK;
}

int show_reply(struct cli *cli, const struct reply *r)
{
    AUTO(buf_done) struct buf b = BUF(REPLY_MAX + 16);
    (void)buf_str(&b, str_trim(buf_as_str(&r->body)));
    buf_char(&b, '\n');
    return show_text(cli, &b);
}

int show_done(struct cli *cli, const char *method, const char *target, struct str body, const char *done)
{
    AUTO(reply_done) struct reply reply = { 0 };
    int rc = api_call(cli, method, target, body, &reply);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_JSON)
        return show_reply(cli, &reply);
    puts(done);
    return RC_OK;
}

int show_or_parse(struct cli *cli, const char *method, const char *target, struct str body, struct arena *a,
                  const struct node **ret_root)
{
    AUTO(reply_done) struct reply reply = { 0 };
    struct node *root;
    *ret_root = NULL;
    int rc = api_call(cli, method, target, body, &reply);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_JSON)
        return show_reply(cli, &reply);
    if (json_parse(a, buf_as_str(&reply.body), REPLY_MAX, &root, &cli->err) < 0)
        return RC_FAILED;
    *ret_root = root;
    return RC_OK;
}

static int print_items(struct cli *cli, struct arena *a, const struct show_list *l,
                       const struct node_list *items, struct buf *out)
{
    bool is_wide = cli_format(cli) == OUT_WIDE;
    usec_t now = clock_wall(&clock_real);
    AUTO(table_free) struct table *t = table_of(l->rec, is_wide);
    AUTO_FREE char *obj = xmalloc(l->rec->size);
    for (size_t i = 0; i < items->n; i++) {
        memset(obj, 0, l->rec->size);
        int rc = view_read(cli, a, l->rec, items->v[i], obj);
        if (rc != RC_OK)
            return rc;
        if (cli_format(cli) == OUT_NAME)
            print_name(l->rec, obj, out);
        else
            table_add(t, obj, now);
    }
    if (cli_format(cli) != OUT_NAME)
        table_write(t, cli->out_color, is_wide, out);
    return RC_OK;
}

int show_list(struct cli *cli, const struct show_list *l)
{
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    AUTO(node_list_done) struct node_list items = { 0 };
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    bool is_json = cli_format(cli) == OUT_JSON;
    int rc = api_list(cli, a, l->target, l->key, l->limit, &items, is_json ? &out : NULL);
    if (rc != RC_OK)
        return rc;
    if (is_json) {
        buf_char(&out, '\n');
        return show_text(cli, &out);
    }
    if (items.n == 0 && cli_format(cli) != OUT_NAME) {
        cli_note(cli, "%s", l->none);
        return RC_OK;
    }
    rc = print_items(cli, a, l, &items, &out);
    return rc == RC_OK ? show_text(cli, &out) : rc;
}

int show_object(struct cli *cli, const char *method, const char *target, struct str body,
                const struct record *rec)
{
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    AUTO_FREE char *obj = xcalloc(1, rec->size);
    const struct node *root;
    int rc = show_or_parse(cli, method, target, body, a, &root);
    if (!root)
        return rc;
    rc = view_read(cli, a, rec, root, obj);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_NAME)
        print_name(rec, obj, &out);
    else
        print_object(rec, obj, clock_wall(&clock_real), &out);
    return show_text(cli, &out);
}
