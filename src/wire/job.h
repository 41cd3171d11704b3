/* wire/job.h - what a job asks for, apart from whom: as it is kept and shown. Strings are borrowed.
 *
 * Typed on purpose: control fills and reads these members, store turns them into a text column by job_spec_record, api shows
 * them. Input bytes (stdin) are not part of it: they are secret more often than not and never shown. */
#ifndef MUSTER_WIRE_JOB_H
#define MUSTER_WIRE_JOB_H

#include "base/clock.h"
#include "base/field.h"

/* Numbers are only in memory: the column has the names. */
enum job_kind {
    JOB_KIND_COMMAND, /* run argv */
    JOB_KIND_RERUN,   /* run again what @subject names */
    JOB_KIND_STOP,    /* end what @subject names */
};
extern const struct name job_kind_names[]; /* command rerun stop */
enum { JOB_SUBJECT_MAX = 256 };

struct job_spec {
    int kind;                  /* enum job_kind */
    struct str subject;        /* what it is about, e.g. a run's id; empty with command */
    struct str_list argv;      /* exact; with @shell: { "/bin/sh", "-c", shell } */
    struct str shell;          /* the text as asked; empty: argv was given */
    struct str user, cwd;      /* empty: the agent's own */
    struct kv_list env;
    usec_t timeout, grace;     /* from the start on the host, 0: none; between SIGTERM and SIGKILL */
    uint32_t max_parallel;     /* 0: all at once */
    uint64_t output_cap_bytes; /* a stream */
    bool stdin_open;
};
extern const struct record job_spec_record;

#endif
