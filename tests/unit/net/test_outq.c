/* Promises of net/outq.h, against a plain buffer. */
#include "lib.h"
#include "net/outq.h"

static void bytes_come_out_as_they_went_in(void **state)
{
    AUTO(buf_done) struct buf copy = BUF(64 << 20);
    AUTO_FREE uint8_t *text = xmalloc(100000);
    struct outq q = { 0 };
    size_t taken = 0;
    uint8_t out[5000];

    (void)state;
    srand(7);
    for (size_t i = 0; i < 100000; i++)
        text[i] = (uint8_t)rand();
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % (i % 50 ? 300 : 40000);

        if (rand() % 3 == 0) {
            struct blob *b = blob_new(str_bytes(text, n));

            outq_blob(&q, b);
            blob_unref(b);
            buf_append(&copy, text, n);
        } else if (rand() % 2) {
            outq_bytes(&q, text + n, n);
            buf_append(&copy, text + n, n);
        } else {
            size_t got = outq_take(&q, out, (size_t)rand() % sizeof(out));

            assert_memory_equal(out, copy.ptr + taken, got);
            taken += got;
        }
        assert_int_equal(q.len, copy.len - taken);
        if (copy.len > (32 << 20))
            break;
    }
    for (size_t got; (got = outq_take(&q, out, sizeof(out))) > 0; taken += got)
        assert_memory_equal(out, copy.ptr + taken, got);
    assert_int_equal(taken, copy.len);
    assert_null(q.head);
}

static void done_forgets_everything(void **state)
{
    struct outq q = { 0 };
    uint8_t c;

    (void)state;
    outq_bytes(&q, "abc", 3);
    outq_done(&q);
    assert_int_equal(q.len, 0);
    assert_int_equal(outq_take(&q, &c, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(done_forgets_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
