/* agent/dialects/grapheon.c - muster-agent as the agent of a Graphēon server. See grapheon.h. */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/grapheon_release.h"
#include "agent/dialects/personality.h"
#include "base/fd.h"

static int print(int (*make)(const char *program, struct buf *out), int (*page)(struct buf *out))
{
    AUTO(buf_done) struct buf b = BUF(1 << 20);
    int r = make ? make("grapheon-agent", &b) : page(&b);

    return r == 0 && fd_write_all(STDOUT_FILENO, b.ptr, b.len) == 0 ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
}

static int wrong_usage(const struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(4096);

    (void)grapheon__usage("grapheon-agent", &b);
    (void)buf_printf(&b, "grapheon-agent: error: %s (--help says more)\n", err->text);
    (void)fd_write_all(STDERR_FILENO, b.ptr, b.len);
    return GRAPHEON_EXIT_USAGE;
}

static int grapheon_main(int argc, char **argv)
{
    AUTO(grapheon__options_done) struct grapheon_options o = { 0 };
    struct err err = { 0 };
    int r;

    if (argc > 1 && strcmp(argv[1], "verify") == 0)
        return grapheon__verify(argc - 1, argv + 1); /* has flags of its own, and needs no settings */
    r = grapheon__options(&o, argc, argv, &err);
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    grapheon__say_level(o.log_level);
    if (o.help)
        return print(grapheon__help, NULL);
    if (r < 0 && strcmp(err.slug, "usage") == 0)
        return wrong_usage(&err);
    if (r < 0) {
        grapheon__say(SAY_ERROR, "%s", err.text);
        return o.fine_codes ? GRAPHEON_EXIT_CONFIG : GRAPHEON_EXIT_FAILED;
    }
    if (o.man)
        return print(NULL, grapheon__man);
    if (o.version)
        return printf("grapheon-agent %s (muster)\n", MUSTER_VERSION) > 0 ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
    if (o.word)
        return grapheon__status(&o);
    if (o.check_config)
        return grapheon__check_config(&o);
    if (o.print_report)
        return grapheon__print_report(&o);
    return grapheon__run(&o);
}

const struct personality personality_grapheon = {
    .name = "grapheon",
    .argv0 = "grapheon-agent",
    .summary = "one-shot collector of a Graphēon server",
    .main = grapheon_main,
};
