/* agent/dialects/argus_jobs.c - the answer to a poll. See argus.h. Any thread. */
#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/json_mend.h"
#include "codec/record.h"

/* A recorded environment may hold anything; what is no text is left out, and costs nobody the command. */
static size_t strings_only(struct node *job)
{
    struct node *payload = (struct node *)(uintptr_t)node_get(job, "payload");
    struct node *env = payload ? (struct node *)(uintptr_t)node_get(payload, "env") : NULL;
    size_t n = 0;

    if (!env || env->type != NODE_MAP)
        return 0;
    for (struct node **pp = &env->child; *pp;) {
        if ((*pp)->type == NODE_STR) {
            pp = &(*pp)->next;
            continue;
        }
        *pp = (*pp)->next;
        env->n--;
        n++;
    }
    return n;
}

static bool is_mended(struct str s)
{
    return str_find(s, STR("\xef\xbf\xbd")) >= 0;
}

/* Characters that are no text, read as U+FFFD: a variable with one is left out, like one that is a number. Where they would change what is
 * run, the command is not. */
static bool is_run_mended(const struct node *job)
{
    static const char *const run[] = { "command", "cwd", "overrides", "source_batch_id" };
    const struct node *payload = node_get(job, "payload"), *n;

    for (size_t i = 0; i < ARRAY_SIZE(run); i++) {
        AUTO(buf_done) struct buf b = BUF(2 * ARGUS_REPLY_BYTES);

        n = node_get(payload, run[i]);
        if (n && (node_write(n, &b) < 0 || is_mended(buf_as_str(&b))))
            return true;
    }
    return false;
}

static void blank_out_mended(struct node *job)
{
    const struct node *payload = node_get(job, "payload"), *env = payload ? node_get(payload, "env") : NULL;

    for (struct node *n = env && env->type == NODE_MAP ? env->child : NULL; n; n = n->next)
        if (is_mended(n->key) || (n->type == NODE_STR && is_mended(n->s)))
            n->type = NODE_NULL;
}

/* 0 and the row's tree, as it stands, or mended where that changes nothing of what is run; or -errno and why it is not to be obeyed. Then
 * *@ret may be a tree to name it by. */
static int parse_row(struct arena *a, struct str row, struct node **ret, struct err *err)
{
    struct node *n;
    struct str text;
    int r = json_parse(a, row, row.len, ret, err);

    if (r == 0 || json_parse_python(a, row, row.len, ret, NULL) < 0)
        return r;
    if (json_mend_text(a, row, &text) < 0 || json_parse(a, text, text.len, &n, NULL) < 0 || is_run_mended(n))
        return r;
    blank_out_mended(n);
    *ret = n;
    return 0;
}

static struct str name_in(const struct node *n, struct str row, const char *key)
{
    const struct node *value = n ? node_get(n, key) : NULL;

    if (!n)
        return json_row_text(row, key);
    return value && value->type == NODE_STR ? value->s : STR_NONE;
}

static void read_job(struct arena *a, struct str row, argus_job_fn fn, void *ctx)
{
    struct argus_job job = { 0 }, bare = { 0 };
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct node *n = NULL;
    int r = parse_row(a, row, &n, &err);
    size_t n_left_out;

    bare.id = name_in(n, row, "id");
    if (!argus__id_is_safe(bare.id)) {
        log_warn("job.unreadable", "a command without a usable id is left alone");
        return;
    }
    n_left_out = r == 0 ? strings_only(n) : 0;
    if (n_left_out > 0)
        log_debug("job.env", "variables that are no text are left out", LOG_STR("command", bare.id), LOG_U64("n", n_left_out));
    if (r == 0 && record_decode(&argus_command_record, a, n, &job, &errs) == 0) {
        fn(ctx, &job, NULL);
        return;
    }
    if (r == 0)
        (void)err_set(&err, -EINVAL, errs.v[0].slug, "%s %s", errs.v[0].path, errs.v[0].text);
    err_prefix(&err, "this command cannot be read");
    log_debug("job.unreadable", "a command cannot be read", LOG_STR("command", bare.id), LOG_CSTR("why", err.text));
    bare.kind = name_in(n, row, "kind");
    bare.batch_id = name_in(n, row, "batch_id");
    fn(ctx, &bare, err.text);
}

int argus__jobs_each(struct str body, argus_job_fn fn, void *ctx, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct json_rows jobs;
    struct str row;
    int r = json_split(a, body, ARGUS_REPLY_BYTES, "jobs", &jobs, err);

    if (r < 0)
        return r;
    if (r == JSON_NO_LIST)
        return err_set(err, -EBADMSG, "argus.reply", "the answer to a poll has no list of jobs");
    while (json_rows_next(&jobs, &row)) {
        arena_reset(a); /* each has all of it: the rows are in @body */
        read_job(a, row, fn, ctx);
    }
    return (int)jobs.n;
}
