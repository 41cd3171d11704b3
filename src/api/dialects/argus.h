/* api/dialects/argus.h - what Argus's files share (private to api/dialects/argus*.c). Core loop's thread. */
#ifndef MUSTER_API_ARGUS_H
#define MUSTER_API_ARGUS_H

#include "api/dialects/dialect.h"
#include "control/runs.h"
#include "wire/dialects/argus.h"

/* -- argus.c: who speaks, over what, how refusals read */
/* Rows whose handler proves: events and reruns, whose bodies may be larger than what is taken in unproven. Sets c->who. False: answered. */
bool argus_prove(struct call *c);
/* AUTH_AGENT rows of agents: path parameter 0 is the agent, the Bearer its token. False: answered. */
bool argus_prove_agent(struct call *c, struct run_agent_ref *ret);
/* The same when a request that was held is answered: no sign of life. */
bool argus_prove_agent_anew(struct call *c, struct run_agent_ref *ret);
/* --require-https, and the header that keeps browsers at it. False: answered 403. argus_prove*() and the proof of other rows do it
 * themselves; rows without proof call it. */
bool argus_is_safe(struct call *c);
/* Decodes the body by @rec into the request's arena. NULL: answered 422. */
void *argus_body(struct call *c, const struct record *rec, size_t cap);
/* Whole seconds; 0: null. */
void argus_time(struct jw *w, const char *key, usec_t t);
/* Null when empty. */
void argus_text(struct jw *w, const char *key, struct str s);
/* One member of a map. @is_known false: null. */
void argus_word(struct jw *w, const char *key, const char *word);
void argus_number(struct jw *w, const char *key, uint64_t n);
void argus_known(struct jw *w, const char *key, bool is_known, int64_t n);
void argus_flag(struct jw *w, const char *key, bool is_set);
/* A path that begins with /api/agents/agent-, or argus's own credential and an id that is no number. */
bool argus_claims_agent(const struct http_req *req);

/* -- argus_events.c */
/* One event out of its tree: 0 and *@e, whose strings live in @a; -EINVAL run.schema (another schema version), field.* with @errs or the
 * path in @err. Pure. */
int argus_read_event(struct arena *a, const struct node *n, struct run_event *e, struct record_errors *errs, struct err *err);

/* -- argus_batches.c */
/* The batch of the path as the caller sees it. False: answered 404. */
bool argus_find(struct call *c, struct run_view *ret);

extern const struct route_table argus_agent_table, argus_people_table, argus_event_table, argus_batch_table, argus_action_table,
    argus_share_table;

#endif
