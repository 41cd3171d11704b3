/* codec/gzip.h - gzip with a hard output cap. No I/O. */
#ifndef MUSTER_CODEC_GZIP_H
#define MUSTER_CODEC_GZIP_H

#include "base/buf.h"
#include "base/str.h"

/* Inflates one gzip (or zlib) member; @out's maximum is the cap. 0; -EMSGSIZE over the cap; -EBADMSG corrupt,
 * truncated or followed by garbage. */
int gzip_inflate(struct str in, struct buf *out);
/* Appends a gzip member. 0 or -ENOBUFS. */
int gzip_deflate(struct str in, struct buf *out);

#endif
