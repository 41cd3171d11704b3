/* tests/unit/base/test_hash.c - the promises of base/hash.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static void crc32c_vectors_of_rfc_3720(void **state)
{
    (void)state;
    char zeros[32] = { 0 }, ones[32];
    memset(ones, 0xff, sizeof(ones));
    assert_true(crc32c(STR("123456789")) == 0xe3069283);
    assert_true(crc32c(str_bytes(zeros, 32)) == 0x8a9136aa);
    assert_true(crc32c(str_bytes(ones, 32)) == 0x62a8ab43);
    assert_true(crc32c(STR_NONE) == 0);
}

static void crc32c_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct str s = STR("the quick brown fox jumps over the lazy dog");
    for (size_t n = 0; n <= s.len; n++)
        assert_true(crc32c_more(crc32c(str_sub(s, 0, n)), str_sub(s, n, s.len)) == crc32c(s));
}

static void siphash_vectors_of_its_paper(void **state)
{
    (void)state;
    uint8_t key[16], in[15];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        in[i] = i;
    assert_true(siphash(key, str_bytes(in, 15)) == 0xa129ca6149be45e5ULL);
    assert_true(siphash(key, STR_NONE) == 0x726fdb47dd0e0e31ULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_vectors_of_rfc_3720),
        cmocka_unit_test(crc32c_may_be_cut_anywhere),
        cmocka_unit_test(siphash_vectors_of_its_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
