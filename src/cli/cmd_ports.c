/* cli/cmd_ports.c - free ports of a host. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/show.h"

struct ports_opts {
    struct global_opts g;
    uint32_t allocate;
    usec_t ttl;
    char *owner;
};
#define O(m) offsetof(struct ports_opts, m)
static const struct conf_row ports_rows[] = {
    { "allocate", 'a', CONF_U32, O(allocate), .min = 1, .max = 1000, .arg = "N", .help = "ask for so many free ports and print them, one a line" },
    { "ttl", 0, CONF_DURATION, O(ttl), .help = "with --allocate: reserve them for so long, nobody else is given them" },
    { "owner", 0, CONF_STR, O(owner), .arg = "TEXT", .help = "with --ttl: whom they are for" },
};
#undef O

static int allocate(struct cli *cli, const struct ports_opts *o, const char *target)
{
    AUTO(buf_done) struct buf body = BUF(16 << 10);
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct jw w = JW(&body);
    const struct node *root, *ports;

    jw_map(&w);
    jw_key(&w, "count");
    jw_u64(&w, o->allocate);
    if (o->ttl) {
        jw_key(&w, "ttl_seconds");
        jw_u64(&w, o->ttl / USEC_PER_SEC);
    }
    if (o->owner) {
        jw_key(&w, "owner");
        jw_cstr(&w, o->owner);
    }
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the owner is too long");
    int rc = show_or_parse(cli, "POST", target, buf_as_str(&body), a, &root);
    if (!root)
        return rc;
    ports = node_get(root, "ports");
    for (const struct node *n = ports && ports->type == NODE_LIST ? ports->child : NULL; n; n = n->next)
        printf("%lld\n", (long long)(n->type == NODE_INT ? n->i : 0));
    if (node_text(root, "lease").len)
        cli_note(cli, "lease %.*s until %.*s", STR_FMT(node_text(root, "lease")), STR_FMT(node_text(root, "expires_at")));
    return RC_OK;
}

static int look(struct cli *cli, const char *target)
{
    AUTO(buf_done) struct buf out = BUF(256 << 10);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    const struct node *root, *scan;
    int rc = show_or_parse(cli, "GET", target, STR_NONE, a, &root);

    if (!root)
        return rc;
    scan = node_get(root, "scan");
    struct str way = node_text(root, "way");
    buf_printf(&out, "%-12s %.*s\n", "asked by", STR_FMT(way.len ? way : STR("nothing: the host is not connected")));
    for (const struct node *n = scan && scan->type == NODE_MAP ? scan->child : NULL; n; n = n->next) {
        AUTO(buf_done) struct buf value = BUF(64 << 10);

        if (n->type == NODE_STR)
            (void)text_printable(&value, n->s);
        else
            (void)node_write(n, &value);
        buf_printf(&out, "%-12.*s %s\n", STR_FMT(n->key), buf_as_cstr(&value));
    }
    struct str why = node_text(root, "message");
    if (!scan || scan->type != NODE_MAP)
        cli_note(cli, "the host has told of no port scan%s%.*s", why.len ? ": " : "", STR_FMT(why));
    else if (why.len)
        cli_note(cli, "it is not told any more: %.*s", STR_FMT(why));
    return show_text(cli, &out);
}

static int ports_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct ports_opts *o = options;
    AUTO(buf_done) struct buf target = BUF(8 << 10);

    if ((o->ttl || o->owner) && !o->allocate)
        return cli_usage(cli, "--ttl and --owner go with --allocate");
    api_path(&target, "agents", args->v[0], "ports", NULL);
    return o->allocate ? allocate(cli, o, buf_as_cstr(&target)) : look(cli, buf_as_cstr(&target));
}

const struct cmd cmd_ports = {
    .name = "ports",
    .group = "Work",
    .usage = "HOST [--allocate N [--ttl D]]",
    .summary = "show a host's port scan, or get free ports of it",
    .details = "The host itself tests that the ports are free. Hosts of any accent that gives ports are asked by whatever "
               "reaches them: their link, the question they fetch, or a call to their metrics port.",
    .rows = ports_rows,
    .n_rows = ARRAY_SIZE(ports_rows),
    .size = sizeof(struct ports_opts),
    .min_args = 1,
    .max_args = 1,
    .takes_host = true,
    .run = ports_run,
};
