/* cli/follow_priv.h - shared by follow.c (the stream), follow_show.c (what is printed) and follow_side.c
 * (questions on the side: cancel, tasks, hosts that are away). */
#ifndef MUSTER_CLI_FOLLOW_PRIV_H
#define MUSTER_CLI_FOLLOW_PRIV_H

#include "base/vec.h"
#include "cli/follow.h"
#include "cli/lines.h"
#include "cli/outcome.h"
#include "cli/views.h"

enum track_state { TRACK_WAITING, TRACK_RUNNING, TRACK_DONE };

/* One host's share, as far as we know. */
struct track {
    uint64_t id;
    char *host, *host_id;
    enum track_state state;
    bool is_offline; /* not connected when last asked */
    bool is_missed;  /* went away while the command ran, and the user was told */
    bool gave_up;    /* cancelled because of that */
    bool is_left;    /* given up, and the end not waited for: it was offered, and only its host knows what came of it */
    enum task_result result;
    int code;
    char *text;        /* "exit 2" */
    uint64_t shown[2]; /* bytes of standard output, standard error handed to lines or written */
    uint64_t asked[2]; /* a gap up to here has been asked for again once */
    struct lines lines[2];
    unsigned color;
    struct follow *f; /* for line callbacks */
};

struct follow {
    struct cli *cli;
    const struct follow_conf *conf;
    struct stream *stream;
    struct http_client *side; /* cancel, tasks: while the stream runs */
    struct arena *arena;      /* of the event being handled */
    struct timer *offline, *redraw;
    VEC(struct track *) tracks; /* by id */
    uint64_t job_id;
    uint64_t n_total;
    bool is_single, has_job, has_ended, is_over, is_json;
    bool is_interrupted, cancel_sent, cancel_answered, cancel_failed, has_bar, gave_up;
    int rc;
    char idem_key[40];
    struct loop *loop;
    usec_t started;
    unsigned next_color;
};

/* follow.c */
struct track *follow__track(struct follow *f, uint64_t id, struct str host, struct str host_id);
void follow__task(struct follow *f, const struct task_view *t);
void follow__leave(struct follow *f, int rc);

/* follow_show.c */
void follow__show(struct follow *f, struct track *t, int stream, struct str data);
void follow__flush(struct follow *f, struct track *t);
void follow__json(struct follow *f, const char *event, const struct node *data);
void follow__bar(struct follow *f);
void follow__clear_bar(struct follow *f);
void follow__summary(struct follow *f);
void follow__missing(struct follow *f, struct track *t, int stream, uint64_t n);

/* follow_side.c */
void follow__cancel(struct follow *f);
void follow__offline_tick(void *ctx);
int follow__all_tasks(struct follow *f); /* after the stream has ended */

#endif
