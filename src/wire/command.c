/* wire/command.c - see command.h. */
#include "wire/command.h"

const struct name task_outcome_names[] = {
    { OUTCOME_NONE, "none" },           { OUTCOME_EXITED, "exited" },       { OUTCOME_SIGNALED, "signaled" },
    { OUTCOME_TIMED_OUT, "timed_out" }, { OUTCOME_CANCELLED, "cancelled" }, { OUTCOME_REFUSED, "refused" },
    { OUTCOME_LOST, "lost" },           { OUTCOME_EXPIRED, "expired" },     NAMES_END,
};

const struct name output_stream_names[] = {
    { STREAM_STDOUT, "stdout" },
    { STREAM_STDERR, "stderr" },
    NAMES_END,
};
