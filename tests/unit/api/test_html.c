/* tests/unit/api/test_html.c - the promises of api/html.h that need no call, and the cookie of api/browser.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/browser.h"
#include "api/html.h"
#include "base/mem.h"

static void says(struct str in, const char *out)
{
    AUTO(buf_done) struct buf b = BUF(4096);

    html_text(&b, in);
    assert_string_equal(buf_as_cstr(&b), out);
}

static void what_means_something_in_html_is_written_as_text(void **state)
{
    (void)state;
    says(STR("plain text, even \xc3\xa4 \xe2\x82\xac"), "plain text, even \xc3\xa4 \xe2\x82\xac");
    says(STR("<script>alert('x' + \"y\")</script>"), "&lt;script&gt;alert(&#39;x&#39; + &quot;y&quot;)&lt;/script&gt;");
    says(STR("&lt;"), "&amp;lt;");
    says(STR_NONE, "");
}

/* clang-format off */
static void control_characters_and_broken_text_become_one_sign(void **state)
{
    (void)state;
    says(STR("a\x01" "b\x1b[1m\x7f"), "a\xef\xbf\xbd" "b\xef\xbf\xbd[1m\xef\xbf\xbd");
    says(str_bytes("a\0b", 3), "a\xef\xbf\xbd" "b");
    says(STR("cut \xe2\x82"), "cut \xef\xbf\xbd");
    says(STR("\xff<"), "\xef\xbf\xbd&lt;");
    says(STR("\xe2\x80\xae" "gnp.exe"), "\xef\xbf\xbd" "gnp.exe");
    says(STR("\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa"),
         "\xe2\x80\xa9\xef\xbf\xbd\xe2\x80\xaf\xe2\x81\xa5\xef\xbf\xbd\xef\xbf\xbd\xe2\x81\xaa");
}
/* clang-format on */

static void a_full_buffer_stays_as_it_is(void **state)
{
    AUTO(buf_done) struct buf b = BUF(4);
    (void)state;

    html_text(&b, STR("ab<c"));
    assert_string_equal(buf_as_cstr(&b), "abc"); /* never half an entity */
}

static struct str cookie(const char *first, const char *second)
{
    static struct kv kvs[3];

    kvs[0] = (struct kv){ STR("host"), STR("muster_page=no") };
    kvs[1] = (struct kv){ STR("cookie"), str_of(first) };
    kvs[2] = (struct kv){ STR("cookie"), str_of(second) };
    return browser_cookie(&(struct http_req){ .headers = { kvs, second ? 3 : 2 } });
}

static void the_cookie_is_found_among_others(void **state)
{
    (void)state;
    assert_true(str_is(cookie("muster_page=a.b.c", NULL), "a.b.c"));
    assert_true(str_is(cookie("x=1; muster_page=a.b.c;y=2", NULL), "a.b.c"));
    assert_true(str_is(cookie("x=1", "muster_page=a.b.c"), "a.b.c"));
    assert_true(str_is(cookie("muster_page=; muster_page=a=b", NULL), "a=b"));
    assert_null(cookie("muster_pages=a; xmuster_page=b; muster_page; =muster_page", NULL).ptr);
    assert_null(cookie("", NULL).ptr);
    assert_null(cookie(";;=;", NULL).ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_means_something_in_html_is_written_as_text),
        cmocka_unit_test(control_characters_and_broken_text_become_one_sign),
        cmocka_unit_test(a_full_buffer_stays_as_it_is),
        cmocka_unit_test(the_cookie_is_found_among_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
