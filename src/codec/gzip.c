/* codec/gzip.c - see gzip.h. */
#include "codec/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"

enum { STEP = 16 << 10, WINDOW = 15, GZIP = 16, GZIP_OR_ZLIB = 32, RATIO_MAX = 1032 };

static size_t room_of(const struct buf *out)
{
    size_t room = out->max - out->len;
    return room < STEP ? room : STEP;
}

struct gunzip {
    z_stream z;
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = xnew0(struct gunzip);

    if (inflateInit2(&g->z, WINDOW + GZIP_OR_ZLIB) != Z_OK)
        abort(); /* out of memory, as xmalloc() */
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->z);
    free(g);
}

size_t gzip_says(struct str in)
{
    const uint8_t *end = (const uint8_t *)in.ptr + in.len;

    return in.len < 18 ? 0 : (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
}

/* With so much room it takes one step. Only a hint, and never more than deflate can do. */
static size_t first_room(struct str in)
{
    size_t said = gzip_says(in);

    return said && said / RATIO_MAX <= in.len ? said : STEP;
}

int gunzip_run(struct gunzip *g, struct str in, struct buf *out)
{
    z_stream *z = &g->z;
    size_t before = out->len, wish = first_room(in);
    int r = 0, state = Z_OK;

    if (in.len > UINT32_MAX)
        return -EMSGSIZE;
    inflateReset(z);
    z->next_in = (Bytef *)(uintptr_t)in.ptr;
    z->avail_in = (uInt)in.len;
    while (r == 0 && state != Z_STREAM_END) {
        /* at the cap one more byte of output tells "exactly full" from "too large" */
        size_t left = out->max - out->len, room = left < wish ? left : wish, given = room ? room : 1;
        uint8_t *p, probe;

        wish = STEP;
        r = room ? buf_reserve(out, room, &p) : 0;
        if (r < 0)
            break;
        z->next_out = room ? p : &probe;
        z->avail_out = (uInt)given;
        state = inflate(z, Z_FINISH); /* all of it is here: the window need not be kept */
        size_t made = given - z->avail_out;
        if (room)
            buf_commit(out, made);
        else if (made)
            r = -EMSGSIZE;
        bool is_full = state == Z_BUF_ERROR && z->avail_out == 0;
        if (r == 0 && state != Z_OK && state != Z_STREAM_END && !is_full) /* else the input ended before the stream did */
            r = -EBADMSG;
    }
    if (r == 0 && z->avail_in)
        r = -EBADMSG;
    if (r < 0)
        out->len = before;
    return r;
}

int gzip_inflate(struct str in, struct buf *out)
{
    AUTO(gunzip_free) struct gunzip *g = gunzip_new();

    return gunzip_run(g, in, out);
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
