/* api/view_jobs.c - see view_jobs.h. */
#include "api/view_jobs.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"

struct counts_out {
    uint32_t total, queued, offered, accepted, running, succeeded, failed, cancelled, expired, lost;
};
static const struct field counts_fields[] = {
    F_U32(struct counts_out, total, "total"),     F_U32(struct counts_out, queued, "queued"),
    F_U32(struct counts_out, offered, "offered"), F_U32(struct counts_out, accepted, "accepted"),
    F_U32(struct counts_out, running, "running"), F_U32(struct counts_out, succeeded, "succeeded"),
    F_U32(struct counts_out, failed, "failed"),   F_U32(struct counts_out, cancelled, "cancelled"),
    F_U32(struct counts_out, expired, "expired"), F_U32(struct counts_out, lost, "lost"),
};
static const struct record counts_record = RECORD(counts_out, counts_fields);

struct job_out {
    uint64_t id, output_cap;
    int state, kind;
    usec_t created_at, finished_at, deadline, timeout, grace;
    struct str principal, subject, shell, user, cwd;
    struct str_list argv;
    struct kv_list env;
    uint32_t max_parallel;
    bool cancel_requested, stdin_open;
    struct counts_out counts;
};
static const struct field job_fields[] = {
    F_U64(struct job_out, id, "id", .flags = FIELD_ID),
    F_ENUM(struct job_out, state, "state", job_state_names),
    F_TIME(struct job_out, created_at, "created_at"),
    F_TIME(struct job_out, finished_at, "finished_at"),
    F_TIME(struct job_out, deadline, "deadline", .help = "Hosts that have not begun by then do not begin."),
    F_STR(struct job_out, principal, "principal", 136),
    F_ENUM(struct job_out, kind, "kind", job_kind_names),
    F_STR(struct job_out, subject, "subject", JOB_SUBJECT_MAX, .flags = FIELD_OMIT,
          .help = "What it is about: the id of a run."),
    F_STR_LIST(struct job_out, argv, "argv", LIMIT_ARGV, LIMIT_ARG_BYTES),
    F_STR(struct job_out, shell, "shell", LIMIT_ARG_BYTES, .flags = FIELD_NULLABLE),
    F_STR(struct job_out, user, "user", LIMIT_NAME, .flags = FIELD_NULLABLE),
    F_STR(struct job_out, cwd, "cwd", 4096, .flags = FIELD_NULLABLE),
    F_DURATION(struct job_out, timeout, "timeout", .flags = FIELD_NULLABLE,
               .help = "Seconds from the start on the host."),
    F_DURATION(struct job_out, grace, "grace"),
    F_U32(struct job_out, max_parallel, "max_parallel"),
    F_U64(struct job_out, output_cap, "output_cap"),
    F_BOOL(struct job_out, stdin_open, "stdin_open"),
    F_BOOL(struct job_out, cancel_requested, "cancel_requested"),
    F_SUB(struct job_out, counts, "counts", &counts_record),
};
const struct record job_record = RECORD(job_out, job_fields);
struct job_list_out {
    LIST(struct job_out) jobs;
    uint64_t next;
};
static const struct field job_list_fields[] = {
    F_LIST(struct job_list_out, jobs, "jobs", 10000, &job_record),
    F_U64(struct job_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with before=next."),
};
const struct record job_list_record = RECORD(job_list_out, job_list_fields);

void view_job(const struct job_row *j, struct jw *w)
{
    const struct job_counts *n = &j->counts;
    struct job_out o = {
        .id = j->id,
        .state = (int)j->state,
        .created_at = j->created_at,
        .finished_at = j->finished_at,
        .deadline = j->deadline,
        .principal = j->principal,
        .kind = j->spec.kind,
        .subject = j->spec.subject,
        .argv = j->spec.argv,
        .shell = j->spec.shell,
        .user = j->spec.user,
        .cwd = j->spec.cwd,
        .timeout = j->spec.timeout,
        .grace = j->spec.grace,
        .max_parallel = j->spec.max_parallel,
        .output_cap = j->spec.output_cap_bytes,
        .stdin_open = j->spec.stdin_open,
        .cancel_requested = j->cancel_requested,
        .counts = { n->total, n->queued, n->offered, n->accepted, n->running, n->succeeded, n->failed,
                    n->cancelled, n->expired, n->lost },
    };

    record_write(&job_record, &o, w);
}

struct task_out {
    uint64_t id, job_id, stdout_bytes, stderr_bytes, stdout_total, stderr_total;
    struct str host_id, host, outcome, message;
    int state;
    struct json_text exit_code, signal, shell_code;
    usec_t created_at, offered_at, started_at, finished_at;
    bool stdout_truncated, stderr_truncated;
};
static const struct field task_fields[] = {
    F_U64(struct task_out, id, "id", .flags = FIELD_ID),
    F_U64(struct task_out, job_id, "job_id"),
    F_STR(struct task_out, host_id, "host_id", 36, .flags = FIELD_NULLABLE,
          .help = "Null when the host was forgotten."),
    F_STR(struct task_out, host, "host", LIMIT_NAME, .help = "Its name at the time."),
    F_ENUM(struct task_out, state, "state", task_state_names),
    F_STR(struct task_out, outcome, "outcome", 16, .flags = FIELD_NULLABLE,
          .help = "exited, signaled, timed_out, cancelled, refused, lost or expired; null until it is done."),
    F_JSON(struct task_out, exit_code, "exit_code", 16, .help = "Integer, or null unless it exited, be it when it was cancelled or timed out."),
    F_JSON(struct task_out, signal, "signal", 16, .help = "Integer, or null unless a signal ended it."),
    F_JSON(struct task_out, shell_code, "shell_code", 16,
           .help = "What a shell would say; null until it is done."),
    F_STR(struct task_out, message, "message", 1024, .flags = FIELD_NULLABLE),
    F_TIME(struct task_out, created_at, "created_at"),
    F_TIME(struct task_out, offered_at, "offered_at"),
    F_TIME(struct task_out, started_at, "started_at"),
    F_TIME(struct task_out, finished_at, "finished_at"),
    F_U64(struct task_out, stdout_bytes, "stdout_bytes", .help = "Kept."),
    F_U64(struct task_out, stderr_bytes, "stderr_bytes"),
    F_BOOL(struct task_out, stdout_truncated, "stdout_truncated"),
    F_BOOL(struct task_out, stderr_truncated, "stderr_truncated"),
    F_U64(struct task_out, stdout_total, "stdout_total_bytes", .help = "Produced, including what a cap cut."),
    F_U64(struct task_out, stderr_total, "stderr_total_bytes"),
};
const struct record task_record = RECORD(task_out, task_fields);
struct task_list_out {
    LIST(struct task_out) tasks;
    uint64_t next;
};
static const struct field task_list_fields[] = {
    F_LIST(struct task_list_out, tasks, "tasks", 10000, &task_record),
    F_U64(struct task_list_out, next, "next", .flags = FIELD_OMIT,
          .help = "There is more: ask again with after=next."),
};
const struct record task_list_record = RECORD(task_list_out, task_list_fields);

void view_task(const struct task_row *t, struct str host_uuid, struct jw *w)
{
    char exit_code[16], signal[16], shell[16];
    bool done = t->state == TASK_DONE;
    struct task_out o = {
        .id = t->id,
        .job_id = t->job_id,
        .host_id = host_uuid,
        .host = t->host_name,
        .state = (int)t->state,
        .outcome = done ? str_of(name_of(task_outcome_names, (int)t->outcome)) : STR_NONE,
        .message = t->message,
        .created_at = t->created_at,
        .offered_at = t->offered_at,
        .started_at = t->started_at,
        .finished_at = t->finished_at,
        .stdout_bytes = t->stdout_bytes,
        .stderr_bytes = t->stderr_bytes,
        .stdout_truncated = t->stdout_truncated,
        .stderr_truncated = t->stderr_truncated,
        .stdout_total = t->stdout_total > t->stdout_bytes ? t->stdout_total : t->stdout_bytes,
        .stderr_total = t->stderr_total > t->stderr_bytes ? t->stderr_total : t->stderr_bytes,
    };

    (void)snprintf(exit_code, sizeof(exit_code), "%" PRId32, t->exit_code);
    (void)snprintf(signal, sizeof(signal), "%" PRId32, t->signal);
    (void)snprintf(shell, sizeof(shell), "%" PRId32, task_shell_code(t->outcome, t->exit_code, t->signal));
    if (done && task_has_exit_code(t->outcome, t->exit_code, t->signal, t->started_at != 0))
        o.exit_code.text = str_of(exit_code);
    if (done && t->signal != 0)
        o.signal.text = str_of(signal);
    if (done)
        o.shell_code.text = str_of(shell);
    record_write(&task_record, &o, w);
}
