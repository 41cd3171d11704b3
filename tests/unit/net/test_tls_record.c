/* Promises of net/tls_record.h. */
#include "lib.h"
#include "net/tls_record.h"

static void pair(enum tls_suite suite, struct tls_records *a, struct tls_records *b)
{
    uint8_t x[TLS_SECRET_MAX], y[TLS_SECRET_MAX];
    size_t n = suite == TLS_AES_256_GCM ? 48 : 32;

    memset(x, 1, sizeof(x));
    memset(y, 2, sizeof(y));
    assert_int_equal(tls_records_init(a, suite, x, y, n), 0);
    assert_int_equal(tls_records_init(b, suite, y, x, n), 0);
}

static uint8_t plain[TLS_RECORD_MAX];

static void what_is_sealed_opens_at_any_split_in_every_suite(void **state)
{
    (void)state;
    for (int suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20; suite++) {
        uint8_t wire[200];
        struct tls_records a, b;
        size_t n, len;
        struct err err = { 0 };

        pair(suite, &a, &b);
        for (size_t cut = 0; cut < 60; cut++) {
            len = tls_records_seal(&a, (const uint8_t *)"attack at dawn", 14, wire);
            assert_true(len <= tls_records_size(14));
            size_t first = cut < len ? cut : len, rest = len - first;
            const uint8_t *p = wire, *q = wire + first;
            int outcome = tls_records_open(&b, &p, &first, plain, &n, &err);

            if (rest > 0) {
                assert_int_equal(outcome, TLS_RECORD_NONE);
                outcome = tls_records_open(&b, &q, &rest, plain, &n, &err);
            }
            assert_int_equal(outcome, TLS_RECORD_DATA);
            assert_int_equal(n, 14);
            assert_memory_equal(plain, "attack at dawn", 14);
            assert_null(b.part);
        }
        tls_records_done(&a);
        tls_records_done(&b);
    }
}

static void a_long_text_becomes_full_records(void **state)
{
    enum { N = 40000 };
    static uint8_t text[N], wire[N + 200], got[N];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, left, at = 0;
    const uint8_t *p = wire;

    (void)state;
    for (size_t i = 0; i < N; i++)
        text[i] = (uint8_t)(i * 7);
    pair(TLS_AES_128_GCM, &a, &b);
    left = tls_records_seal(&a, text, N, wire);
    assert_true(left <= tls_records_size(N));
    while (tls_records_open(&b, &p, &left, plain, &n, &err) == TLS_RECORD_DATA) {
        memcpy(got + at, plain, n);
        at += n;
    }
    assert_int_equal(at, N);
    assert_memory_equal(got, text, N);
    tls_records_done(&a);
    tls_records_done(&b);
}

static void one_changed_bit_anywhere_is_noticed(void **state)
{
    uint8_t wire[100];
    struct err err = { 0 };

    (void)state;
    for (size_t bit = 0; bit < (5 + 3 + 1 + 16) * 8; bit++) {
        struct tls_records a, b;
        size_t n, len;
        const uint8_t *p = wire;

        pair(TLS_AES_128_GCM, &a, &b);
        len = tls_records_seal(&a, (const uint8_t *)"abc", 3, wire);
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int outcome = tls_records_open(&b, &p, &len, plain, &n, &err);

        /* A longer length waits for more; everything else is refused. */
        assert_true(outcome == -EPROTO || (outcome == TLS_RECORD_NONE && bit >= 24 && bit < 40));
        tls_records_done(&a);
        tls_records_done(&b);
    }
}

static void records_out_of_order_or_twice_are_refused(void **state)
{
    uint8_t one[64], two[64];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, len1, len2, left;
    const uint8_t *p;

    (void)state;
    pair(TLS_CHACHA20, &a, &b);
    len1 = tls_records_seal(&a, (const uint8_t *)"1", 1, one);
    len2 = tls_records_seal(&a, (const uint8_t *)"2", 1, two);
    p = two, left = len2;
    assert_int_equal(tls_records_open(&b, &p, &left, plain, &n, &err), -EPROTO);
    p = one, left = len1;
    assert_int_equal(tls_records_open(&b, &p, &left, plain, &n, &err), TLS_RECORD_DATA);
    p = one, left = len1;
    assert_int_equal(tls_records_open(&b, &p, &left, plain, &n, &err), -EPROTO);
    assert_int_equal(n, 20); /* bad_record_mac */
    tls_records_done(&a);
    tls_records_done(&b);
}

static void new_keys_go_on_where_the_old_ended(void **state)
{
    uint8_t wire[200];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, len;
    const uint8_t *p;

    (void)state;
    pair(TLS_AES_256_GCM, &a, &b);
    for (int i = 0; i < 100; i++) {
        uint8_t key[32];

        memcpy(key, a.tx.key, sizeof(key));
        len = tls_records_update(&a, wire);
        assert_memory_not_equal(key, a.tx.key, sizeof(key));
        len += tls_records_seal(&a, (const uint8_t *)"x", 1, wire + len);
        p = wire;
        assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), TLS_RECORD_UPDATE);
        assert_int_equal(n, 0);
        assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), TLS_RECORD_DATA);
    }
    tls_records_done(&a);
    tls_records_done(&b);
}

static void a_key_is_not_used_for_ever(void **state)
{
    uint8_t wire[200];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, len;
    const uint8_t *p = wire;

    (void)state;
    pair(TLS_AES_128_GCM, &a, &b);
    a.tx.seq = b.rx.seq = TLS_RECORDS_PER_KEY;
    len = tls_records_seal(&a, (const uint8_t *)"x", 1, wire);
    assert_true(len <= tls_records_size(1));
    assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), TLS_RECORD_UPDATE);
    assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), TLS_RECORD_DATA);
    tls_records_done(&a);
    tls_records_done(&b);
}

static void a_flood_of_key_updates_ends_it(void **state)
{
    uint8_t wire[64];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, len;

    (void)state;
    pair(TLS_AES_128_GCM, &a, &b);
    for (int i = 0; i <= TLS_KEY_UPDATES_MAX; i++) {
        const uint8_t *p = wire;

        len = tls_records_update(&a, wire);
        assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err),
                         i < TLS_KEY_UPDATES_MAX ? TLS_RECORD_UPDATE : -EPROTO);
    }
    tls_records_done(&a);
    tls_records_done(&b);
}

static void alerts_are_told(void **state)
{
    uint8_t wire[64];
    struct tls_records a, b;
    struct err err = { 0 };
    size_t n, len;
    const uint8_t *p = wire;

    (void)state;
    pair(TLS_AES_128_GCM, &a, &b);
    len = tls_records_alert(&a, 0, wire);
    assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), TLS_RECORD_BYE);
    len = tls_records_alert(&a, 48, wire);
    p = wire;
    assert_int_equal(tls_records_open(&b, &p, &len, plain, &n, &err), -EPROTO);
    assert_int_equal(n, 0); /* an alert is not answered with one */
    assert_string_equal(err.slug, "tls.protocol");
    tls_records_done(&a);
    tls_records_done(&b);
}

static void a_record_over_the_maximum_is_refused_by_its_header(void **state)
{
    struct tls_records a, b;
    struct err err = { 0 };
    uint8_t head[5] = { 23, 3, 3, 0, 0 };

    (void)state;
    for (size_t len = TLS_RECORD_MAX - 1; len <= TLS_RECORD_MAX + 1; len++) {
        const uint8_t *p = head;
        size_t left = 5, n;

        pair(TLS_AES_128_GCM, &a, &b);
        head[3] = (uint8_t)(len >> 8);
        head[4] = (uint8_t)len;
        assert_int_equal(tls_records_open(&b, &p, &left, plain, &n, &err),
                         len <= TLS_RECORD_MAX ? TLS_RECORD_NONE : -EPROTO);
        tls_records_done(&a);
        tls_records_done(&b);
    }
}

static void a_secret_of_the_wrong_length_is_refused(void **state)
{
    struct tls_records r;
    uint8_t s[48] = { 0 };

    (void)state;
    assert_int_equal(tls_records_init(&r, TLS_AES_128_GCM, s, s, 48), -EINVAL);
    assert_int_equal(tls_records_init(&r, TLS_AES_256_GCM, s, s, 32), -EINVAL);
}

/* RFC 8448 section 3, "Simple 1-RTT Handshake": the server's application traffic secret, its key and iv, and the record that
 * carries the bytes 0..49 to the client (the second after a ticket, so sequence number 1). */
static void the_keys_are_those_of_rfc_8448(void **state)
{
    static const uint8_t secret[32] = { 0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11,
                                        0x6b, 0x45, 0xa9, 0x50, 0x32, 0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb,
                                        0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43 };
    static const uint8_t key[16] = { 0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                     0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56 };
    static const uint8_t iv[12] = { 0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84 };
    struct tls_records r;

    (void)state;
    assert_int_equal(tls_records_init(&r, TLS_AES_128_GCM, secret, secret, 32), 0);
    assert_memory_equal(r.rx.key, key, 16);
    assert_memory_equal(r.rx.iv, iv, 12);
    tls_records_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_at_any_split_in_every_suite),
        cmocka_unit_test(a_long_text_becomes_full_records),
        cmocka_unit_test(one_changed_bit_anywhere_is_noticed),
        cmocka_unit_test(records_out_of_order_or_twice_are_refused),
        cmocka_unit_test(new_keys_go_on_where_the_old_ended),
        cmocka_unit_test(a_key_is_not_used_for_ever),
        cmocka_unit_test(a_flood_of_key_updates_ends_it),
        cmocka_unit_test(alerts_are_told),
        cmocka_unit_test(a_record_over_the_maximum_is_refused_by_its_header),
        cmocka_unit_test(a_secret_of_the_wrong_length_is_refused),
        cmocka_unit_test(the_keys_are_those_of_rfc_8448),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
