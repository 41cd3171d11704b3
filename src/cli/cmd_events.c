/* cli/cmd_events.c - what happens in the fleet, and who did what. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/print.h"
#include "cli/show.h"
#include "cli/tail.h"
#include "wire/event.h"

#define DIM "\x1b[2m"
#define BOLD "\x1b[1m"
#define RED "\x1b[31m"
#define RESET "\x1b[0m"

struct tail_opts {
    struct global_opts g;
    bool follow, verify;
    uint32_t limit;
    char *type, *host;
};
#define O(m) offsetof(struct tail_opts, m)
static const struct conf_row events_rows[] = {
    { "follow", 'f', CONF_BOOL, O(follow), .help = "stay and show new ones as they come" },
    { "limit", 'n', CONF_U32, O(limit), .value = "100", .min = 1, .max = 5000,
      .help = "how many of the last ones" },
    { "type", 0, CONF_STR, O(type), .names = event_type_names, .arg = "TYPE", .help = "only this type" },
    { "host", 0, CONF_STR, O(host), .arg = "ID", .help = "only of the host with this id" },
};
static const struct conf_row audit_rows[] = {
    { "follow", 'f', CONF_BOOL, O(follow), .help = "stay and show new ones as they come" },
    { "limit", 'n', CONF_U32, O(limit), .value = "100", .min = 1, .max = 5000,
      .help = "how many of the last ones" },
    { "verify", 0, CONF_BOOL, O(verify), .help = "check the hash chain of the whole log instead" },
};
#undef O

static void put_at(const struct cli *cli, usec_t at, struct buf *out)
{
    char text[CLOCK_TEXT_MAX];
    clock_format(at, 0, text);
    buf_printf(out, "%s%s%s  ", cli->out_color ? DIM : "", text, cli->out_color ? RESET : "");
}

static void put_padded(struct str s, size_t width, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    (void)text_printable(&b, s.len ? s : STR("-"));
    size_t columns = utf8_columns(buf_as_str(&b));
    (void)buf_str(out, buf_as_str(&b));
    buf_printf(out, "%*s  ", (int)(columns < width ? width - columns : 0), "");
}

static void trim_end(struct buf *out)
{
    while (out->len && out->ptr[out->len - 1] == ' ')
        out->len--;
    buf_char(out, '\n');
}

static void event_line(const struct cli *cli, const void *obj, struct buf *out)
{
    const struct event_view *e = obj;
    put_at(cli, e->timestamp, out);
    buf_cstr(out, cli->out_color ? BOLD : "");
    put_padded(e->event_type, 22, out);
    buf_cstr(out, cli->out_color ? RESET : "");
    put_padded(e->host, 16, out);
    for (size_t i = 0; i < e->details.n; i++) {
        buf_cstr(out, i ? " " : "");
        (void)text_printable(out, e->details.v[i].key);
        buf_char(out, '=');
        (void)text_printable(out, e->details.v[i].value);
    }
    trim_end(out);
}

static int events_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct tail_opts *o = options;
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    (void)args;
    buf_cstr(&target, "/api/v1/events");
    api_query(&target, "event_type", str_of(o->type));
    api_query(&target, "agent_id", str_of(o->host));
    return tail_run(cli, &(struct tail){ .target = buf_as_cstr(&target),
                                         .key = "events",
                                         .rec = &event_view_record,
                                         .none = "nothing has happened yet",
                                         .limit = o->limit,
                                         .follow = o->follow,
                                         .line = event_line });
}

const struct cmd cmd_events = {
    .name = "events",
    .group = "Records",
    .usage = "[--follow] [--type TYPE]",
    .summary = "show what happens in the fleet, newest last",
    .rows = events_rows,
    .n_rows = ARRAY_SIZE(events_rows),
    .size = sizeof(struct tail_opts),
    .run = events_run,
};

/* -- audit */

static void audit_line(const struct cli *cli, const void *obj, struct buf *out)
{
    const struct audit_view *v = obj;
    bool is_bad = !str_is(v->outcome, "ok");
    put_at(cli, v->at, out);
    buf_printf(out, "%6llu  ", (unsigned long long)v->id);
    put_padded(v->principal, 14, out);
    put_padded(v->verb, 16, out);
    buf_cstr(out, cli->out_color && is_bad ? RED : "");
    put_padded(v->outcome, 6, out);
    buf_cstr(out, cli->out_color && is_bad ? RESET : "");
    put_padded(v->target, 16, out);
    if (v->code.len)
        put_padded(v->code, 0, out);
    if (cli_format(cli) == OUT_WIDE) {
        put_padded(v->peer, 0, out);
        (void)text_printable(out, v->details.text);
    }
    trim_end(out);
}

static int verify(struct cli *cli)
{
    AUTO(reply_done) struct reply reply = { 0 };
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct node *root;
    int rc = api_call(cli, "GET", "/api/v1/audit/verify", STR_NONE, &reply);
    if (rc != RC_OK)
        return rc;
    if (json_parse(a, buf_as_str(&reply.body), REPLY_MAX, &root, &cli->err) < 0)
        return RC_FAILED;
    bool is_whole = node_true(root, "ok");
    if (cli_format(cli) == OUT_JSON) {
        rc = show_reply(cli, &reply);
        return rc != RC_OK || is_whole ? rc : RC_FAILED;
    }
    if (is_whole && node_u64(root, "rows") == 0) {
        puts("the audit log is empty");
        return RC_OK;
    }
    if (is_whole) {
        AUTO(buf_done) struct buf out = BUF(4096);
        buf_printf(&out, "the audit log is whole: %llu rows (%llu to %llu), last hash ",
                   (unsigned long long)node_u64(root, "rows"), (unsigned long long)node_u64(root, "first_id"),
                   (unsigned long long)node_u64(root, "last_id"));
        (void)text_printable(&out, node_text(root, "last_hash"));
        buf_char(&out, '\n');
        return show_text(cli, &out);
    }
    const struct node *broken = root->type == NODE_MAP ? node_get(root, "broken") : NULL;
    AUTO(buf_done) struct buf why = BUF(1024);
    (void)text_printable(&why, str_sub(node_text(broken, "reason"), 0, 200));
    return cli_fail(cli, RC_FAILED, "audit.broken", "the audit log was changed: row %llu: %s",
                    (unsigned long long)node_u64(broken, "id"), buf_as_cstr(&why));
}

static int audit_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct tail_opts *o = options;
    (void)args;
    if (o->verify)
        return verify(cli);
    return tail_run(cli, &(struct tail){ .target = "/api/v1/audit",
                                         .key = "rows",
                                         .rec = &audit_view_record,
                                         .none = "nothing has been recorded yet",
                                         .limit = o->limit,
                                         .follow = o->follow,
                                         .line = audit_line });
}

const struct cmd cmd_audit = {
    .name = "audit",
    .group = "Records",
    .usage = "[--follow] [--verify]",
    .summary = "show who did what, newest last, or check the log's hash chain",
    .rows = audit_rows,
    .n_rows = ARRAY_SIZE(audit_rows),
    .size = sizeof(struct tail_opts),
    .run = audit_run,
};
