/* cli/show.h - the endings most verbs share: a list, one object, an answer as it is. Writes to standard
 * output. */
#ifndef MUSTER_CLI_SHOW_H
#define MUSTER_CLI_SHOW_H

#include "cli/api.h"
#include "cli/views.h"

/* Writes @b and checks that it went out: RC_OK, RC_PIPE, or RC_FAILED with cli->err. */
int show_text(struct cli *cli, const struct buf *b);
/* The server's answer as it is, and a newline. */
int show_reply(struct cli *cli, const struct reply *r);

/* Sends a change and says @done ("renamed"), or shows the answer as it is when JSON is asked for. RC_OK, or
 * an exit code with cli->err. */
int show_done(struct cli *cli, const char *method, const char *target, struct str body, const char *done);
/* Calls for something that is shown in its own way: RC_OK and its tree in *@ret_root (lives in @a). When JSON
 * is asked for the answer was shown as it is, and *@ret_root is NULL; so it is on failure, which is an exit
 * code with cli->err. */
int show_or_parse(struct cli *cli, const char *method, const char *target, struct str body, struct arena *a,
                  const struct node **ret_root);

struct show_list {
    const char *target; /* "/api/v1/agents?status=ready" */
    const char *key;    /* "agents" */
    const struct record *rec;
    size_t limit;     /* 0: all */
    const char *none; /* said on standard error when there is nothing */
};
/* Fetches and prints in the format asked for: table, wide, JSON, names. */
int show_list(struct cli *cli, const struct show_list *l);
/* GETs (or @method with @body) one object and prints it as lines or JSON. */
int show_object(struct cli *cli, const char *method, const char *target, struct str body,
                const struct record *rec);

#endif
