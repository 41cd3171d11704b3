/* tests/unit/api/test_row_json.c - a row is JSON before anybody else sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <stdio.h>

#include "api/row_json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"

static void objects_are_told_from_everything_else(void **state)
{
    static const char *const good[] = { "{}",
                                        "{\"a\":1}",
                                        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"x\\u00e4\\n\"}",
                                        "{\"a\":-0.5e+3}",
                                        "{ \"a\" : [ ] , \"b\" : { } }",
                                        "{\"a\":true,\"b\":false}",
                                        "{\"a\":{\"x\":1},\"b\":{\"x\":1,\"key\":2}}",
                                        "{\"a\":\"\\ud83d\\ude00\"}" };
    static const char *const bad[] = { "",
                                       "[]",
                                       "1",
                                       "{",
                                       "}",
                                       "{}}",
                                       "{}{}",
                                       " {}",
                                       "{} ",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "{,}",
                                       "{a:1}",
                                       "{\"a\":01}",
                                       "{\"a\":+1}",
                                       "{\"a\":1.}",
                                       "{\"a\":.5}",
                                       "{\"a\":tru}",
                                       "{\"a\":\"\n\"}",
                                       "{\"a\":\"\\x\"}",
                                       "{\"a\":\"\\u12\"}",
                                       "{\"a\":\"\\u0000\"}",
                                       "{\"a\":[1,]}",
                                       "{\"a\":[}",
                                       "{\"a\":1]",
                                       "{\"a\":1}},{\"b\":2}",
                                       "{\"a\":\"\xff\"}",
                                       "{\"a\":1 \"b\":2}",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"b\":{\"a\":1,\"a\":2}}",
                                       "{\"key\":1}",
                                       "{\"\\u0061\":1}",
                                       "{\"a\":\"\\ud800\"}",
                                       "{\"a\":\"\\udc00\"}",
                                       "{\"a\":\"\\ud800\\u0041\"}",
                                       "{\"a\":1234567890123456789}",
                                       "{\"a\":1e999}" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!row_json_is_valid(str_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (row_json_is_valid(str_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
}

static void depth_has_a_limit(void **state)
{
    char text[4 * LIMIT_JSON_DEPTH + 16];

    (void)state;
    for (int depth = LIMIT_JSON_DEPTH - 1; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        size_t n = (size_t)snprintf(text, sizeof(text), "{\"a\":");

        for (int i = 1; i < depth; i++)
            text[n++] = '[';
        for (int i = 1; i < depth; i++)
            text[n++] = ']';
        text[n++] = '}';
        assert_int_equal(row_json_is_valid(str_bytes(text, n)), depth > 1 && depth <= LIMIT_JSON_DEPTH);
    }
}

/* Whatever this walk takes, the parser takes: a row is shown raw. */
static void the_walk_takes_nothing_the_parser_refuses(void **state)
{
    static const char base[] = "{\"a\":[1,-2.5e3,\"x\\u0041\"],\"b\":{\"c\":null,\"d\":true}}";
    char text[sizeof(base)];

    (void)state;
    for (size_t at = 0; at < sizeof(base) - 1; at++) {
        for (int c = 0; c < 256; c++) {
            AUTO(arena_free) struct arena *a = arena_new(1 << 20);
            struct node *n = NULL;
            struct str s = { text, sizeof(base) - 1 };

            memcpy(text, base, sizeof(base));
            text[at] = (char)c;
            if (!row_json_is_valid(s))
                continue;
            if (json_parse(a, s, s.len, &n, NULL) < 0)
                fail_msg("taken although the parser refuses: %s", text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_told_from_everything_else),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(the_walk_takes_nothing_the_parser_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
