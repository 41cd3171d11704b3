/* cli/error.c - how a verb says what went wrong, and what to do next about it. See cmd.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cmd.h"

int cli_fail(struct cli *cli, int rc, const char *slug, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)err_vset(&cli->err, 0, slug, fmt, ap);
    va_end(ap);
    return rc;
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)err_vset(&cli->err, 0, "usage", fmt, ap);
    va_end(ap);
    return RC_USAGE;
}

void cli_note(const struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    (void)cli;
    fflush(stdout);
    fputs("muster: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

#define WRONG_PORT "Is that musterd, and its port for muster (8122, where agents use 8120)?"
static const struct {
    const char *slug, *hint;
} hints[] = {
    { "host.unknown", "List them with: muster hosts" },
    { "host.ambiguous", "Use the id instead: muster hosts -o wide" },
    { "host.offline", "See when it was last there: muster host NAME" },
    { "host.state", "Its state: muster host NAME" },
    { "host.name_taken", "Choose another name" },
    { "selector.empty", "See what there is: muster hosts" },
    { "selector.bad", "A selector looks like role=web,env!=test,name=web-*" },
    { "job.no_targets", "See what there is: muster hosts" },
    { "job.finished", "How it ended: muster job ID" },
    { "job.unknown", "List them with: muster jobs" },
    { "section.unknown", "List them with: muster inventory HOST" },
    { "user.exists", "Change that one with: muster user passwd, user role or user enable" },
    { "user.unknown", "List them with: muster user list" },
    { "api_token.unknown", "List them with: muster api-token list --all" },
    { "install_token.unknown", "List them with: muster token list" },
    { "context.none", "Log in with: muster login URL --pin sha256:HEX" },
    { "context.unknown", "List them with: muster context list" },
    { "auth.required", "Log in with: muster login URL --pin sha256:HEX, or set MUSTER_TOKEN" },
    { "auth.bad_credential", "Log in again with: muster login" },
    { "auth.expired", "muster login gets another token; for a script: muster api-token create NAME" },
    { "net.refused", "Is musterd running there? Its port for muster is 8122, where agents use 8120" },
    { "net.unreachable", "Is musterd running there, and is that its address?" },
    { "net.dns", "Check the name, or give the address: muster --server https://ADDRESS" },
    { "net.timeout", "Is that its address, and does nothing in between swallow the connection (a firewall)?" },
    { "tls.config", "--ca takes certificates in PEM: muster ca on the server prints the fleet's" },
    { "tls.protocol", WRONG_PORT },
    { "token.empty", "Leave --token and MUSTER_TOKEN_FILE out to use the context's own" },
    { "auth.disabled", "An admin can change that: muster user enable NAME" },
    { "rate.limited", "Wait a little and try again" },
    { "store.unavailable",
      "The server's database takes no writes; see: muster status, and musterd doctor on the server" },
    { "server.stopping", "The server is going down; try again when it is back" },
    { "server.no_pin", "Give --pin sha256:HEX (muster status shows it on the server) or --ca FILE" },
    { "server.cleartext", "Use https://, or a tunnel to its loopback address" },
    { "pin.bad", "muster status shows it on the server" },
    { "tls.pin", "If the server was set up anew, its pin is shown by muster status there. If not, somebody "
                 "is in between" },
    { "tls.untrusted", "Recognise the server by its CA: --pin sha256:HEX (muster status shows it there) or --ca FILE (muster ca prints it "
                       "there)" },
    { "tls.name", "Reach it by a name it has (musterd --tls-name NAME adds one), or recognise it by its CA alone: --pin sha256:HEX" },
    { "tls.clock", "Check the clocks of both machines" },
    { "password.bad", "Choose a longer one" },
    { "password.empty", "Type it at the terminal, pipe it, or name a file that holds it: --password-file FILE" },
    { "backup.failed", "Name a new file, in a directory that the server's user may write" },
};

const char *cli_hint(const struct err *e, char *room, size_t size)
{
    if (strcmp(e->slug, "auth.denied") == 0 && e->needs[0]) {
        if (e->login_helps)
            snprintf(room, size, "This token has less than its user: log in again with muster login, or use one made with: muster api-token create "
                                 "NAME --role %s", e->needs);
        else if (e->who[0])
            snprintf(room, size, "An admin can give that role: muster user role %s %s; a token keeps the role it was made with", e->who, e->needs);
        else
            snprintf(room, size, "It is this token that has too little: use one made with: muster api-token create NAME --role %s", e->needs);
        return room;
    }
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
        if (strcmp(hints[i].slug, e->slug) == 0)
            return hints[i].hint;
    return strncmp(e->slug, "http.", 5) == 0 ? WRONG_PORT : NULL;
}
