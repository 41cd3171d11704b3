/* cli/cmd_hosts.c - the fleet: hosts, host, label, rename, link, forget. */
#include <unistd.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "codec/query.h"

/* -- hosts */

struct hosts_opts {
    struct global_opts g;
    struct conf_map labels;
    char *selector;
    int status;
};
static const struct name status_names[] = { { 0, "any" }, { 1, "ready" }, { 2, "busy" }, { 3, "stale" }, { 4, "disconnected" }, NAMES_END };
static const struct conf_row hosts_rows[] = {
    { "label", 'l', CONF_LIST, offsetof(struct hosts_opts, labels), .arg = "K=V",
      .help = "only hosts with this label; several must all hold" },
    { "target", 't', CONF_STR, offsetof(struct hosts_opts, selector), .arg = "SELECTOR",
      .help = "only hosts that match: role=web,env!=test,name=web-*" },
    { "status", 's', CONF_ENUM, offsetof(struct hosts_opts, status), .value = "any", .names = status_names, .arg = "WORD",
      .help = "only those that are so" },
};

static int hosts_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct hosts_opts *o = options;
    AUTO(buf_done) struct buf target = BUF(16 << 10);
    AUTO(buf_done) struct buf selector = BUF(8 << 10);
    (void)args;
    buf_cstr(&target, "/api/v1/agents");
    if (o->status)
        api_query(&target, "status", str_of(name_of(status_names, o->status)));
    if (o->selector)
        buf_cstr(&selector, o->selector);
    for (size_t i = 0; i < o->labels.n; i++)
        buf_printf(&selector, "%s%s", selector.len ? "," : "", o->labels.v[i].value);
    api_query(&target, "label", buf_as_str(&selector));
    bool is_filtered = o->status || selector.len;
    return show_list(cli, &(struct show_list){
                              .target = buf_as_cstr(&target),
                              .key = "agents",
                              .rec = &host_view_record,
                              .none = is_filtered
                                          ? "no host matches"
                                          : "no hosts yet. Make an install token with: muster token create",
                          });
}

const struct cmd cmd_hosts = {
    .name = "hosts",
    .alias = "ls",
    .group = "Fleet",
    .usage = "[-l K=V] [--status WORD]",
    .summary = "list hosts",
    .rows = hosts_rows,
    .n_rows = ARRAY_SIZE(hosts_rows),
    .size = sizeof(struct hosts_opts),
    .run = hosts_run,
};

/* -- host */

static int host_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    (void)options;
    api_path(&target, "agents", args->v[0], NULL);
    return show_object(cli, "GET", buf_as_cstr(&target), STR_NONE, &host_view_record);
}

const struct cmd cmd_host = {
    .name = "host",
    .group = "Fleet",
    .usage = "HOST",
    .summary = "show everything about one host",
    .details = "HOST is a name or an id. A name shared by several hosts needs the id: muster hosts -o wide.",
    .min_args = 1,
    .max_args = 1,
    .takes_host = true,
    .run = host_run,
};

/* -- label, rename */

static int patch(struct cli *cli, const char *host, const struct buf *body, const char *done)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    api_path(&target, "agents", host, NULL);
    return show_done(cli, "PATCH", buf_as_cstr(&target), buf_as_str(body), done);
}

static int label_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf body = BUF(64 << 10);
    struct jw w = JW(&body);
    (void)options;
    jw_map(&w);
    jw_key(&w, "labels");
    jw_map(&w);
    for (int i = 1; i < args->n; i++) {
        struct str value = str_of(args->v[i]), key;
        bool has_value = str_find_char(value, '=') > 0;
        if (!has_value && !(value.len > 1 && str_ends(value, STR("-"))))
            return cli_usage(cli, "%s is neither KEY=VALUE nor KEY- (which takes a label off)", args->v[i]);
        if (has_value)
            (void)str_cut(&value, '=', &key);
        else
            key = str_sub(value, 0, value.len - 1);
        jw_key_str(&w, key);
        if (has_value)
            jw_str(&w, value);
        else
            jw_null(&w);
    }
    jw_end_map(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "these are too many labels");
    return patch(cli, args->v[0], &body, "labelled");
}

const struct cmd cmd_label = {
    .name = "label",
    .group = "Fleet",
    .usage = "HOST K=V... K-...",
    .summary = "set labels of a host, or take them off with K-",
    .min_args = 2,
    .max_args = -1,
    .takes_host = true,
    .run = label_run,
};

static int rename_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf body = BUF(64 << 10);
    struct jw w = JW(&body);
    (void)options;
    jw_map(&w);
    jw_key(&w, "name");
    jw_cstr(&w, args->v[1]);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the name is too long");
    return patch(cli, args->v[0], &body, "renamed");
}

const struct cmd cmd_rename = {
    .name = "rename",
    .group = "Fleet",
    .usage = "HOST NEW-NAME",
    .summary = "give a host another name",
    .min_args = 2,
    .max_args = 2,
    .takes_host = true,
    .run = rename_run,
};

/* -- link */

static int link_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf body = BUF(64 << 10);
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    struct jw w = JW(&body);
    (void)options;
    jw_map(&w);
    jw_key(&w, "other");
    jw_cstr(&w, args->v[1]);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the name is too long");
    api_path(&target, "agents", args->v[0], "link", NULL);
    return show_done(cli, "POST", buf_as_cstr(&target), buf_as_str(&body), "linked");
}

const struct cmd cmd_link = {
    .name = "link",
    .group = "Fleet",
    .usage = "HOST OTHER",
    .summary = "say that two rows are one machine",
    .details = "OTHER, known through a foreign accent, goes; its names there, its keys and what was recorded under them move "
               "to HOST, inventory and its history included: where HOST has an agent of ours, as reported_addresses and so on beside what "
               "that agent tells. A host is never merged by its name or address: only you can know. A host with a key of its own "
               "cannot be OTHER: link the other way round.",
    .min_args = 2,
    .max_args = 2,
    .takes_host = true,
    .run = link_run,
};

/* -- forget */

struct forget_opts {
    struct global_opts g;
    bool yes;
};
static const struct conf_row forget_rows[] = {
    { "yes", 'y', CONF_BOOL, offsetof(struct forget_opts, yes), .help = "do not ask" },
};

static int forget_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct forget_opts *o = options;
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    AUTO_FREE char *question =
        xasprintf("Forget %s, its inventory and history, and cut its link?", args->v[0]);
    if (!o->yes && !ask_yes(question))
        return cli_fail(cli, RC_FAILED, "stopped", "%s was left as it is", args->v[0]);
    api_path(&target, "agents", args->v[0], NULL);
    return show_done(cli, "DELETE", buf_as_cstr(&target), STR_NONE, "forgotten");
}

const struct cmd cmd_forget = {
    .name = "forget",
    .group = "Fleet",
    .usage = "HOST",
    .summary = "remove a host and what is known of it",
    .details = "Asks first on a terminal, unless --yes. Its key is forgotten too: coming back, it is a new "
               "host that must be "
               "approved. To keep one out, revoke it.",
    .rows = forget_rows,
    .n_rows = ARRAY_SIZE(forget_rows),
    .size = sizeof(struct forget_opts),
    .min_args = 1,
    .max_args = 1,
    .takes_host = true,
    .run = forget_run,
};
