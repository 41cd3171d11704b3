/* cli/commands.c - every verb, and how its words are found. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/cmd.h"

static const struct name format_names[] = {
    { OUT_TABLE, "table" }, { OUT_WIDE, "wide" }, { OUT_JSON, "json" }, { OUT_NAME, "name" }, NAMES_END
};

#define G "Everywhere"
#define O(m) offsetof(struct global_opts, m)
const struct conf_row global_rows[] = {
    { "server", 0, CONF_STR, O(server), .env = "MUSTER_SERVER", .arg = "URL", .group = G,
      .help = "https://HOST[:8122], http://HOST[:PORT] or unix:PATH; without it the current context or the "
              "local socket" },
    { "token", 0, CONF_STR, O(token), .env = "MUSTER_TOKEN", .flags = CONF_IS_SECRET, .arg = "TOKEN",
      .group = G, .help = "API token; better in the environment, or in a file named by MUSTER_TOKEN_FILE" },
    { "context", 0, CONF_STR, O(context), .env = "MUSTER_CONTEXT", .arg = "NAME", .group = G,
      .help = "a server remembered by muster login" },
    { "pin", 0, CONF_STR, O(pin), .env = "MUSTER_PIN", .arg = "sha256:HEX", .group = G,
      .help = "how to recognise the server: the hash muster status shows on it" },
    { "ca", 0, CONF_STR, O(ca), .env = "MUSTER_CA", .arg = "FILE", .group = G,
      .help = "how to recognise the server: certificates (PEM) that vouch for its name, instead of a pin" },
    { "config", 0, CONF_STR, O(config), .env = "MUSTER_CONFIG", .arg = "FILE", .group = G,
      .help = "contexts; without it ~/.config/muster/config.yaml" },
    { "json", 0, CONF_BOOL, O(json), .group = G, .help = "print the server's JSON" },
    { "output", 'o', CONF_ENUM, O(output), .value = "table", .names = format_names, .arg = "FORM", .group = G,
      .help = "how to print" },
    { "color", 0, CONF_BOOL, O(color), .value = "true", .group = G,
      .help = "colours on a terminal; NO_COLOR in the environment turns them off too" },
};
#undef O
#undef G
const size_t n_global_rows = ARRAY_SIZE(global_rows);

const struct cmd *const cmd_table[] = {
    &cmd_status,
    &cmd_hosts,
    &cmd_host,
    &cmd_inventory,
    &cmd_label,
    &cmd_rename,
    &cmd_link,
    &cmd_forget,
    &cmd_run,
    &cmd_jobs,
    &cmd_job,
    &cmd_cancel,
    &cmd_ports,
    &cmd_token_create,
    &cmd_token_list,
    &cmd_token_revoke,
    &cmd_pending,
    &cmd_approve,
    &cmd_reject,
    &cmd_revoke,
    &cmd_events,
    &cmd_audit,
    &cmd_user_add,
    &cmd_user_list,
    &cmd_user_passwd,
    &cmd_user_role,
    &cmd_user_disable,
    &cmd_user_enable,
    &cmd_api_token_create,
    &cmd_api_token_list,
    &cmd_api_token_revoke,
    &cmd_login,
    &cmd_logout,
    &cmd_context_list,
    &cmd_context_use,
    &cmd_context_remove,
    &cmd_ca,
    &cmd_backup,
    &cmd_completion,
    &cmd_help,
    NULL,
};

static bool is_two_words(const struct cmd *c, const char *first, const char *second)
{
    struct str rest = str_of(c->name), head;
    return str_find_char(rest, ' ') > 0 && str_cut(&rest, ' ', &head) && str_is(head, first) &&
           str_is(rest, second);
}

const struct cmd *cmd_find(char **v, int n, int *ret_words)
{
    for (size_t i = 0; n > 1 && cmd_table[i]; i++) {
        if (!is_two_words(cmd_table[i], v[0], v[1]))
            continue;
        *ret_words = 2;
        return cmd_table[i];
    }
    for (size_t i = 0; n > 0 && cmd_table[i]; i++) {
        const struct cmd *c = cmd_table[i];
        if (strcmp(c->name, v[0]) != 0 && (!c->alias || strcmp(c->alias, v[0]) != 0))
            continue;
        *ret_words = 1;
        return c;
    }
    return NULL;
}

struct conf_row *cmd_rows(const struct cmd *cmd, size_t *ret_n)
{
    size_t n_own = cmd ? cmd->n_rows : 0;
    struct conf_row *rows = xcalloc(n_own + n_global_rows, sizeof(*rows));
    if (n_own)
        memcpy(rows, cmd->rows, n_own * sizeof(*rows));
    memcpy(rows + n_own, global_rows, n_global_rows * sizeof(*rows));
    *ret_n = n_own + n_global_rows;
    return rows;
}
