/* tests/unit/base/test_crypto.c - the promises of base/crypto.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/rand.h"
#include "base/text.h"

static void sha256_vectors_in_one_piece_and_in_two(void **state)
{
    (void)state;
    char hex[SHA256_HEX_MAX];
    sha256_hex(STR("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(STR_NONE, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    uint8_t a[32], b[32];
    struct sha256_state *st = sha256_new();
    for (int round = 0; round < 2; round++) { /* finish resets */
        sha256_add(st, STR("a"));
        sha256_add(st, STR_NONE);
        sha256_add(st, STR("bc"));
        sha256_finish(st, a);
        sha256(STR("abc"), b);
        assert_memory_equal(a, b, 32);
    }
    sha256_free(st);
    sha256_free(NULL);
}

static void hmac_vector_of_rfc_4231(void **state)
{
    (void)state;
    uint8_t d[32];
    char hex[65];
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), d);
    hex_encode(d, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha256(STR_NONE, STR_NONE, d);
    hex_encode(d, 32, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void ed25519_vector_of_rfc_8032_and_forgeries(void **state)
{
    (void)state;
    uint8_t sec[32], pub[32], sig[64], want[64];
    assert_int_equal(
        hex_decode(STR("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"), sec, 32), 0);
    assert_int_equal(
        hex_decode(STR("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"), pub, 32), 0);
    assert_int_equal(
        hex_decode(STR("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc"
                       "61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
                   want, 64),
        0);
    assert_int_equal(ed25519_sign(sec, STR_NONE, sig), 0);
    assert_memory_equal(sig, want, 64);
    assert_int_equal(ed25519_verify(pub, STR_NONE, sig), 0);
    assert_int_equal(ed25519_verify(pub, STR("x"), sig), -EBADMSG);
    sig[0] ^= 1;
    assert_int_equal(ed25519_verify(pub, STR_NONE, sig), -EBADMSG);
    ed25519_keypair(pub, sec);
    assert_int_equal(ed25519_sign(sec, STR("msg"), sig), 0);
    assert_int_equal(ed25519_verify(pub, STR("msg"), sig), 0);
}

static void passwords_verify_and_only_themselves(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX], other[PASSWORD_HASH_MAX], longest[512];
    assert_int_equal(password_hash(STR("correct horse"), hash), 0);
    assert_memory_equal(hash, "$y$", 3);
    assert_int_equal(password_hash(STR("correct horse"), other), 0);
    assert_string_not_equal(hash, other); /* salted */
    assert_int_equal(password_verify(STR("correct horse"), hash), 0);
    assert_int_equal(password_verify(STR("correct hors"), hash), -EACCES);
    assert_int_equal(password_verify(STR("correct horse\0x"), hash), -EACCES);
    assert_int_equal(password_verify(STR("x"), "not a hash"), -EINVAL);
    assert_int_equal(password_verify(STR("x"), "$zz$nonsense"), -EINVAL);
    assert_int_equal(password_verify(STR("x"), "*"), -EINVAL);
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(password_hash(str_bytes(longest, 511), hash), 0);
    assert_int_equal(password_hash(str_bytes(longest, 512), hash), -EINVAL);
    assert_int_equal(password_hash(STR("a\0b"), hash), -EINVAL);
}

static void sealed_bytes_open_only_whole_with_key_and_context(void **state)
{
    (void)state;
    uint8_t key[32], other[32];
    rand_bytes(key, 32);
    rand_bytes(other, 32);
    AUTO(buf_done) struct buf sealed = BUF(100);
    AUTO(buf_done) struct buf plain = BUF(5);
    assert_int_equal(seal(key, STR("hello"), STR("row 1"), &sealed), 0);
    assert_int_equal(sealed.len, 12 + 5 + 16);
    assert_int_equal(unseal(key, buf_as_str(&sealed), STR("row 1"), &plain), 0);
    assert_true(str_is(buf_as_str(&plain), "hello"));
    buf_reset(&plain);
    assert_int_equal(unseal(other, buf_as_str(&sealed), STR("row 1"), &plain), -EBADMSG);
    assert_int_equal(unseal(key, buf_as_str(&sealed), STR("row 2"), &plain), -EBADMSG);
    for (size_t i = 0; i < sealed.len; i++) {
        assert_int_equal(unseal(key, str_sub(buf_as_str(&sealed), 0, i), STR("row 1"), &plain), -EBADMSG);
        sealed.ptr[i] ^= 1;
        assert_int_equal(unseal(key, buf_as_str(&sealed), STR("row 1"), &plain), -EBADMSG);
        sealed.ptr[i] ^= 1;
    }
    assert_int_equal(plain.len, 0);
    buf_reset(&sealed);
    assert_int_equal(seal(key, STR_NONE, STR_NONE, &sealed), 0);
    assert_int_equal(unseal(key, buf_as_str(&sealed), STR_NONE, &plain), 0);
    assert_int_equal(plain.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors_in_one_piece_and_in_two),
        cmocka_unit_test(hmac_vector_of_rfc_4231),
        cmocka_unit_test(ed25519_vector_of_rfc_8032_and_forgeries),
        cmocka_unit_test(passwords_verify_and_only_themselves),
        cmocka_unit_test(sealed_bytes_open_only_whole_with_key_and_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
