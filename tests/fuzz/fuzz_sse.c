/* fuzz: net
 * tests/fuzz/fuzz_sse.c - net/sse.h: event streams at any split. */
#include <assert.h>

#include "base/mem.h"
#include "net/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(void *ctx, const char *event, const char *id, struct str data)
{
    struct buf *b = ctx;

    buf_printf(b, "%s|%s|%zu|", event, id, data.len);
    buf_str(b, data);
}

static int read_in_steps(struct buf *out, struct str s, size_t step)
{
    struct sse_parser p;
    int r = 0;

    sse_parser_init(&p, 1000);
    while (s.len > 0 && r == 0) {
        struct str piece = str_sub(s, 0, step);

        r = sse_feed(&p, piece, on_event, out);
        s = str_sub(s, piece.len, SIZE_MAX);
    }
    sse_parser_done(&p);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_done) struct buf a = BUF(1 << 22);
    AUTO(buf_done) struct buf b = BUF(1 << 22);

    if (size < 1)
        return 0;
    int whole = read_in_steps(&a, str_bytes(data + 1, size - 1), SIZE_MAX);
    int cut = read_in_steps(&b, str_bytes(data + 1, size - 1), data[0] + 1u);

    assert(whole == cut && str_eq(buf_as_str(&a), buf_as_str(&b)));
    return 0;
}
