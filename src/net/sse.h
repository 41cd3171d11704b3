/* net/sse.h - event-stream framing (WHATWG HTML, server-sent events), both directions. No I/O. */
#ifndef MUSTER_NET_SSE_H
#define MUSTER_NET_SSE_H

#include "base/buf.h"
#include "base/str.h"

/* Appends one event; @event and @id may be NULL/{NULL,0}; one data line per newline in @data. 0 or -ENOBUFS. */
int sse_event(struct buf *out, const char *event, struct str id, struct str data);
int sse_comment(struct buf *out, const char *text);

/* Incremental parser: feed pieces, get events. */
struct sse_parser {
    struct buf line, data;
    char event[64];
    char id[64];
    bool skip_lf;
};
void sse_parser_init(struct sse_parser *p, size_t max_data);
void sse_parser_done(struct sse_parser *p);
typedef void (*sse_fn)(void *ctx, const char *event, const char *id, struct str data);
/* 0, or -EMSGSIZE when an event is larger than the maximum. */
int sse_feed(struct sse_parser *p, struct str piece, sse_fn fn, void *ctx);

#endif
