/* net/grpc_frame.c - see grpc_frame.h. */
#include "net/grpc_frame.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "base/text.h"

/* Memory follows what has arrived, not what was announced: a prefix that says 4 MiB costs nothing by itself. */
static void keep(struct grpc_reader *r, const char *p, uint32_t n)
{
    if (r->cap - r->len < n) {
        uint64_t cap = r->cap ? (uint64_t)r->cap * 2 : 1024;

        if (cap < (uint64_t)r->len + n)
            cap = (uint64_t)r->len + n;
        if (cap > r->want)
            cap = r->want;
        r->ptr = xrealloc(r->ptr, cap);
        r->cap = (uint32_t)cap;
    }
    memcpy(r->ptr + r->len, p, n);
    r->len += n;
}

void grpc_reader_done(struct grpc_reader *r)
{
    free(r->ptr);
    *r = (struct grpc_reader){ 0 };
}

static int read_prefix(struct grpc_reader *r, size_t max, struct str *piece)
{
    while (r->n_prefix < GRPC_PREFIX_LEN && piece->len > 0) {
        r->prefix[r->n_prefix++] = (uint8_t)*piece->ptr++;
        piece->len--;
    }
    if (r->n_prefix >= 1 && r->prefix[0] != 0)
        return GRPC_FRAME_COMPRESSED;
    if (r->n_prefix < GRPC_PREFIX_LEN)
        return GRPC_FRAME_OK;
    r->want = (uint32_t)r->prefix[1] << 24 | (uint32_t)r->prefix[2] << 16 | (uint32_t)r->prefix[3] << 8 | r->prefix[4];
    return r->want > max ? GRPC_FRAME_TOO_BIG : GRPC_FRAME_OK;
}

int grpc_reader_feed(struct grpc_reader *r, size_t max, struct str piece, grpc_frame_fn fn, void *ctx)
{
    while (piece.len > 0 || (r->n_prefix == GRPC_PREFIX_LEN && r->want == r->len)) {
        struct str msg;

        if (r->n_prefix < GRPC_PREFIX_LEN) {
            int outcome = read_prefix(r, max, &piece);

            if (outcome != GRPC_FRAME_OK || r->n_prefix < GRPC_PREFIX_LEN)
                return outcome;
        }
        uint32_t missing = r->want - r->len;

        if (piece.len < missing) {
            if (piece.len > 0)
                keep(r, piece.ptr, (uint32_t)piece.len);
            return GRPC_FRAME_OK;
        }
        uint8_t *whole = NULL;

        if (r->len == 0) {
            msg = str_sub(piece, 0, missing);
        } else {
            keep(r, piece.ptr, missing);
            whole = r->ptr;
            msg = str_bytes(whole, r->want);
        }
        piece = str_bytes(piece.ptr + missing, piece.len - missing);
        /* The reader is clean before the callback, which may end the call. */
        *r = (struct grpc_reader){ 0 };
        bool go_on = fn(ctx, msg);

        free(whole);
        if (!go_on)
            return GRPC_FRAME_STOPPED;
    }
    return GRPC_FRAME_OK;
}

void grpc_prefix(uint8_t dst[GRPC_PREFIX_LEN], size_t len)
{
    assert(len <= UINT32_MAX);
    dst[0] = 0;
    dst[1] = (uint8_t)(len >> 24);
    dst[2] = (uint8_t)(len >> 16);
    dst[3] = (uint8_t)(len >> 8);
    dst[4] = (uint8_t)len;
}

int grpc_timeout_parse(struct str s, usec_t *ret)
{
    uint64_t n;

    if (s.len < 2 || s.len > 9 || str_to_u64(str_sub(s, 0, s.len - 1), &n) < 0)
        return -EINVAL;
    switch (s.ptr[s.len - 1]) {
    case 'H':
        *ret = n * USEC_PER_HOUR;
        return 0;
    case 'M':
        *ret = n * USEC_PER_MIN;
        return 0;
    case 'S':
        *ret = n * USEC_PER_SEC;
        return 0;
    case 'm':
        *ret = n * USEC_PER_MS;
        return 0;
    case 'u':
        *ret = n;
        return 0;
    case 'n':
        *ret = (n + 999) / 1000;
        return 0;
    default:
        return -EINVAL;
    }
}

void grpc_timeout_format(usec_t t, char dst[GRPC_TIMEOUT_MAX])
{
    static const struct {
        usec_t unit;
        char letter;
    } units[] = { { 1, 'u' }, { USEC_PER_MS, 'm' }, { USEC_PER_SEC, 'S' }, { USEC_PER_MIN, 'M' }, { USEC_PER_HOUR, 'H' } };
    size_t i = 0;

    /* The finest unit that fits into 8 digits, rounded up. */
    while (i + 1 < ARRAY_SIZE(units) && (t + units[i].unit - 1) / units[i].unit > 99999999)
        i++;
    uint64_t n = t / units[i].unit + (t % units[i].unit != 0);

    snprintf(dst, GRPC_TIMEOUT_MAX, "%llu%c", (unsigned long long)(n > 99999999 ? 99999999 : n), units[i].letter);
}

int grpc_percent_encode(struct buf *dst, struct str s)
{
    int r = 0;

    for (size_t i = 0; i < s.len && r == 0; i++) {
        uint8_t c = (uint8_t)s.ptr[i];

        r = c >= 0x20 && c <= 0x7e && c != '%' ? buf_char(dst, (char)c) : buf_printf(dst, "%%%02X", c);
    }
    return r;
}

int grpc_percent_decode(struct buf *dst, struct str s)
{
    int r = 0;

    for (size_t i = 0; i < s.len && r == 0; i++) {
        uint8_t c;

        if (s.ptr[i] == '%' && s.len - i > 2 && hex_decode(str_sub(s, i + 1, 2), &c, 1) == 0) {
            r = buf_char(dst, (char)c);
            i += 2;
        } else {
            r = buf_char(dst, s.ptr[i]);
        }
    }
    return r;
}
