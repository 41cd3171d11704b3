/* cli/cmd_users.c - people and their roles. Passwords come from a file, a pipe or the terminal, never from
 * argv. */
#include "base/mem.h"
#include "cli/ask.h"
#include "cli/show.h"

static const struct name role_names[] = { { 0, "viewer" }, { 1, "operator" }, { 2, "admin" }, NAMES_END };

struct user_opts {
    struct global_opts g;
    int role;
    char *password_file, *old_password_file;
};
#define O(m) offsetof(struct user_opts, m)
static const struct conf_row add_rows[] = {
    { "role", 'r', CONF_ENUM, O(role), .value = "viewer", .names = role_names, .help = "what they may do" },
    { "password-file", 0, CONF_STR, O(password_file), .arg = "FILE",
      .help = "read the password from here; - is standard input" },
};
static const struct conf_row passwd_rows[] = {
    { "password-file", 0, CONF_STR, O(password_file), .arg = "FILE",
      .help = "read the new password from here; - is standard input" },
    { "old-password-file", 0, CONF_STR, O(old_password_file), .arg = "FILE",
      .help = "read the old password from here" },
};
#undef O

/* Sends @w's finished document, which holds a password, and says @done. */
static int send(struct cli *cli, const char *method, const char *target, struct jw *w, const struct buf *body,
                const char *done)
{
    if (jw_done(w) < 0)
        return cli_usage(cli, "that is too long");
    return show_done(cli, method, target, buf_as_str(body), done);
}

static int add_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct user_opts *o = options;
    AUTO(buf_done_secret) struct buf body = BUF(64 << 10);
    struct jw w = JW(&body);
    char *password = ask_password(o->password_file, "Password: ", "Again: ", &cli->err);
    if (!password)
        return RC_USAGE;
    jw_map(&w);
    jw_key(&w, "name");
    jw_cstr(&w, args->v[0]);
    jw_key(&w, "role");
    jw_cstr(&w, name_of(role_names, o->role));
    jw_key(&w, "password");
    jw_cstr(&w, password);
    jw_end_map(&w);
    secret_free(password);
    return send(cli, "POST", "/api/v1/users", &w, &body, "added");
}

const struct cmd cmd_user_add = {
    .name = "user add",
    .group = "People",
    .usage = "NAME [--role viewer|operator|admin] [--password-file FILE]",
    .summary = "add a user",
    .details = "The password is asked for on the terminal, or read from a pipe or a file; one trailing "
               "newline is cut.",
    .rows = add_rows,
    .n_rows = ARRAY_SIZE(add_rows),
    .size = sizeof(struct user_opts),
    .min_args = 1,
    .max_args = 1,
    .run = add_run,
};

static int list_run(struct cli *cli, const void *options, const struct args *args)
{
    (void)options;
    (void)args;
    return show_list(
        cli, &(struct show_list){ .target = "/api/v1/users",
                                  .key = "users",
                                  .rec = &user_view_record,
                                  .none = "no users. Add one with: muster user add NAME --role admin" });
}

const struct cmd cmd_user_list = {
    .name = "user list",
    .alias = "users",
    .group = "People",
    .usage = "",
    .summary = "list users",
    .run = list_run,
};

/* Whether @name is who we are, by password: then the server wants the old one too. Its own name when @name is
 * NULL. */
static int whoami(struct cli *cli, const char *name, char **ret_name, bool *ret_own)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    const struct node *root;
    int rc = api_json(cli, a, "GET", "/api/v1/whoami", STR_NONE, &root);
    if (rc != RC_OK)
        return rc;
    struct str me = node_text(root, "name");
    *ret_own = !name || str_is(me, name);
    if (!cli->target.unix_path || name) {
        *ret_name = name ? xstrdup(name) : str_dup(me);
        return RC_OK;
    }
    return cli_usage(cli, "the local administrator has no password; say whose");
}

static int passwd_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct user_opts *o = options;
    AUTO(buf_done_secret) struct buf body = BUF(64 << 10);
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    AUTO_FREE char *name = NULL;
    bool is_own = false;
    int rc = whoami(cli, args->n ? args->v[0] : NULL, &name, &is_own);
    if (rc != RC_OK)
        return rc;
    char *old = NULL;
    if (o->old_password_file || (is_own && !cli->target.unix_path && !o->password_file)) {
        old = ask_password(o->old_password_file, "Old password: ", NULL, &cli->err);
        if (!old)
            return RC_USAGE;
    }
    char *password = ask_password(o->password_file, "New password: ", "Again: ", &cli->err);
    if (!password) {
        secret_free(old);
        return RC_USAGE;
    }
    struct jw w = JW(&body);
    jw_map(&w);
    jw_key(&w, "password");
    jw_cstr(&w, password);
    if (old) {
        jw_key(&w, "old_password");
        jw_cstr(&w, old);
    }
    jw_end_map(&w);
    secret_free(old);
    secret_free(password);
    api_path(&target, "users", name, NULL);
    return send(cli, "PATCH", buf_as_cstr(&target), &w, &body, "changed");
}

const struct cmd cmd_user_passwd = {
    .name = "user passwd",
    .group = "People",
    .usage = "[NAME] [--password-file FILE]",
    .summary = "change a password: your own, or as admin anyone's",
    .rows = passwd_rows,
    .n_rows = ARRAY_SIZE(passwd_rows),
    .size = sizeof(struct user_opts),
    .max_args = 1,
    .run = passwd_run,
};

static int set_disabled(struct cli *cli, const char *name, bool disabled)
{
    AUTO(buf_done) struct buf body = BUF(256);
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    struct jw w = JW(&body);
    jw_map(&w);
    jw_key(&w, "disabled");
    jw_bool(&w, disabled);
    jw_end_map(&w);
    api_path(&target, "users", name, NULL);
    return send(cli, "PATCH", buf_as_cstr(&target), &w, &body, disabled ? "disabled" : "enabled");
}

static int disable_run(struct cli *cli, const void *options, const struct args *args)
{
    (void)options;
    return set_disabled(cli, args->v[0], true);
}
static int enable_run(struct cli *cli, const void *options, const struct args *args)
{
    (void)options;
    return set_disabled(cli, args->v[0], false);
}

const struct cmd cmd_user_disable = {
    .name = "user disable",
    .group = "People",
    .usage = "NAME",
    .summary = "lock a user out, tokens included",
    .min_args = 1,
    .max_args = 1,
    .run = disable_run,
};
const struct cmd cmd_user_enable = {
    .name = "user enable",
    .group = "People",
    .usage = "NAME",
    .summary = "let a disabled user in again",
    .min_args = 1,
    .max_args = 1,
    .run = enable_run,
};

static int role_run(struct cli *cli, const void *options, const struct args *args)
{
    AUTO(buf_done) struct buf body = BUF(4096);
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    struct jw w = JW(&body);
    (void)options;
    if (name_value(role_names, str_of(args->v[1])) < 0)
        return cli_usage(cli, "%s is no role: viewer, operator or admin", args->v[1]);
    jw_map(&w);
    jw_key(&w, "role");
    jw_cstr(&w, args->v[1]);
    jw_end_map(&w);
    api_path(&target, "users", args->v[0], NULL);
    return send(cli, "PATCH", buf_as_cstr(&target), &w, &body, "changed");
}

const struct cmd cmd_user_role = {
    .name = "user role",
    .group = "People",
    .usage = "NAME viewer|operator|admin",
    .summary = "change what a user may do",
    .min_args = 2,
    .max_args = 2,
    .run = role_run,
};
