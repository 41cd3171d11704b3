/* cli/cmd_enroll.c - how hosts come in: install tokens, pending requests, approve, reject, revoke. */
#include "base/mem.h"
#include "cli/each.h"
#include "cli/print.h"
#include "cli/show.h"

/* -- token create */

struct token_opts {
    struct global_opts g;
    uint32_t uses;
    usec_t ttl;
    struct conf_map labels;
    bool auto_approve;
    char *note;
};
#define O(m) offsetof(struct token_opts, m)
static const struct conf_row token_rows[] = {
    { "uses", 'n', CONF_U32, O(uses), .value = "1", .help = "how many hosts may use it; 0: any number" },
    { "ttl", 0, CONF_DURATION, O(ttl), .value = "24h", .help = "how long it is good for; 0: until revoked" },
    { "label", 'l', CONF_MAP, O(labels), .arg = "K=V",
      .help = "label of the hosts that use it; may be repeated" },
    { "auto-approve", 0, CONF_BOOL, O(auto_approve), .help = "hosts with it need no approval" },
    { "note", 0, CONF_STR, O(note), .arg = "TEXT", .help = "what it is for" },
};
#undef O

static int token_create_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct token_opts *o = options;
    AUTO(buf_done) struct buf body = BUF(64 << 10);
    struct jw w = JW(&body);
    (void)args;
    jw_map(&w);
    jw_key(&w, "uses");
    jw_u64(&w, o->uses);
    jw_key(&w, "ttl");
    jw_u64(&w, o->ttl / USEC_PER_SEC);
    jw_key(&w, "auto_approve");
    jw_bool(&w, o->auto_approve);
    if (o->note) {
        jw_key(&w, "note");
        jw_cstr(&w, o->note);
    }
    jw_key(&w, "labels");
    jw_map(&w);
    for (size_t i = 0; i < o->labels.n; i++) {
        jw_key(&w, o->labels.v[i].key);
        jw_cstr(&w, o->labels.v[i].value);
    }
    jw_end_map(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the labels are too long");
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf out = BUF(64 << 10);
    const struct node *root;
    int rc = show_or_parse(cli, "POST", "/api/v1/tokens", buf_as_str(&body), a, &root);
    if (!root)
        return rc;
    struct str token = node_text(root, "token"), command = node_text(root, "command");
    buf_printf(&out, "%.*s\n", STR_FMT(token));
    if (cli_format(cli) != OUT_NAME && command.len)
        buf_printf(&out, "\nRun this on the host (it is shown only now):\n\n  %.*s\n", STR_FMT(command));
    return show_text(cli, &out);
}

const struct cmd cmd_token_create = {
    .name = "token create",
    .group = "Enrolment",
    .usage = "[--uses N] [--ttl D] [--label K=V] [--auto-approve]",
    .summary = "make an install token and the line to paste on a host",
    .details = "The token is CODE@sha256:HEX: the code lets a host ask, the hash lets it recognise this "
               "server before it says "
               "anything. With --json it is under the key \"token\".",
    .rows = token_rows,
    .n_rows = ARRAY_SIZE(token_rows),
    .size = sizeof(struct token_opts),
    .run = token_create_run,
};

static int token_list_run(struct cli *cli, const void *options, const struct args *args)
{
    (void)options;
    (void)args;
    return show_list(cli,
                     &(struct show_list){ .target = "/api/v1/tokens",
                                          .key = "tokens",
                                          .rec = &token_view_record,
                                          .none = "no install tokens. Make one with: muster token create" });
}

const struct cmd cmd_token_list = {
    .name = "token list",
    .alias = "token",
    .group = "Enrolment",
    .usage = "",
    .summary = "list install tokens (never their codes)",
    .run = token_list_run,
};

/* -- one call per word: approve, reject, revoke */

static int token_revoke_one(struct cli *cli, const void *options, const char *word, struct buf *json)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    (void)options;
    api_path(&target, "tokens", word, NULL);
    return each_call(cli, "DELETE", &target, STR_NONE, json);
}

static int token_revoke_run(struct cli *cli, const void *options, const struct args *args)
{
    return each_word(cli, args, "revoked", token_revoke_one, options);
}

const struct cmd cmd_token_revoke = {
    .name = "token revoke",
    .group = "Enrolment",
    .usage = "ID...",
    .summary = "make install tokens useless",
    .min_args = 1,
    .max_args = -1,
    .run = token_revoke_run,
};

static int pending_run(struct cli *cli, const void *options, const struct args *args)
{
    (void)options;
    (void)args;
    return show_list(cli, &(struct show_list){ .target = "/api/v1/enrollments",
                                               .key = "enrollments",
                                               .rec = &enrollment_view_record,
                                               .none = "no host is waiting for approval" });
}

const struct cmd cmd_pending = {
    .name = "pending",
    .group = "Enrolment",
    .usage = "",
    .summary = "list hosts that ask to come in",
    .details = "Compare the fingerprint with what muster-agent status shows on the host before you approve "
               "it. Approve by "
               "hostname, or by id when several claim the same one.",
    .run = pending_run,
};

struct approve_opts {
    struct global_opts g;
    bool accept_labels;
    char *name, *reason;
};
#define O(m) offsetof(struct approve_opts, m)
static const struct conf_row approve_rows[] = {
    { "accept-labels", 0, CONF_BOOL, O(accept_labels), .help = "take over the labels the host claims" },
    { "name", 0, CONF_STR, O(name), .arg = "NAME", .help = "call it this (one host only)" },
};
static const struct conf_row reason_rows[] = {
    { "reason", 0, CONF_STR, O(reason), .arg = "TEXT", .help = "why: for the audit log, and for the host to say" },
};
#undef O

static int decide(struct cli *cli, const struct approve_opts *o, const char *verb, const char *host,
                  struct buf *json)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    AUTO(buf_done) struct buf body = BUF(16 << 10);
    struct jw w = JW(&body);
    jw_map(&w);
    if (o->accept_labels) {
        jw_key(&w, "accept_labels");
        jw_bool(&w, true);
    }
    if (o->name) {
        jw_key(&w, "name");
        jw_cstr(&w, o->name);
    }
    if (o->reason) {
        jw_key(&w, "reason");
        jw_cstr(&w, o->reason);
    }
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the name or the reason is too long");
    api_path(&target, "agents", host, verb, NULL);
    return each_call(cli, "POST", &target, buf_as_str(&body), json);
}

static int approve_one(struct cli *cli, const void *options, const char *host, struct buf *json)
{
    return decide(cli, options, "approve", host, json);
}
static int reject_one(struct cli *cli, const void *options, const char *host, struct buf *json)
{
    return decide(cli, options, "reject", host, json);
}
static int revoke_one(struct cli *cli, const void *options, const char *host, struct buf *json)
{
    return decide(cli, options, "revoke", host, json);
}

static int approve_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct approve_opts *o = options;
    if (o->name && args->n > 1)
        return cli_usage(cli, "--name goes with one host");
    return each_word(cli, args, "approved", approve_one, options);
}
static int reject_run(struct cli *cli, const void *options, const struct args *args)
{
    return each_word(cli, args, "rejected", reject_one, options);
}
static int revoke_run(struct cli *cli, const void *options, const struct args *args)
{
    return each_word(cli, args, "revoked", revoke_one, options);
}

const struct cmd cmd_approve = {
    .name = "approve",
    .group = "Enrolment",
    .usage = "HOST...",
    .summary = "let pending hosts in",
    .rows = approve_rows,
    .n_rows = ARRAY_SIZE(approve_rows),
    .size = sizeof(struct approve_opts),
    .min_args = 1,
    .max_args = -1,
    .run = approve_run,
};
const struct cmd cmd_reject = {
    .name = "reject",
    .group = "Enrolment",
    .usage = "HOST...",
    .summary = "turn pending hosts away",
    .rows = reason_rows,
    .n_rows = ARRAY_SIZE(reason_rows),
    .size = sizeof(struct approve_opts),
    .min_args = 1,
    .max_args = -1,
    .run = reject_run,
};
const struct cmd cmd_revoke = {
    .name = "revoke",
    .group = "Enrolment",
    .usage = "HOST...",
    .summary = "cut hosts off at once and refuse their certificates",
    .rows = reason_rows,
    .n_rows = ARRAY_SIZE(reason_rows),
    .size = sizeof(struct approve_opts),
    .min_args = 1,
    .max_args = -1,
    .takes_host = true,
    .run = revoke_run,
};
