/* wire/command.h - do this: what a task is asked to do, whatever accent carries it. Strings are borrowed. */
#ifndef MUSTER_WIRE_COMMAND_H
#define MUSTER_WIRE_COMMAND_H

#include "base/clock.h"
#include "base/field.h"

struct command {
    uint64_t task_id;          /* job << 20 | index would leak structure: it is the store's row id */
    struct str_list argv;      /* exact; with @shell: { "/bin/sh", "-c", text } was put here by the server */
    struct str user, cwd;
    struct kv_list env;
    usec_t timeout, grace;
    uint64_t output_cap_bytes;
    bool stdin_open;
    struct bytes stdin_data;
    usec_t start_before;       /* wall, server */
    uint64_t job_id;
};

enum task_outcome {
    OUTCOME_NONE, OUTCOME_EXITED, OUTCOME_SIGNALED, OUTCOME_TIMED_OUT, OUTCOME_CANCELLED, OUTCOME_REFUSED, OUTCOME_LOST,
    OUTCOME_EXPIRED, /* server side only: never delivered before the job's deadline */
};
extern const struct name task_outcome_names[];

enum output_stream { STREAM_STDOUT = 1, STREAM_STDERR = 2 };
extern const struct name output_stream_names[];

/* One frame of output. */
struct output_frame {
    uint64_t task_id;
    enum output_stream stream;
    uint64_t offset;
    struct str data;
};

/* The end of a task as an agent tells it. */
struct task_end {
    uint64_t task_id;
    enum task_outcome outcome;
    int32_t exit_code, signal;
    usec_t started_at, finished_at;       /* agent clock */
    usec_t sent_at;                       /* the same clock as it was told; 0: at once */
    uint64_t stdout_bytes, stderr_bytes;  /* kept */
    uint64_t stdout_total, stderr_total;  /* produced */
    bool stdout_truncated, stderr_truncated;
    struct str message;
};

#endif
