/* codec/gzip.c - see gzip.h. */
#include "codec/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { STEP = 16 << 10, WINDOW = 15, GZIP = 16, GZIP_OR_ZLIB = 32 };

static size_t room_of(const struct buf *out)
{
    size_t room = out->max - out->len;
    return room < STEP ? room : STEP;
}

int gzip_inflate(struct str in, struct buf *out)
{
    if (in.len > UINT32_MAX)
        return -EMSGSIZE;
    size_t before = out->len;
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    if (inflateInit2(&z, WINDOW + GZIP_OR_ZLIB) != Z_OK)
        abort(); /* out of memory, as xmalloc() */
    int r = 0, state = Z_OK;
    while (r == 0 && state != Z_STREAM_END) {
        /* at the cap one more byte of output tells "exactly full" from "too large" */
        size_t room = room_of(out), given = room ? room : 1;
        uint8_t *p, probe;
        r = room ? buf_reserve(out, room, &p) : 0;
        if (r < 0)
            break;
        z.next_out = room ? p : &probe;
        z.avail_out = (uInt)given;
        state = inflate(&z, Z_NO_FLUSH);
        size_t made = given - z.avail_out;
        if (room)
            buf_commit(out, made);
        else if (made)
            r = -EMSGSIZE;
        if (state != Z_OK && state != Z_STREAM_END) /* Z_BUF_ERROR: the input ended before the stream did */
            r = r ? r : -EBADMSG;
    }
    if (r == 0 && z.avail_in)
        r = -EBADMSG;
    inflateEnd(&z);
    if (r < 0)
        out->len = before;
    return r;
}

int gzip_deflate(struct str in, struct buf *out)
{
    if (in.len > UINT32_MAX)
        return -ENOBUFS;
    size_t before = out->len;
    z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    int r = 0, state = Z_OK;
    while (r == 0 && state != Z_STREAM_END) {
        size_t room = room_of(out);
        uint8_t *p;
        if (room == 0) {
            r = -ENOBUFS;
            break;
        }
        r = buf_reserve(out, room, &p);
        if (r < 0)
            break;
        z.next_out = p;
        z.avail_out = (uInt)room;
        state = deflate(&z, Z_FINISH);
        buf_commit(out, room - z.avail_out);
    }
    deflateEnd(&z);
    if (r < 0)
        out->len = before;
    return r;
}
