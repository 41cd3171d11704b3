/* codec/json_ascii.h - JSON byte for byte as Python's json module writes it: where the text of a row is its identity. Any thread. */
#ifndef MUSTER_CODEC_JSON_ASCII_H
#define MUSTER_CODEC_JSON_ASCII_H

#include "base/buf.h"
#include "codec/json.h"

/* "text" with quotes, non-ASCII escaped; invalid UTF-8 becomes U+FFFD. 0 or -ENOBUFS. */
int json_ascii_str(struct buf *out, struct str s);
/* The tree compact, its keys sorted. 0 or -ENOBUFS. */
int json_ascii_canonical(const struct node *n, struct buf *out);
/* Canonical text @s as json.dumps(indent=2) writes it. 0 or -ENOBUFS. */
int json_ascii_pretty(struct str s, struct buf *out);

#endif
