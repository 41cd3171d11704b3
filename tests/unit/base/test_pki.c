/* tests/unit/base/test_pki.c - the promises of base/pki.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/mem.h"
#include "base/pki.h"
#include "base/text.h"

static const usec_t now = 1795327005ULL * USEC_PER_SEC;

struct ca {
    char *key, *cert;
};

static struct ca ca_new(void)
{
    struct err err = { 0 };
    struct ca ca = { .key = pki_key_p256() };
    ca.cert = pki_ca_new(ca.key, "Muster CA", now, 3650 * USEC_PER_DAY, &err);
    assert_non_null(ca.cert);
    return ca;
}

static void ca_done(struct ca *ca)
{
    secret_free(ca->key);
    free(ca->cert);
}

static void a_ca_says_so_and_pins_its_key(void **state)
{
    (void)state;
    struct ca ca = ca_new();
    struct pki_cert c;
    uint8_t spki[SHA256_LEN];
    assert_int_equal(pki_cert_read(str_of(ca.cert), &c, NULL), 0);
    assert_true(c.is_ca);
    assert_string_equal(c.uri, "");
    assert_int_equal(strlen(c.serial), 32);
    assert_true(c.not_before == now - USEC_PER_DAY);
    assert_true(c.not_after == now + 3650 * USEC_PER_DAY);
    assert_int_equal(pki_key_spki(ca.key, spki), 0);
    assert_memory_equal(spki, c.spki_sha256, SHA256_LEN);
    AUTO_FREE char *ed = pki_key_ed25519();
    struct err err = { 0 };
    assert_null(pki_ca_new(ed, "x", now, USEC_PER_DAY, &err));
    assert_string_equal(err.slug, "ca.key");
    assert_null(pki_ca_new("rubbish", "x", now, USEC_PER_DAY, NULL));
    ca_done(&ca);
}

static void a_p256_ca_signs_an_ed25519_request(void **state)
{
    (void)state;
    struct ca ca = ca_new();
    struct err err = { 0 };
    AUTO_FREE char *key = pki_key_ed25519();
    AUTO_FREE char *csr = pki_csr_new(key, "web-1", &err);
    uint8_t spki[SHA256_LEN], mine[SHA256_LEN];
    assert_non_null(csr);
    assert_int_equal(pki_csr_check(str_of(csr), spki, &err), 0);
    assert_int_equal(pki_key_spki(key, mine), 0);
    assert_memory_equal(spki, mine, SHA256_LEN);
    struct pki_issue is = { .ca_cert_pem = ca.cert,
                            .ca_key_pem = ca.key,
                            .common_name = "web-1",
                            .uri = "spiffe://fleet/host/1",
                            .not_before = now,
                            .not_after = now + 30 * USEC_PER_DAY };
    AUTO_FREE char *cert = pki_issue_csr(&is, str_of(csr), &err);
    struct pki_cert c;
    assert_non_null(cert);
    assert_int_equal(pki_cert_read(str_of(cert), &c, &err), 0);
    assert_string_equal(c.uri, "spiffe://fleet/host/1");
    assert_false(c.is_ca);
    assert_memory_equal(c.spki_sha256, mine, SHA256_LEN);
    assert_true(c.not_after == is.not_after);
    ca_done(&ca);
}

static void server_names_become_dns_and_ip(void **state)
{
    (void)state;
    struct ca ca = ca_new();
    AUTO_FREE char *key = pki_key_p256();
    static const char *const names[] = { "muster.example.org", "127.0.0.1", "::1", "evil,DNS:other", NULL };
    struct pki_issue is = { .ca_cert_pem = ca.cert,
                            .ca_key_pem = ca.key,
                            .common_name = "musterd",
                            .uri = "spiffe://fleet/server",
                            .dns = names,
                            .not_before = now,
                            .not_after = now + USEC_PER_DAY,
                            .is_server = true };
    AUTO_FREE char *cert = pki_issue_key(&is, key, NULL);
    struct pki_cert c;
    assert_non_null(cert);
    assert_int_equal(pki_cert_read(str_of(cert), &c, NULL), 0);
    assert_string_equal(c.uri, "spiffe://fleet/server");
    /* the DER holds the names as they are: tag 2 dns, tag 7 ip */
    AUTO(buf_done) struct buf der = BUF(8192);
    AUTO(buf_done) struct buf b64 = BUF(8192);
    struct str rest = str_of(cert), line;
    while (str_cut(&rest, '\n', &line))
        if (!str_starts(line, STR("-----")))
            buf_str(&b64, line);
    assert_int_equal(base64_decode(&der, buf_as_str(&b64)), 0);
    assert_true(str_find(buf_as_str(&der), STR("\x82\x12muster.example.org")) > 0);
    assert_true(str_find(buf_as_str(&der), STR("\x87\x04\x7f\0\0\x01")) > 0);
    assert_true(str_find(buf_as_str(&der), STR("\x87\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1")) > 0);
    assert_true(str_find(buf_as_str(&der), STR("\x82\x0e"
                                               "evil,DNS:other")) > 0); /* one name, not two */
    ca_done(&ca);
}

static void ca_key_and_certificate_must_belong_together(void **state)
{
    (void)state;
    struct ca a = ca_new(), b = ca_new();
    AUTO_FREE char *key = pki_key_ed25519();
    struct err err = { 0 };
    struct pki_issue is = {
        .ca_cert_pem = a.cert, .ca_key_pem = b.key, .common_name = "x", .not_after = now
    };
    assert_null(pki_issue_key(&is, key, &err));
    assert_string_equal(err.slug, "ca.key");
    ca_done(&a);
    ca_done(&b);
}

static void a_request_that_is_cut_or_bent_is_refused(void **state)
{
    (void)state;
    AUTO_FREE char *key = pki_key_ed25519();
    AUTO_FREE char *csr = pki_csr_new(key, "x", NULL);
    uint8_t spki[SHA256_LEN];
    struct err err = { 0 };
    size_t n = strlen(csr);
    for (size_t cut = 0; cut + 2 < n; cut++)
        assert_true(pki_csr_check(str_bytes(csr, cut), spki, &err) < 0);
    assert_string_equal(err.slug, "csr.bad");
    for (size_t i = 40; i < n - 40; i++) { /* within the base64 */
        char saved = csr[i];
        if (saved == '\n' || saved == '=' || csr[i + 1] == '=') /* bits that belong to no byte may be bent */
            continue;
        csr[i] = saved == 'A' ? 'B' : 'A';
        assert_true(pki_csr_check(str_of(csr), spki, NULL) < 0);
        csr[i] = saved;
    }
    assert_int_equal(pki_csr_check(str_of(csr), spki, NULL), 0);
}

static void the_cap_of_a_request_is_16_kib(void **state)
{
    (void)state;
    AUTO_FREE char *key = pki_key_p256();
    AUTO_FREE char *csr = pki_csr_new(key, "x", NULL);
    uint8_t spki[SHA256_LEN];
    AUTO(buf_done) struct buf b = BUF(20000);
    buf_cstr(&b, csr);
    while (b.len < 16384)
        buf_char(&b, '\n');
    assert_int_equal(pki_csr_check(buf_as_str(&b), spki, NULL), 0);
    buf_char(&b, '\n');
    assert_int_equal(pki_csr_check(buf_as_str(&b), spki, NULL), -EINVAL);
}

static void rubbish_is_no_certificate(void **state)
{
    (void)state;
    struct pki_cert c;
    struct err err = { 0 };
    uint8_t spki[SHA256_LEN];
    assert_int_equal(pki_cert_read(STR("nope"), &c, &err), -EBADMSG);
    assert_int_equal(pki_cert_read(STR_NONE, &c, NULL), -EBADMSG);
    assert_int_equal(pki_key_spki("nope", spki), -EBADMSG);
    assert_null(pki_csr_new("nope", "x", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ca_says_so_and_pins_its_key),
        cmocka_unit_test(a_p256_ca_signs_an_ed25519_request),
        cmocka_unit_test(server_names_become_dns_and_ip),
        cmocka_unit_test(ca_key_and_certificate_must_belong_together),
        cmocka_unit_test(a_request_that_is_cut_or_bent_is_refused),
        cmocka_unit_test(the_cap_of_a_request_is_16_kib),
        cmocka_unit_test(rubbish_is_no_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
