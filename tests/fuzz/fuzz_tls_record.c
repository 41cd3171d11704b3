/* fuzz: net
 * tests/fuzz/fuzz_tls_record.c - net/tls_record.h: records of anybody. The first byte picks the suite and the cut; with its high bit
 * the rest is sealed first, so that what lies under the AEAD (types, padding, key updates) is reached too. */
#include <assert.h>

#include "base/mem.h"
#include "net/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_all(struct tls_records *r, const uint8_t *p, size_t n, size_t step)
{
    static uint8_t plain[TLS_RECORD_MAX];
    struct err err = { 0 };
    int outcome = TLS_RECORD_NONE;

    while (n > 0 && outcome >= 0 && outcome != TLS_RECORD_BYE) {
        size_t left = n < step ? n : step, got;
        const uint8_t *at = p;

        n -= left;
        p += left;
        do {
            outcome = tls_records_open(r, &at, &left, plain, &got, &err);
        } while (outcome == TLS_RECORD_DATA || outcome == TLS_RECORD_UPDATE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[TLS_SECRET_MAX] = { 7 };
    struct tls_records a, b;

    if (size < 1)
        return 0;
    enum tls_suite suite = (enum tls_suite)(data[0] % 3);
    size_t n = suite == TLS_AES_256_GCM ? 48 : 32, step = (data[0] & 0x7fu) + 1;

    assert(tls_records_init(&a, suite, secret, secret, n) == 0);
    assert(tls_records_init(&b, suite, secret, secret, n) == 0);
    if (data[0] & 0x80) {
        uint8_t *wire = xmalloc(tls_records_size(size));
        size_t len = tls_records_seal(&a, data + 1, size - 1, wire);

        open_all(&b, wire, len, step);
        free(wire);
    } else {
        open_all(&b, data + 1, size - 1, step);
    }
    tls_records_done(&a);
    tls_records_done(&b);
    return 0;
}
