/* tests/unit/codec/test_jwt.c - the promises of codec/jwt.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/jwt.h"

static const uint8_t key[32] = "a key of thirty-two bytes, sure";

static int verify(struct str token)
{
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct node *n = NULL;
    int r = jwt_verify(key, token, a, &n);

    if (r == 0)
        assert_true(n && n->type == NODE_MAP);
    return r;
}

/* A token with any header and payload, rightly signed. */
static void forge(const char *header, const char *payload, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF(8192);
    uint8_t mac[SHA256_LEN];

    assert_int_equal(base64url_encode(&b, str_of(header)), 0);
    assert_int_equal(buf_cstr(&b, "."), 0);
    assert_int_equal(base64url_encode(&b, str_of(payload)), 0);
    hmac_sha256(str_bytes(key, 32), buf_as_str(&b), mac);
    assert_int_equal(buf_str(out, buf_as_str(&b)), 0);
    assert_int_equal(buf_cstr(out, "."), 0);
    assert_int_equal(base64url_encode(out, str_bytes(mac, sizeof(mac))), 0);
}

static void what_was_signed_verifies_and_says_the_same(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf t = BUF(JWT_MAX);
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct node *n;

    assert_int_equal(jwt_sign(key, STR("{\"sub\":\"7\",\"exp\":1}"), &t), 0);
    assert_int_equal(jwt_verify(key, buf_as_str(&t), a, &n), 0);
    assert_true(str_is(node_get(n, "sub")->s, "7"));
    assert_int_equal(node_get(n, "exp")->i, 1);
    assert_int_equal(jwt_peek(buf_as_str(&t), a, &n), 0);
    assert_true(str_is(node_get(n, "sub")->s, "7"));
}

/* RFC 7515 appendix A.1: a token made elsewhere. */
static void a_token_of_the_standard_verifies(void **state)
{
    (void)state;
    static const char token[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
                                "Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    AUTO(buf_done) struct buf raw = BUF(64), signed_part = BUF(512), mac_text = BUF(64);
    uint8_t mac[SHA256_LEN];
    const char *dot = strrchr(token, '.');

    /* Its key is longer than ours may be: the same sum by hand, the same parts by us. */
    assert_int_equal(base64_decode(&raw, str_of(k)), 0);
    assert_int_equal(buf_str(&signed_part, str_bytes(token, (size_t)(dot - token))), 0);
    hmac_sha256(buf_as_str(&raw), buf_as_str(&signed_part), mac);
    assert_int_equal(base64url_encode(&mac_text, str_bytes(mac, sizeof(mac))), 0);
    assert_true(str_is(buf_as_str(&mac_text), dot + 1));
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct node *n;
    assert_int_equal(jwt_peek(str_of(token), a, &n), 0);
    assert_int_equal(node_get(n, "exp")->i, 1300819380);
}

static void any_changed_byte_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf t = BUF(JWT_MAX);

    assert_int_equal(jwt_sign(key, STR("{\"sub\":\"7\"}"), &t), 0);
    for (size_t i = 0; i < t.len; i++) {
        uint8_t was = ((uint8_t *)t.ptr)[i];

        ((uint8_t *)t.ptr)[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(verify(buf_as_str(&t)), -EBADMSG);
        ((uint8_t *)t.ptr)[i] = was;
    }
    assert_int_equal(verify(buf_as_str(&t)), 0);
    for (size_t n = 0; n < t.len; n++)
        assert_int_equal(verify(str_bytes(t.ptr, n)), -EBADMSG);
}

static void other_algorithms_and_shapes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *payload;
        int want;
    } rows[] = {
        { "{\"alg\":\"HS256\"}", "{}", 0 },
        { "{\"alg\":\"none\"}", "{}", -EBADMSG },
        { "{\"alg\":\"HS512\"}", "{}", -EBADMSG },
        { "{\"alg\":\"hs256\"}", "{}", -EBADMSG },
        { "{\"alg\":1}", "{}", -EBADMSG },
        { "{}", "{}", -EBADMSG },
        { "[]", "{}", -EBADMSG },
        { "{\"alg\":\"HS256\"}", "[]", -EBADMSG },
        { "{\"alg\":\"HS256\"}", "{", -EBADMSG },
        { "{\"alg\":\"HS256\"}", "{\"a\":1,\"a\":2}", -EBADMSG },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf t = BUF(JWT_MAX);
        forge(rows[i].header, rows[i].payload, &t);
        assert_int_equal(verify(buf_as_str(&t)), rows[i].want);
    }
    assert_int_equal(verify(STR("")), -EBADMSG);
    assert_int_equal(verify(STR("..")), -EBADMSG);
    assert_int_equal(verify(STR("a.b.c.d")), -EBADMSG);
}

static void the_length_cap_is_exact(void **state)
{
    (void)state;
    char payload[JWT_MAX];
    size_t longest = 0;

    for (size_t n = 8; n < sizeof(payload); n++) {
        AUTO(buf_done) struct buf t = BUF(4 * JWT_MAX);

        memset(payload, 'x', n);
        memcpy(payload, "{\"a\":\"", 6);
        payload[n - 2] = '"';
        payload[n - 1] = '}';
        int r = jwt_sign(key, str_bytes(payload, n), &t);
        if (r == 0) {
            longest = t.len;
            assert_int_equal(verify(buf_as_str(&t)), 0);
        } else {
            assert_int_equal(r, -ENOBUFS);
            assert_int_equal(t.len, 0);
        }
    }
    assert_true(longest <= JWT_MAX && longest > JWT_MAX - 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_verifies_and_says_the_same),
        cmocka_unit_test(a_token_of_the_standard_verifies),
        cmocka_unit_test(any_changed_byte_is_refused),
        cmocka_unit_test(other_algorithms_and_shapes_are_refused),
        cmocka_unit_test(the_length_cap_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
