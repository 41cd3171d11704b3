/* cli/each.c - see each.h. */
#include "cli/each.h"

#include <stdio.h>

#include "base/mem.h"
#include "cli/print.h"
#include "cli/show.h"

int each_word(struct cli *cli, const struct args *args, const char *done, each_fn one, const void *options)
{
    int failed = 0, last = RC_OK;
    AUTO(buf_done) struct buf json = BUF(PRINT_MAX);
    for (int i = 0; i < args->n; i++) {
        int rc = one(cli, options, args->v[i], &json);
        if (rc == RC_OK) {
            if (cli_format(cli) != OUT_JSON)
                printf("%s: %s\n", args->v[i], done);
            continue;
        }
        failed++;
        last = rc;
        if (args->n > 1) { /* a single one is reported by main() */
            cli_note(cli, "%s: %s: %s", args->v[i], cli->err.slug, cli->err.text);
            err_reset(&cli->err);
        }
    }
    int rc = json.len ? show_text(cli, &json) : RC_OK;
    if (rc != RC_OK)
        return rc;
    return failed == 0 ? RC_OK : failed < args->n ? RC_PARTIAL : last;
}

int each_call(struct cli *cli, const char *method, const struct buf *target, struct str body,
              struct buf *json)
{
    AUTO(reply_done) struct reply reply = { 0 };
    AUTO_FREE char *path = str_dup(buf_as_str(target));
    int rc = api_call(cli, method, path, body, &reply);
    if (rc == RC_OK && cli_format(cli) == OUT_JSON) {
        (void)buf_str(json, str_trim(buf_as_str(&reply.body)));
        buf_char(json, '\n');
    }
    return rc;
}
