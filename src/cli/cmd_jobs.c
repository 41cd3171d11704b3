/* cli/cmd_jobs.c - jobs afterwards: jobs, job, cancel. */
#include <unistd.h>

#include "base/mem.h"
#include "cli/follow.h"
#include "cli/print.h"
#include "cli/show.h"

/* -- jobs */

struct jobs_opts {
    struct global_opts g;
    uint32_t limit;
};
static const struct conf_row jobs_rows[] = {
    { "limit", 'n', CONF_U32, offsetof(struct jobs_opts, limit), .value = "50", .help = "how many; 0: all" },
};

static int jobs_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct jobs_opts *o = options;
    (void)args;
    return show_list(cli, &(struct show_list){ .target = "/api/v1/jobs",
                                               .key = "jobs",
                                               .rec = &job_view_record,
                                               .limit = o->limit,
                                               .none = "no jobs yet. Try: muster run --all -- uptime" });
}

const struct cmd cmd_jobs = {
    .name = "jobs",
    .group = "Work",
    .usage = "[--limit N]",
    .summary = "list jobs, newest first",
    .rows = jobs_rows,
    .n_rows = ARRAY_SIZE(jobs_rows),
    .size = sizeof(struct jobs_opts),
    .run = jobs_run,
};

/* -- job */

struct job_opts {
    struct global_opts g;
    bool logs, follow;
};
static const struct conf_row job_rows[] = {
    { "logs", 0, CONF_BOOL, offsetof(struct job_opts, logs), .help = "its output" },
    { "follow", 'f', CONF_BOOL, offsetof(struct job_opts, follow), .help = "its output, up to its end" },
};

static int parse_id(struct cli *cli, const char *word, uint64_t *ret)
{
    if (str_to_u64(str_of(word), ret) < 0 || *ret == 0)
        return cli_usage(cli, "%s is no job number; list them with: muster jobs", word);
    return RC_OK;
}

static int job_card(struct cli *cli, uint64_t id)
{
    AUTO(reply_done) struct reply job = { 0 };
    AUTO(buf_done) struct buf target = BUF(256);
    AUTO(buf_done) struct buf out = BUF(PRINT_MAX);
    AUTO(arena_free) struct arena *a = arena_new(ARENA_MAX);
    AUTO(node_list_done) struct node_list tasks = { 0 };
    AUTO(buf_done) struct buf raw = BUF(PRINT_MAX);
    struct node *root;
    buf_printf(&target, "/api/v1/jobs/%llu", (unsigned long long)id);
    int rc = api_call(cli, "GET", buf_as_cstr(&target), STR_NONE, &job);
    if (rc != RC_OK)
        return rc;
    buf_cstr(&target, "/tasks");
    rc = api_list(cli, a, buf_as_cstr(&target), "tasks", 0, &tasks, &raw);
    if (rc != RC_OK)
        return rc;
    if (cli_format(cli) == OUT_JSON) { /* the job as it is, and its tasks as they are */
        buf_printf(&out, "{\"job\":%.*s,\"tasks\":", STR_FMT(str_trim(buf_as_str(&job.body))));
        buf_char(&out, '[');
        for (size_t i = 0; i < tasks.n; i++) {
            buf_cstr(&out, i ? "," : "");
            (void)node_write(tasks.v[i], &out);
        }
        buf_cstr(&out, "]}\n");
        return show_text(cli, &out);
    }
    struct job_view v = { 0 };
    if (json_parse(a, buf_as_str(&job.body), REPLY_MAX, &root, &cli->err) < 0)
        return RC_FAILED;
    rc = view_read(cli, a, &job_view_record, root, &v);
    if (rc != RC_OK)
        return rc;
    usec_t now = clock_wall(&clock_real);
    v.argv = (struct str_list){ 0 }; /* said by "command" already */
    v.shell = STR_NONE;
    print_object(&job_view_record, &v, now, &out);
    AUTO(table_free) struct table *t = table_of(&task_view_record, cli_format(cli) == OUT_WIDE);
    for (size_t i = 0; i < tasks.n; i++) {
        struct task_view tv = { 0 };
        rc = view_read(cli, a, &task_view_record, tasks.v[i], &tv);
        if (rc != RC_OK)
            return rc;
        table_add(t, &tv, now);
    }
    buf_char(&out, '\n');
    table_write(t, cli->out_color, cli_format(cli) == OUT_WIDE, &out);
    return show_text(cli, &out);
}

static int job_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct job_opts *o = options;
    uint64_t id;
    int rc = parse_id(cli, args->v[0], &id);
    if (rc != RC_OK)
        return rc;
    if (o->logs || o->follow)
        return follow_job(cli, &(struct follow_conf){ .job_id = id, .live = o->follow });
    return job_card(cli, id);
}

const struct cmd cmd_job = {
    .name = "job",
    .group = "Work",
    .usage = "ID [--logs] [--follow]",
    .summary = "show a job, its hosts and its output",
    .details = "--logs prints the output kept so far. --follow prints it and stays until the job ends, then "
               "ends as muster run "
               "would have; Ctrl-C leaves without touching the job.",
    .rows = job_rows,
    .n_rows = ARRAY_SIZE(job_rows),
    .size = sizeof(struct job_opts),
    .min_args = 1,
    .max_args = 1,
    .run = job_run,
};

/* -- cancel */

struct cancel_opts {
    struct global_opts g;
    usec_t grace;
};
static const struct conf_row cancel_rows[] = {
    { "grace", 0, CONF_DURATION, offsetof(struct cancel_opts, grace),
      .help = "between SIGTERM and SIGKILL; the job's own (10s) unless given; 0s: none" },
};

static int cancel_run(struct cli *cli, const void *options, const struct args *args)
{
    const struct cancel_opts *o = options;
    AUTO(buf_done) struct buf target = BUF(256);
    AUTO(buf_done) struct buf body = BUF(256);
    uint64_t id;
    int rc = parse_id(cli, args->v[0], &id);
    if (rc != RC_OK)
        return rc;
    buf_printf(&target, "/api/v1/jobs/%llu/cancel", (unsigned long long)id);
    struct jw w = JW(&body);
    jw_map(&w);
    if (conf_is_given(cli->conf, "grace")) {
        jw_key(&w, "grace");
        jw_f64(&w, (double)o->grace / 1e6);
    }
    jw_end_map(&w);
    AUTO_FREE char *done = xasprintf("job %llu is being cancelled; see it end with: muster job %llu --follow",
                                     (unsigned long long)id, (unsigned long long)id);
    return show_done(cli, "POST", buf_as_cstr(&target), buf_as_str(&body), done);
}

const struct cmd cmd_cancel = {
    .name = "cancel",
    .group = "Work",
    .usage = "JOB",
    .summary = "end a job on all its hosts",
    .rows = cancel_rows,
    .n_rows = ARRAY_SIZE(cancel_rows),
    .size = sizeof(struct cancel_opts),
    .min_args = 1,
    .max_args = 1,
    .run = cancel_run,
};
