/* fuzz: net
 * tests/fuzz/fuzz_grpc_frame.c - net/grpc_frame.h: messages at any split, timeouts, percent-encoding. */
#include <assert.h>

#include "base/mem.h"
#include "net/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_msg(void *ctx, struct str msg)
{
    struct buf *b = ctx;

    buf_be32(b, (uint32_t)msg.len);
    buf_str(b, msg);
    return true;
}

static int read_in_steps(struct buf *out, struct str s, size_t step)
{
    struct grpc_reader r = { 0 };
    int o = GRPC_FRAME_OK;

    while (s.len > 0 && o == GRPC_FRAME_OK) {
        struct str piece = str_sub(s, 0, step);

        o = grpc_reader_feed(&r, 4096, piece, on_msg, out);
        s = str_sub(s, piece.len, SIZE_MAX);
    }
    grpc_reader_done(&r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_done) struct buf a = BUF(1 << 22);
    AUTO(buf_done) struct buf b = BUF(1 << 22);
    struct str s = str_bytes(data, size);
    usec_t t;

    if (size < 1)
        return 0;
    int whole = read_in_steps(&a, str_sub(s, 1, SIZE_MAX), SIZE_MAX);
    int cut = read_in_steps(&b, str_sub(s, 1, SIZE_MAX), data[0] + 1u);

    assert(whole == cut && str_eq(buf_as_str(&a), buf_as_str(&b)));
    if (grpc_timeout_parse(s, &t) == 0) {
        char text[GRPC_TIMEOUT_MAX];

        grpc_timeout_format(t, text);
    }
    buf_reset(&a);
    buf_reset(&b);
    if (grpc_percent_encode(&a, s) == 0 && grpc_percent_decode(&b, buf_as_str(&a)) == 0)
        assert(str_eq(buf_as_str(&b), s));
    return 0;
}
