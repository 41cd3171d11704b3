/* cli/cmd_login.c - login, logout and the named servers they keep.
 *
 * login trusts a server by its pin only: the hash of its CA's key, shown by `muster status` on the server.
 * The CA that matched is kept beside the pin; the password is sent after the handshake has proved it. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/show.h"
#include "codec/record.h"
#include "net/tls_ctx.h"

struct login_opts {
    struct global_opts g;
    char *name, *user, *password_file;
    usec_t ttl;
};
#define O(m) offsetof(struct login_opts, m)
static const struct conf_row login_rows[] = {
    { "name", 'n', CONF_STR, O(name), .arg = "NAME",
      .help = "name of the context; without it: the server's host name" },
    { "user", 'u', CONF_STR, O(user), .arg = "USER", .help = "who you are there; without it: asked for" },
    { "password-file", 0, CONF_STR, O(password_file), .arg = "FILE",
      .help = "read the password from here; - is standard input" },
    { "ttl", 0, CONF_DURATION, O(ttl), .help = "how long this login is good for, at most 720h; without it: 12h" },
};
#undef O

/* Points @cli at @url without asking what the configuration says about servers, but for the pin it may know.
 */
static int aim(struct cli *cli, const char *url, struct contexts *contexts, char **ret_name)
{
    struct target_wish w = {
        .server = url, .server_is_flag = true, .pin = cli->g->pin, .ca_file = cli->g->ca
    };
    if (target_resolve(&cli->target, &w, contexts, &cli->err) < 0)
        return RC_CONFIG;
    secret_free(cli->target.token); /* a login shows a password, not yesterday's token */
    cli->target.token = NULL;
    if (!*ret_name)
        *ret_name = xstrdup(cli->target.context ? cli->target.context
                            : cli->target.host  ? cli->target.host
                                                : "local");
    return RC_OK;
}

static int ask_login(struct cli *cli, const struct login_opts *o, struct buf *body)
{
    char host[256];
    AUTO_FREE char *user = o->user ? xstrdup(o->user) : ask_line("User: ");
    if (!user || !*user)
        return cli_usage(cli, "say who you are with --user");
    char *password = ask_password(o->password_file, "Password: ", NULL, &cli->err);
    if (!password)
        return RC_USAGE;
    if (gethostname(host, sizeof(host)) < 0)
        host[0] = '\0';
    host[sizeof(host) - 1] = '\0';
    AUTO_FREE char *name = xasprintf("muster login on %s", *host ? host : "an unknown machine");
    struct jw w = JW(body);
    jw_map(&w);
    jw_key(&w, "username");
    jw_cstr(&w, user);
    jw_key(&w, "password");
    jw_cstr(&w, password);
    jw_key(&w, "name");
    jw_cstr(&w, name);
    if (o->ttl) {
        jw_key(&w, "ttl");
        jw_u64(&w, o->ttl / USEC_PER_SEC);
    }
    jw_end_map(&w);
    secret_free(password);
    return jw_done(&w) < 0 ? cli_usage(cli, "that is too long") : RC_OK;
}

static void replace(char **slot, char *value)
{
    free(*slot);
    *slot = value;
}

/* The fleet's name goes into the server's certificate: from now on it is checked too. Not vital: */
static char *ask_fleet(struct cli *cli)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    const struct node *root;
    if (api_json(cli, a, "GET", "/api/v1/status", STR_NONE, &root) != RC_OK) {
        err_reset(&cli->err);
        return NULL;
    }
    struct str fleet = node_text(root, "fleet");
    return fleet.len ? str_dup(fleet) : NULL;
}

static int keep(struct cli *cli, struct contexts *contexts, const char *name, const struct node *reply)
{
    struct str token = node_text(reply, "token"), user = node_text(reply, "user");
    if (!token.len)
        return cli_fail(cli, RC_FAILED, "server.reply", "the server gave no token");
    cli->target.token = str_dup(token);
    struct context *x = contexts_add(contexts, name);
    replace(&x->server, xstrdup(cli->target.url));
    replace(&x->pin, cli->target.pin ? xasprintf("sha256:%s", cli->target.pin) : NULL);
    const char *ca = cli->tls && cli->target.pin ? tls_pinned_ca(cli->tls) : cli->target.ca;
    replace(&x->ca, ca ? xstrdup(ca) : NULL);
    replace(&x->user, user.len ? str_dup(user) : NULL);
    secret_free(x->token);
    x->token = str_dup(token);
    x->token_id = node_u64(reply, "token_id");
    replace(&x->fleet, ask_fleet(cli));
    replace(&contexts->current, xstrdup(name));
    if (contexts_save(contexts, &cli->err) < 0)
        return RC_CONFIG;
    printf("logged in to %s as %.*s (%.*s); context %s is in use, kept in %s\n", cli->target.url,
           STR_FMT(user), STR_FMT(node_text(reply, "role")), name, contexts->path);
    return RC_OK;
}

static int login_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct login_opts *o = options;
    AUTO(contexts_done) struct contexts contexts = { 0 };
    AUTO(buf_done_secret) struct buf body = BUF(64 << 10);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    AUTO_FREE char *path = contexts_path(o->g.config);
    AUTO_FREE char *name = o->name ? xstrdup(o->name) : NULL;
    const struct node *root;
    /* A file that is not ours is refused now: a session made first would be one nobody can log out of. */
    if (contexts_load(&contexts, path, &cli->err) < 0 || contexts_are_ours(&contexts, &cli->err) < 0)
        return RC_CONFIG;
    const char *url = args->n ? args->v[0] : o->g.server;
    if (!url && contexts.current && contexts_find(&contexts, contexts.current))
        url = contexts_find(&contexts, contexts.current)->server;
    if (!url)
        return cli_usage(cli, "say which server: muster login https://HOST:8122 --pin sha256:HEX");
    int rc = aim(cli, url, &contexts, &name);
    if (rc == RC_OK)
        rc = api_open(cli);
    if (rc == RC_OK)
        rc = ask_login(cli, o, &body);
    if (rc == RC_OK)
        rc = api_json(cli, a, "POST", "/api/v1/login", buf_as_str(&body), &root);
    return rc == RC_OK ? keep(cli, &contexts, name, root) : rc;
}

const struct cmd cmd_login = {
    .name = "login",
    .group = "Servers",
    .usage = "[URL] [--pin sha256:HEX] [--user USER]",
    .summary = "log in to a server and remember it as a context",
    .details = "The pin is the server's: muster status shows it there. It is checked before the password is "
               "sent. What is kept "
               "is a token, never the password, in ~/.config/muster/config.yaml (mode 0600).",
    .rows = login_rows,
    .n_rows = ARRAY_SIZE(login_rows),
    .size = sizeof(struct login_opts),
    .max_args = 1,
    .run = login_run,
};

/* -- logout */

static int logout_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct global_opts *g = options;
    AUTO(contexts_done) struct contexts contexts = { 0 };
    AUTO_FREE char *path = contexts_path(g->config);
    (void)args;
    if (contexts_load(&contexts, path, &cli->err) < 0)
        return RC_CONFIG;
    const char *name = g->context ? g->context : contexts.current;
    struct context *x = name ? contexts_find(&contexts, name) : NULL;
    if (!x || !x->token)
        return cli_fail(cli, RC_NOT_FOUND, name ? "context.unknown" : "context.none", "you are not logged in%s%s", name ? " to " : "",
                        name ? name : "");
    AUTO_FREE char *said = xstrdup(name);
    struct target_wish w = { .context = said };
    bool revoked = false;
    if (x->token_id && target_resolve(&cli->target, &w, &contexts, &cli->err) >= 0 &&
        api_open(cli) == RC_OK) {
        AUTO(buf_done) struct buf target = BUF(256);
        AUTO(reply_done) struct reply reply = { 0 };
        buf_printf(&target, "/api/v1/api-tokens/%llu", (unsigned long long)x->token_id);
        revoked = api_call(cli, "DELETE", buf_as_cstr(&target), STR_NONE, &reply) == RC_OK;
    }
    secret_free(x->token);
    x->token = NULL;
    x->token_id = 0;
    if (!revoked) {
        cli_note(
            cli,
            "the server could not be told (%s); the token stays good there until it expires or is revoked",
            err_is(&cli->err) ? cli->err.text : "its number is not known");
        err_reset(&cli->err);
    }
    if (contexts_save(&contexts, &cli->err) < 0)
        return RC_CONFIG;
    printf("logged out of %s\n", said);
    return RC_OK;
}

const struct cmd cmd_logout = {
    .name = "logout",
    .group = "Servers",
    .usage = "",
    .summary = "revoke the token of the current context and forget it",
    .details = "Server and pin stay, so that a later muster login needs neither.",
    .run = logout_run,
};

/* -- contexts */

struct context_row {
    struct str name, current, server, user, login;
};
static const struct field context_fields[] = {
    F_STR(struct context_row, name, "name", 4096, .flags = FIELD_ID, .column = "NAME"),
    F_STR(struct context_row, current, "current", 16, .column = "IN USE"),
    F_STR(struct context_row, server, "server", 4096, .column = "SERVER"),
    F_STR(struct context_row, user, "user", 4096, .column = "USER"),
    F_STR(struct context_row, login, "logged_in", 16, .column = "LOGGED IN"),
};
static const struct record context_record = RECORD(context_row, context_fields);

static int context_list_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct global_opts *g = options;
    AUTO(contexts_done) struct contexts c = { 0 };
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    AUTO_FREE char *path = contexts_path(g->config);
    (void)args;
    if (contexts_load(&c, path, &cli->err) < 0)
        return RC_CONFIG;
    AUTO(table_free) struct table *t = table_of(&context_record, false);
    struct jw w = JW(&out);
    bool is_json = cli_format(cli) == OUT_JSON;
    if (is_json) {
        jw_map(&w);
        jw_key(&w, "contexts");
        jw_list(&w);
    }
    for (size_t i = 0; i < c.n; i++) {
        const struct context *x = &c.v[i];
        struct context_row row = { .name = str_of(x->name),
                                   .current =
                                       c.current && strcmp(c.current, x->name) == 0 ? STR("yes") : STR("no"),
                                   .server = str_of(x->server),
                                   .user = str_of(x->user),
                                   .login = x->token ? STR("yes") : STR("no") };
        if (is_json)
            record_write(&context_record, &row, &w);
        else if (cli_format(cli) == OUT_NAME)
            print_name(&context_record, &row, &out);
        else
            table_add(t, &row, 0);
    }
    if (is_json) {
        jw_end_list(&w);
        jw_end_map(&w);
        buf_char(&out, '\n');
    } else if (!c.n) {
        cli_note(cli, "no contexts in %s; make one with: muster login URL --pin sha256:HEX", path);
    } else if (cli_format(cli) != OUT_NAME) {
        table_write(t, cli->out_color, false, &out);
    }
    return show_text(cli, &out);
}

const struct cmd cmd_context_list = {
    .name = "context list",
    .alias = "context",
    .group = "Servers",
    .usage = "",
    .summary = "list the servers muster knows",
    .run = context_list_run,
};

static int context_change(struct cli *cli, const struct global_opts *g, const char *name, bool remove)
{
    AUTO(contexts_done) struct contexts c = { 0 };
    AUTO_FREE char *path = contexts_path(g->config);
    if (contexts_load(&c, path, &cli->err) < 0)
        return RC_CONFIG;
    struct context *x = contexts_find(&c, name);
    bool is_local = !remove && strcmp(name, "-") == 0;
    if (!x && !is_local)
        return cli_fail(cli, RC_NOT_FOUND, "context.unknown", "there is no context %s in %s", name, path);
    if (remove)
        contexts_remove(&c, x);
    else
        replace(&c.current, is_local ? NULL : xstrdup(name));
    if (contexts_save(&c, &cli->err) < 0)
        return RC_CONFIG;
    if (remove)
        printf("%s is forgotten\n", name);
    else
        printf("%s is in use\n", is_local ? "the local socket" : name);
    return RC_OK;
}

static int context_use_run(struct cli *cli, const void *options, const struct args *args)
{
    return context_change(cli, options, args->v[0], false);
}
static int context_remove_run(struct cli *cli, const void *options, const struct args *args)
{
    return context_change(cli, options, args->v[0], true);
}

const struct cmd cmd_context_use = {
    .name = "context use",
    .group = "Servers",
    .usage = "NAME|-",
    .summary = "talk to this server from now on; - is the local socket",
    .min_args = 1,
    .max_args = 1,
    .run = context_use_run,
};
const struct cmd cmd_context_remove = {
    .name = "context remove",
    .group = "Servers",
    .usage = "NAME",
    .summary = "forget a server",
    .min_args = 1,
    .max_args = 1,
    .run = context_remove_run,
};
