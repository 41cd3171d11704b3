/* wire/job.c - see job.h. Times are microseconds: the column must give back exactly what was put. */
#include "wire/job.h"

#include "base/limits.h"

const struct name job_kind_names[] = {
    { JOB_KIND_COMMAND, "command" }, { JOB_KIND_RERUN, "rerun" }, { JOB_KIND_STOP, "stop" }, NAMES_END,
};

static const struct field job_spec_fields[] = {
    F_ENUM(struct job_spec, kind, "kind", job_kind_names, .help = "What kind of order; absent: command."),
    F_STR(struct job_spec, subject, "subject", JOB_SUBJECT_MAX, .flags = FIELD_OMIT,
          .help = "What it is about: the id of a run."),
    F_STR_LIST(struct job_spec, argv, "argv", LIMIT_ARGV, LIMIT_ARG_BYTES, .help = "Program and arguments."),
    F_STR(struct job_spec, shell, "shell", LIMIT_ARG_BYTES, .flags = FIELD_OMIT,
          .help = "Shell text it was made from."),
    F_STR(struct job_spec, user, "user", LIMIT_NAME, .flags = FIELD_OMIT, .help = "User on the host."),
    F_STR(struct job_spec, cwd, "cwd", 4096, .flags = FIELD_OMIT, .help = "Working directory on the host."),
    F_MAP(struct job_spec, env, "env", 1024, LIMIT_ARG_BYTES, .flags = FIELD_OMIT,
          .help = "Added to the environment."),
    F_U64(struct job_spec, timeout, "timeout_us", .flags = FIELD_OMIT,
          .help = "Longest run, microseconds from start."),
    F_U64(struct job_spec, grace, "grace_us", .help = "Between SIGTERM and SIGKILL, microseconds."),
    F_U32(struct job_spec, max_parallel, "max_parallel", .flags = FIELD_OMIT,
          .help = "Hosts at once; 0: all."),
    F_U64(struct job_spec, output_cap_bytes, "output_cap_bytes", .help = "Kept of each stream."),
    F_BOOL(struct job_spec, stdin_open, "stdin_open", .flags = FIELD_OMIT, .help = "More input may follow."),
};
const struct record job_spec_record = RECORD(job_spec, job_spec_fields);
