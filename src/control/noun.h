/* control/noun.h - what hangs on control beside hosts, jobs and people: one const value a noun, listed in nouns.c (private to
 * control/). A noun keeps its state behind c->noun[its place] and is told when a host goes. Loop thread. */
#ifndef MUSTER_CONTROL_NOUN_H
#define MUSTER_CONTROL_NOUN_H

#include "control/core.h"

struct noun {
    const char *name;
    /* Reads what is stored; 0 or -errno and @err. Runs after hosts, users and tokens were read. */
    int (*load)(struct control *c, struct err *err);
    void (*free)(struct control *c);                                  /* also after a load that failed half way */
    void (*tick)(struct control *c, usec_t mono);                     /* every 250 ms; may be NULL */
    void (*host_gone)(struct control *c, uint64_t host_id);           /* forgotten: its rows go in the same unit; may be NULL */
    void (*host_decided)(struct control *c, uint64_t host_id);        /* approved, rejected or revoked; may be NULL */
    void (*task_changed)(struct control *c, const struct task *t);    /* a task took a step (jobs of kinds a noun made); may be NULL */
};
extern const struct noun *const control__nouns[]; /* NULL-terminated, in load order */
/* Ids of object kinds: counted on from what the store had. */
uint64_t object__next(struct control *c, enum object_kind k);
void noun__host_gone(struct control *c, uint64_t host_id);
void noun__host_decided(struct control *c, uint64_t host_id);
void noun__task_changed(struct control *c, const struct task *t);

extern const struct noun noun_credentials, noun_accents, noun_ports, noun_assets, noun_reports, noun_runs;

#endif
