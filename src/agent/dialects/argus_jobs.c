/* agent/dialects/argus_jobs.c - the answer to a poll. See argus.h. Any thread. */
#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
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

static void read_job(struct arena *a, struct node *n, argus_job_fn fn, void *ctx)
{
    const struct node *id = n->type == NODE_MAP ? node_get(n, "id") : NULL;
    struct record_errors errs;
    struct argus_job job;
    size_t n_left_out;

    if (!id || id->type != NODE_STR || !argus__id_is_safe(id->s)) {
        log_warn("job.unreadable", "a command without a usable id is left alone");
        return;
    }
    n_left_out = strings_only(n);
    if (record_decode(&argus_job_record, a, n, &job, &errs) < 0) {
        log_warn("job.unreadable", "a command is left alone", LOG_STR("command", id->s), LOG_CSTR("field", errs.v[0].path),
                 LOG_CSTR("why", errs.v[0].text));
        return;
    }
    if (n_left_out > 0)
        log_debug("job.env", "variables that are no text are left out", LOG_STR("command", id->s), LOG_U64("n", n_left_out));
    fn(ctx, &job);
}

int argus__jobs_each(struct str body, argus_job_fn fn, void *ctx, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct node *root;
    const struct node *jobs;
    int n = 0, r = json_parse(a, body, ARGUS_REPLY_BYTES, &root, err);

    if (r < 0)
        return r;
    jobs = root->type == NODE_MAP ? node_get(root, "jobs") : NULL;
    if (!jobs || jobs->type != NODE_LIST)
        return err_set(err, -EBADMSG, "argus.reply", "the answer to a poll has no list of jobs");
    for (struct node *j = jobs->child; j; j = j->next, n++)
        read_job(a, j, fn, ctx);
    return n;
}
