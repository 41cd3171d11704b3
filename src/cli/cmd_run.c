/* cli/cmd_run.c - muster run: one command on many hosts, as if it were here. */
#include <errno.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/follow.h"
#include "cli/pump.h"
#include "cli/show.h"
#include "cli/views.h"

struct run_opts {
    struct global_opts g;
    char *selector, *user, *cwd;
    struct conf_map labels, env;
    bool all, use_stdin, shell, detach;
    usec_t timeout, deadline, grace, wait;
    uint32_t max_parallel;
    uint64_t output_cap;
};

#define O(m) offsetof(struct run_opts, m)
static const struct conf_row run_rows[] = {
    { "target", 't', CONF_STR, O(selector), .arg = "SELECTOR",
      .help = "hosts whose labels match: role=web,env!=test,name=web-*" },
    { "label", 'l', CONF_LIST, O(labels), .arg = "K=V",
      .help = "hosts with this label; several must all hold" },
    { "all", 'a', CONF_BOOL, O(all), .help = "every host" },
    { "timeout", 0, CONF_DURATION, O(timeout),
      .help = "end it this long after its start on the host (exit code 6); 0: never" },
    { "user", 'u', CONF_STR, O(user), .arg = "USER", .help = "run as this user of the host" },
    { "cwd", 0, CONF_STR, O(cwd), .arg = "DIR", .help = "run in this directory of the host" },
    { "env", 'e', CONF_MAP, O(env), .arg = "K=V", .help = "set a variable; may be repeated" },
    { "stdin", 'i', CONF_BOOL, O(use_stdin), .help = "send our standard input" },
    { "shell", 's', CONF_BOOL, O(shell), .help = "give the words to /bin/sh -c on the host" },
    { "max-parallel", 'p', CONF_U32, O(max_parallel), .help = "at most this many hosts at once; 0: all" },
    { "detach", 'd', CONF_BOOL, O(detach),
      .help = "only leave the order; hosts that are away get it when they return" },
    { "deadline", 0, CONF_DURATION, O(deadline),
      .help = "how long the order waits for hosts that are away; 1h if not given" },
    { "grace", 0, CONF_DURATION, O(grace),
      .help = "between SIGTERM and SIGKILL when it is ended; 10s if not given, 0s: none" },
    { "wait", 0, CONF_DURATION, O(wait), .value = "10s",
      .help = "without --detach: how long to wait for hosts that are away" },
    { "output-cap", 0, CONF_SIZE, O(output_cap), .help = "bytes kept of each stream; 64MiB if not given" },
};
#undef O

/* Of a grace 0 is a value: none. Of the others it is what the server takes when nothing is said. */
static void put_duration(const struct cli *cli, struct jw *w, const char *key, usec_t v)
{
    if (!conf_is_given(cli->conf, key))
        return;
    jw_key(w, key);
    jw_f64(w, (double)v / 1e6);
}

static void put_text(struct jw *w, const char *key, const char *v)
{
    if (!v)
        return;
    jw_key(w, key);
    jw_cstr(w, v);
}

static int check_targets(struct cli *cli, const struct run_opts *o, int n_hosts)
{
    int ways = (n_hosts > 0) + (o->selector || o->labels.n) + o->all;
    if (ways == 0)
        return cli_usage(cli, "say where: host names, -t SELECTOR, -l LABEL or --all");
    if (ways > 1)
        return cli_usage(cli, "host names, a selector and --all exclude each other");
    return RC_OK;
}

static void put_targets(struct jw *w, const struct run_opts *o, const struct args *args, int n_hosts)
{
    jw_key(w, "targets");
    jw_map(w);
    if (o->all) {
        jw_key(w, "all");
        jw_bool(w, true);
    } else if (n_hosts) {
        jw_key(w, "hosts");
        jw_list(w);
        for (int i = 0; i < n_hosts; i++)
            jw_cstr(w, args->v[i]);
        jw_end_list(w);
    } else {
        AUTO(buf_done) struct buf b = BUF(LIMIT_JSON_BYTES);
        if (o->selector)
            buf_cstr(&b, o->selector);
        for (size_t i = 0; i < o->labels.n; i++)
            buf_printf(&b, "%s%s", b.len ? "," : "", o->labels.v[i].value);
        jw_key(w, "selector");
        jw_str(w, buf_as_str(&b));
    }
    jw_end_map(w);
}

static void put_command(struct jw *w, const struct run_opts *o, const struct args *args)
{
    if (!o->shell) {
        jw_key(w, "argv");
        jw_list(w);
        for (int i = args->dash; i < args->n; i++)
            jw_cstr(w, args->v[i]);
        jw_end_list(w);
        return;
    }
    AUTO(buf_done) struct buf b = BUF(LIMIT_JSON_BYTES);
    for (int i = args->dash; i < args->n; i++)
        buf_printf(&b, "%s%s", i > args->dash ? " " : "", args->v[i]);
    jw_key(w, "shell");
    jw_str(w, buf_as_str(&b));
}

static void put_env(struct jw *w, const struct conf_map *env)
{
    if (!env->n)
        return;
    jw_key(w, "env");
    jw_map(w);
    for (size_t i = 0; i < env->n; i++) {
        jw_key(w, env->v[i].key);
        jw_cstr(w, env->v[i].value);
    }
    jw_end_map(w);
}

/* Input: all of it with the job when it is here already and small, else later through the pump. */
static int put_stdin(struct cli *cli, struct jw *w, const struct run_opts *o, struct pump **ret_pump)
{
    enum { WAIT_MS = 50, DETACH_WAIT_MS = -1 };
    if (!o->use_stdin)
        return RC_OK;
    AUTO(buf_done) struct buf first = BUF(PUMP_INLINE);
    int r = pump_read_ahead(STDIN_FILENO, o->detach ? DETACH_WAIT_MS : WAIT_MS, &first);
    if (r < 0)
        return cli_fail(cli, RC_FAILED, "stdin", "cannot read standard input: %s", strerror(-r));
    if (r == 1) {
        AUTO(buf_done) struct buf b = BUF(2 * PUMP_INLINE);
        (void)base64_encode(&b, buf_as_str(&first));
        jw_key(w, "stdin");
        jw_str(w, buf_as_str(&b));
        return RC_OK;
    }
    if (o->detach)
        return cli_usage(cli, "with --detach, standard input may have at most %d KiB", PUMP_INLINE >> 10);
    jw_key(w, "stdin_open");
    jw_bool(w, true);
    *ret_pump = pump_new(cli, STDIN_FILENO, &first);
    return RC_OK;
}

static int build(struct cli *cli, const struct run_opts *o, const struct args *args, struct buf *body,
                 struct pump **ret_pump)
{
    struct jw w = JW(body);
    jw_map(&w);
    put_targets(&w, o, args, args->dash);
    put_command(&w, o, args);
    put_text(&w, "user", o->user);
    put_text(&w, "cwd", o->cwd);
    put_env(&w, &o->env);
    put_duration(cli, &w, "timeout", o->timeout);
    put_duration(cli, &w, "deadline", o->deadline);
    put_duration(cli, &w, "grace", o->grace);
    if (o->max_parallel) {
        jw_key(&w, "max_parallel");
        jw_u64(&w, o->max_parallel);
    }
    if (conf_is_given(cli->conf, "output-cap")) {
        jw_key(&w, "output_cap");
        jw_u64(&w, o->output_cap);
    }
    int rc = put_stdin(cli, &w, o, ret_pump);
    if (rc != RC_OK)
        return rc;
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return cli_usage(cli, "the command is too long: at most %d bytes", LIMIT_COMMAND_BYTES);
    return RC_OK;
}

static int detach(struct cli *cli, struct str body)
{
    AUTO(reply_done) struct reply reply = { 0 };
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    int rc = api_call(cli, "POST", "/api/v1/jobs", body, &reply);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_JSON)
        return show_reply(cli, &reply);
    struct node *root;
    struct job_view v = { 0 };
    if (json_parse(a, buf_as_str(&reply.body), REPLY_MAX, &root, &cli->err) < 0)
        return RC_FAILED;
    rc = view_read(cli, a, &job_view_record, root, &v);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_NAME)
        printf("%llu\n", (unsigned long long)v.id);
    else
        printf("job %llu is on its way to %llu host%s; watch it with: muster job %llu --follow\n",
               (unsigned long long)v.id, (unsigned long long)v.counts.total, v.counts.total == 1 ? "" : "s",
               (unsigned long long)v.id);
    return RC_OK;
}

static void on_created(void *ctx, uint64_t job_id)
{
    if (ctx)
        pump_start(ctx, job_id);
}

static int run(struct cli *cli, const void *options, const struct args *args)
{
    const struct run_opts *o = options;
    if (args->dash < 0 || args->dash == args->n)
        return cli_usage(cli, "put -- before the command: muster run HOST -- uptime");
    if ((o->user && !*o->user) || (o->cwd && !*o->cwd)) /* a variable that is not set must not mean root */
        return cli_usage(cli, "--%s is empty; leave it out to take the agent's own", o->user && !*o->user ? "user" : "cwd");
    int rc = check_targets(cli, o, args->dash);
    if (rc != RC_OK)
        return rc;
    AUTO(buf_done) struct buf body = BUF(LIMIT_JSON_BYTES);
    struct pump *pump = NULL;
    rc = build(cli, o, args, &body, &pump);
    if (rc == RC_OK && o->detach)
        rc = detach(cli, buf_as_str(&body));
    else if (rc == RC_OK)
        rc = follow_job(cli, &(struct follow_conf){ .body = buf_as_str(&body),
                                                    .live = true,
                                                    .may_give_up = true,
                                                    .offline_wait = o->wait,
                                                    .cancel_on_interrupt = true,
                                                    .created = on_created,
                                                    .ctx = pump });
    pump_free(pump);
    return rc;
}

const struct cmd cmd_run = {
    .name = "run",
    .group = "Work",
    .usage = "[HOST...] [OPTION...] -- CMD ARG...",
    .summary = "run a command on hosts and show its output",
    .details = "The words after -- are the command, exactly: no shell sees them unless --shell is given. "
               "Output comes as it "
               "is produced. For one host it is passed on byte for byte and muster ends with the command's "
               "own exit code "
               "(128 and the number for a signal). For several, each line starts with its host, and muster "
               "ends with 0 only "
               "if all succeeded, 3 if some did, 1 if none did. A host that is not connected is waited for "
               "10 seconds; then "
               "the job is cancelled, so that nothing runs later by surprise, and muster ends with 6; so it is with a host that "
               "falls silent before it said that the command began (it is found out within half a minute). Ctrl-C cancels; a "
               "second one leaves.",
    .rows = run_rows,
    .n_rows = ARRAY_SIZE(run_rows),
    .size = sizeof(struct run_opts),
    .max_args = -1,
    .takes_dash = true,
    .takes_host = true,
    .run = run,
};
