/* cli/cmd_tokens.c - API tokens: for scripts, and what login leaves behind. */
#include <stdio.h>

#include "base/mem.h"
#include "cli/each.h"
#include "cli/show.h"

static const struct name role_names[] = {
    { 0, "own" }, { 1, "viewer" }, { 2, "operator" }, { 3, "admin" }, NAMES_END
};

struct api_token_opts {
    struct global_opts g;
    int role;
    usec_t ttl;
    char *user;
    bool all;
};
#define O(m) offsetof(struct api_token_opts, m)
static const struct conf_row create_rows[] = {
    { "role", 'r', CONF_ENUM, O(role), .value = "own", .names = role_names,
      .help = "what it may do; never more than you" },
    { "ttl", 0, CONF_DURATION, O(ttl), .help = "how long it is good for; without it: until revoked" },
    { "user", 0, CONF_STR, O(user), .arg = "NAME", .help = "for this user (admins)" },
};
static const struct conf_row list_rows[] = {
    { "all", 'a', CONF_BOOL, O(all), .help = "everybody's (admins)" },
};
#undef O

static int create_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct api_token_opts *o = options;
    AUTO(buf_done) struct buf body = BUF(16 << 10);
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    struct jw w = JW(&body);
    const struct node *root;
    jw_map(&w);
    jw_key(&w, "name");
    jw_cstr(&w, args->v[0]);
    if (o->role) {
        jw_key(&w, "role");
        jw_cstr(&w, name_of(role_names, o->role));
    }
    if (o->ttl) {
        jw_key(&w, "ttl");
        jw_u64(&w, o->ttl / USEC_PER_SEC);
    }
    if (o->user) {
        jw_key(&w, "user");
        jw_cstr(&w, o->user);
    }
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the name is too long");
    int rc = show_or_parse(cli, "POST", "/api/v1/api-tokens", buf_as_str(&body), a, &root);
    if (!root)
        return rc;
    printf("%.*s\n", STR_FMT(node_text(root, "token")));
    if (cli->err_tty)
        cli_note(cli, "this is the only time it is shown");
    return RC_OK;
}

const struct cmd cmd_api_token_create = {
    .name = "api-token create",
    .group = "People",
    .usage = "NAME [--role ROLE] [--ttl D]",
    .summary = "make a token for a script",
    .details = "Printed once. Give it to scripts as MUSTER_TOKEN or in a file named by MUSTER_TOKEN_FILE.",
    .rows = create_rows,
    .n_rows = ARRAY_SIZE(create_rows),
    .size = sizeof(struct api_token_opts),
    .min_args = 1,
    .max_args = 1,
    .run = create_run,
};

static int list_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct api_token_opts *o = options;
    (void)args;
    return show_list(
        cli, &(struct show_list){ .target = o->all ? "/api/v1/api-tokens?all=true" : "/api/v1/api-tokens",
                                  .key = "tokens",
                                  .rec = &api_token_view_record,
                                  .none = o->all ? "no API tokens" : "no API tokens of yours; everybody's (admins): --all" });
}

const struct cmd cmd_api_token_list = {
    .name = "api-token list",
    .alias = "api-token",
    .group = "People",
    .usage = "[--all]",
    .summary = "list API tokens (never the tokens themselves)",
    .rows = list_rows,
    .n_rows = ARRAY_SIZE(list_rows),
    .size = sizeof(struct api_token_opts),
    .run = list_run,
};

static int revoke_one(struct cli *cli, const void *options, const char *word, struct buf *json)
{
    AUTO(buf_done) struct buf target = BUF(8 << 10);
    (void)options;
    api_path(&target, "api-tokens", word, NULL);
    return each_call(cli, "DELETE", &target, STR_NONE, json);
}

static int revoke_run(struct cli *cli, const void *options, const struct args *args)
{
    return each_word(cli, args, "revoked", revoke_one, options);
}

const struct cmd cmd_api_token_revoke = {
    .name = "api-token revoke",
    .group = "People",
    .usage = "ID...",
    .summary = "make API tokens useless",
    .min_args = 1,
    .max_args = -1,
    .run = revoke_run,
};
