/* fuzz: net
 * tests/fuzz/fuzz_http1.c - net/http1.h: the first byte says request or reply and where the rest is cut. Whatever the split, the
 * outcome and the body must be the same. */
#include <assert.h>

#include "base/mem.h"
#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct h1 h;
    struct buf body;
};

static int on_head(void *ctx)
{
    (void)ctx;
    return 0;
}

static int on_body(void *ctx, struct str piece)
{
    return buf_str(&((struct run *)ctx)->body, piece) < 0 ? 413 : 0;
}

static const struct h1_ops ops = { on_head, on_body };

static enum h1_outcome read_in_steps(struct run *r, enum h1_kind kind, struct str s, size_t step)
{
    enum h1_outcome o = H1_MORE;
    size_t used;

    r->body = BUF(1 << 20);
    h1_init(&r->h, kind, &ops, r);
    while (s.len > 0 && o == H1_MORE) {
        o = h1_feed(&r->h, str_sub(s, 0, step), &used);
        s = str_sub(s, used, SIZE_MAX);
    }
    return o == H1_MORE ? h1_eof(&r->h) : o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run a, b;

    if (size < 1)
        return 0;
    enum h1_kind kind = data[0] & 1 ? H1_RESPONSE : H1_REQUEST;
    struct str s = str_bytes(data + 1, size - 1);
    enum h1_outcome whole = read_in_steps(&a, kind, s, SIZE_MAX), cut = read_in_steps(&b, kind, s, (data[0] >> 1) + 1u);

    assert(whole == cut);
    if (whole == H1_DONE)
        assert(str_eq(buf_as_str(&a.body), buf_as_str(&b.body)) && a.h.headers.n == b.h.headers.n);
    h1_reset(&a.h);
    h1_reset(&b.h);
    buf_done(&a.body);
    buf_done(&b.body);
    return 0;
}
