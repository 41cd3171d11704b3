/* agent/dialects/argus_report.h - private to argus-report (argus_report*.c, argus_spool.c): events of a batch for scripts without
 * Python, and the question whether it was asked to stop. One thread, one-shot. */
#ifndef MUSTER_AGENT_DIALECTS_ARGUS_REPORT_H
#define MUSTER_AGENT_DIALECTS_ARGUS_REPORT_H

#include "agent/dialects/argus.h"

enum {
    REPORT_EVENT_BYTES = 640 << 10,  /* one event as JSON */
    REPORT_CHUNK = 100,              /* events of one request */
    REPORT_CHUNK_BYTES = 800 << 10,
    REPORT_EXIT_UNKNOWN = 5,         /* stopped: the server could not be asked */
    SPOOL_BYTES = 16 << 20,
};

/* -- argus_spool.c: events no server has taken yet, DIR/argus-report-ORIGIN.jsonl, one a line, 0600.
 * Many processes write to it; one at a time sends. Whoever sends renames it to ...sending.jsonl first, so that nobody waits for
 * the network in order to append. Repeats do no harm: the server knows an event by its id. */
struct argus_spool;
/* Makes @dir (0700). @origin: "https://host:443", in the name as letters and digits. 0 or -errno and @err. */
int argus__spool_open(const char *dir, const char *origin, struct argus_spool **ret, struct err *err);
void argus__spool_free(struct argus_spool *s);
DEFINE_AUTO(struct argus_spool *, argus__spool_free)
/* Appends one event, a line without a line break, durably. 0; -ENOSPC above SPOOL_BYTES; -errno. */
int argus__spool_put(struct argus_spool *s, struct str event);
/* Takes the turn to send. 1: there are events; 0: there are none, or somebody else is sending. */
int argus__spool_take(struct argus_spool *s);
/* Lends the next event of the turn; false at the end. Lines that are torn are skipped. */
bool argus__spool_next(struct argus_spool *s, struct str *ret);
/* Ends the turn: all of it is gone, or all of it stays (@is_sent false). */
void argus__spool_give(struct argus_spool *s, bool is_sent);

/* -- argus_report_send.c */
struct report_options {
    char *url, *token, *token_file, *ca_file, *spool_dir, *batch, *project, *type, *job, *data, *host, *user, *commit, *command, *event_id;
    bool insecure_http, quiet, man;
    usec_t timeout, interval;
};
struct report {
    const struct report_options *opt;
    char *token;
    struct loop *loop;
    struct outbound *out;
    struct argus_spool *spool;
    VEC(struct buf) queue;           /* events as JSON */
    size_t queue_bytes;
    bool is_unreachable;             /* found out in this run: what follows goes to the spool at once */
    uint32_t n_sent, n_refused, n_spooled, n_lost;
    int exit_code;                   /* of the worst that happened */
};
/* 0; or an exit code and @err. */
int report__open(struct report *r, const struct report_options *o, struct err *err);
void report__done(struct report *r);
/* Adds an event; sends when there are REPORT_CHUNK or REPORT_CHUNK_BYTES. Empty members of @ev are filled in: id, time, source. */
void report__add(struct report *r, struct argus_event *ev);
/* Sends what there is: what the spool has first, what cannot be sent goes there. */
void report__flush(struct report *r);
/* One GET of stop-requested: 1 requested, 0 not, or -errno, @ret_exit and @err. */
int report__is_stopped(struct report *r, const char *batch, int *ret_exit, struct err *err);
void report__note_exit(struct report *r, int code);
extern const char *const report_event_types[]; /* NULL-terminated */

#endif
