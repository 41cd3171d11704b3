/* api/reply.h - answers (private to api/). What shows or changes state is parked until the newest change it
 * could have seen is on disk (docs/decisions/0005-parked-replies.md); answers about the request itself, and
 * health, leave at once. Core loop's thread. */
#ifndef MUSTER_API_REPLY_H
#define MUSTER_API_REPLY_H

#include "api/call.h"

/* The document in call->out with @status, after everything recorded so far is durable. */
void reply_parked(struct call *c, int status);
/* The same at once: it shows nothing that could be undone (health), or only what was read from the disk. */
void reply_now(struct call *c, int status);
/* A parked answer to somebody who only looked, sent although the disk has not caught up: X-Muster-Unsaved
 * says so. */
void reply_unsaved(struct call *c);
/* A refusal: status from the slug, {"error":{...}} with @errs as fields (may be NULL). _parked where state
 * was looked at. */
void reply_error(struct call *c, const struct err *err);
void reply_error_parked(struct call *c, const struct err *err);
void reply_errors(struct call *c, const struct err *err, const struct record_errors *errs);
/* A read failed with @result (-errno): the database could not be read. At once. */
void reply_unread(struct call *c, int result);
/* One object by its record, parked. */
void reply_record(struct call *c, int status, const struct record *rec, const void *obj);

/* HTTP status of an error: by slug, else by errno. */
int reply_status_of(const struct err *err);
/* gRPC status likewise. */
int reply_grpc_of(const struct err *err);
/* The error document. */
void reply_error_json(const struct err *err, const struct record_errors *errs, struct buf *out);
/* Seconds for Retry-After, at least 1. */
uint64_t reply_retry_after(usec_t wait);

#endif
