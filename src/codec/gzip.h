/* codec/gzip.h - gzip with a hard output cap. No I/O. */
#ifndef MUSTER_CODEC_GZIP_H
#define MUSTER_CODEC_GZIP_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"

/* One inflater, for whoever reads many bodies: its window and tables are made once. One thread at a time. */
struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
DEFINE_AUTO(struct gunzip *, gunzip_free)
/* As gzip_inflate(). */
int gunzip_run(struct gunzip *g, struct str in, struct buf *out);

/* What a gzip member says of itself that it inflates to, modulo 2^32: gzip_inflate() takes none whose word is not kept. 0: @in is too
 * short to be one. */
size_t gzip_says(struct str in);

/* Inflates one gzip (or zlib) member; @out's maximum is the cap. 0; -EMSGSIZE over the cap; -EBADMSG corrupt,
 * truncated or followed by garbage. */
int gzip_inflate(struct str in, struct buf *out);
/* Appends a gzip member. 0 or -ENOBUFS. */
int gzip_deflate(struct str in, struct buf *out);

#endif
