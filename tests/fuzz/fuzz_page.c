/* fuzz: api
 * tests/fuzz/fuzz_page.c - api/html.h, api/browser.h: names that hosts give themselves, cookies that anybody sends. */
#include "api/browser.h"
#include "api/html.h"
#include "base/mem.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_done) struct buf b = BUF(8 * size + 64);
    struct kv header = { STR("cookie"), str_bytes(data, size) };
    const struct http_req req = { .headers = { &header, 1 } };
    struct str cookie = browser_cookie(&req);

    if (cookie.ptr && (cookie.len == 0 || str_find_char(cookie, ';') >= 0))
        __builtin_trap();
    html_text(&b, str_bytes(data, size));
    if (!utf8_is_valid(buf_as_str(&b)))
        __builtin_trap();
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] == '<' || b.ptr[i] == '>' || b.ptr[i] == '"' || b.ptr[i] == '\'' || b.ptr[i] == '\0')
            __builtin_trap();
    return 0;
}
