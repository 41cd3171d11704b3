/* cli/cmd_inventory.c - what a host has, section by section, and what changed when. */
#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"
#include "cli/print.h"
#include "cli/show.h"

struct inventory_opts {
    struct global_opts g;
    bool history;
    uint32_t limit;
};
static const struct conf_row inventory_rows[] = {
    { "history", 0, CONF_BOOL, offsetof(struct inventory_opts, history),
      .help = "what changed, newest first" },
    { "limit", 'n', CONF_U32, offsetof(struct inventory_opts, limit), .value = "100",
      .help = "with --history: how many; 0: all" },
};

/* A cell from any value: text as it is, the rest as JSON. */
static struct str cell_of(struct arena *a, const struct node *n)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    if (!n || n->type == NODE_NULL)
        return STR("-");
    if (n->type == NODE_STR)
        return n->s.len ? n->s : STR("-");
    if (n->type == NODE_BOOL)
        return n->b ? STR("yes") : STR("no");
    if (n->type == NODE_LIST) { /* of plain values, usually: addresses */
        for (const struct node *c = n->child; c; c = c->next) {
            buf_cstr(&b, c == n->child ? "" : ",");
            if (c->type == NODE_STR)
                (void)buf_str(&b, c->s);
            else
                (void)node_write(c, &b);
        }
    } else {
        (void)node_write(n, &b);
    }
    struct str s = arena_str(a, buf_as_str(&b));
    return s.len ? s : STR("-");
}

/* The members that any row has, in the order they first appear, "key" first. */
static void columns_of(const struct node *rows, struct str *v, size_t max, size_t *n)
{
    for (const struct node *row = rows->child; row; row = row->next) {
        for (const struct node *m = row->type == NODE_MAP ? row->child : NULL; m; m = m->next) {
            bool is_known = false;
            for (size_t i = 0; i < *n && !is_known; i++)
                is_known = str_eq(v[i], m->key);
            if (!is_known && *n < max)
                v[(*n)++] = m->key;
        }
    }
}

static bool is_bytes(struct str key)
{
    return str_ends(key, STR("_bytes")) && key.len > strlen("_bytes");
}

static struct str bytes_of(struct arena *a, uint64_t n)
{
    AUTO(buf_done) struct buf b = BUF(64);
    print_bytes(n, &b);
    return arena_str(a, buf_as_str(&b));
}

static void write_rows(struct cli *cli, struct arena *a, const struct node *rows, struct buf *out)
{
    enum { NARROW = 12, MAX_COLUMNS = 64 };
    struct str keys[MAX_COLUMNS], headings[MAX_COLUMNS], cells[MAX_COLUMNS];
    bool is_wide = cli_format(cli) == OUT_WIDE;
    size_t n = 0;
    columns_of(rows, keys, is_wide ? MAX_COLUMNS : NARROW, &n);
    for (size_t i = 0; i < n; i++) {
        char *up = arena_alloc(a, keys[i].len + 1);
        headings[i] = keys[i];
        if (is_bytes(keys[i])) /* its values say the unit */
            headings[i].len -= strlen("_bytes");
        for (size_t k = 0; up && k < headings[i].len; k++)
            up[k] = keys[i].ptr[k] == '_'
                        ? ' '
                        : (char)(keys[i].ptr[k] >= 'a' && keys[i].ptr[k] <= 'z' ? keys[i].ptr[k] - 32
                                                                                : keys[i].ptr[k]);
        headings[i] = up ? str_bytes(up, headings[i].len) : keys[i];
    }
    AUTO(table_free) struct table *t = table_named(headings, n);
    for (const struct node *row = rows->child; row; row = row->next) {
        for (size_t i = 0; i < n; i++) {
            const struct node *cell = NULL;
            for (const struct node *m = row->type == NODE_MAP ? row->child : NULL; m && !cell; m = m->next)
                if (str_eq(m->key, keys[i]))
                    cell = m;
            cells[i] = is_bytes(keys[i]) && cell && cell->type == NODE_INT && cell->i >= 0 ? bytes_of(a, (uint64_t)cell->i) : cell_of(a, cell);
        }
        table_add_cells(t, cells);
    }
    table_write(t, cli->out_color, is_wide, out);
}

static int one_section(struct cli *cli, const char *host, const char *section)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    const struct node *root;
    api_path(&target, "agents", host, "inventory", section, NULL);
    int rc = show_or_parse(cli, "GET", buf_as_cstr(&target), STR_NONE, a, &root);
    if (!root)
        return rc;
    const struct node *rows = root->type == NODE_MAP ? node_get(root, "rows") : NULL;
    if (!rows || rows->type != NODE_LIST)
        return cli_fail(cli, RC_FAILED, "server.reply", "the section has no rows");
    struct str status = node_text(root, "status");
    struct str why = node_text(root, "message");
    if (!str_is(status, "ok") && status.len)
        cli_note(cli, "section %s is %.*s%s%.*s", section, STR_FMT(status), why.len ? ": " : "", STR_FMT(why));
    if (!rows->child) {
        if (str_is(status, "ok") || !status.len)
            cli_note(cli, "section %s has no rows", section);
        return RC_OK;
    }
    write_rows(cli, a, rows, &out);
    return show_text(cli, &out);
}

static int history(struct cli *cli, const struct inventory_opts *o, const char *host, const char *section)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    api_path(&target, "agents", host, "history", NULL);
    api_query(&target, "section", str_of(section));
    return show_list(cli, &(struct show_list){ .target = buf_as_cstr(&target),
                                               .key = "changes",
                                               .rec = &change_view_record,
                                               .limit = o->limit,
                                               .none = "no change has been seen" });
}

static int inventory_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct inventory_opts *o = options;
    const char *host = args->v[0], *section = args->n > 1 ? args->v[1] : NULL;
    if (o->history)
        return history(cli, o, host, section);
    if (section)
        return one_section(cli, host, section);
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    api_path(&target, "agents", host, "inventory", NULL);
    return show_list(cli, &(struct show_list){ .target = buf_as_cstr(&target),
                                               .key = "sections",
                                               .rec = &section_view_record,
                                               .none = "nothing was reported yet" });
}

const struct cmd cmd_inventory = {
    .name = "inventory",
    .alias = "inv",
    .group = "Fleet",
    .usage = "HOST [SECTION] [--history]",
    .summary = "show what a host has, or what changed on it",
    .details = "Without SECTION: the sections and how fresh they are. Section connections is asked from the "
               "host at that "
               "moment. -o wide shows every column. With --history, CHANGE says: changed, the value before and the new one are known; "
               "now, this is the value since then (what was there before, if anything, was not recorded); removed, it is gone.",
    .rows = inventory_rows,
    .n_rows = ARRAY_SIZE(inventory_rows),
    .size = sizeof(struct inventory_opts),
    .min_args = 1,
    .max_args = 2,
    .takes_host = true,
    .run = inventory_run,
};
