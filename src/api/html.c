/* api/html.c - see html.h. */
#include "api/html.h"

#include <stdio.h>

#include "base/crypto.h"
#include "base/text.h"

/* clang-format off */
/* One sheet for all pages. Below 56rem a table's rows become cards, each cell with its column's name before it. */
static const char sheet[] =
    ":root{color-scheme:light dark;--line:#c9ced6;--soft:#59636e;--bad:#b3261e;--warn:#8a5300;--good:#1a6b34;--card:#f5f6f8}"
    "@media(prefers-color-scheme:dark){:root{--line:#3d444d;--soft:#a3adb8;--bad:#ff8f86;--warn:#f0b35c;--good:#6fd08c;--card:#1c2128}}"
    "*{box-sizing:border-box}"
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:90rem;padding:1rem;overflow-wrap:break-word}bdi,code{overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.2;margin:.5rem 0}"
    "nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;padding:0}"
    "nav a{display:inline-block;padding:.25rem .75rem;border:1px solid var(--line);border-radius:1rem;text-decoration:none}"
    "nav a[aria-current]{border-width:2px;font-weight:bold}"
    "table{border-collapse:collapse;width:100%}caption{text-align:left;color:var(--soft);padding:.25rem 0}"
    "th,td{text-align:left;vertical-align:top;padding:.5rem;border-bottom:1px solid var(--line)}"
    "tbody th{font-weight:bold;min-width:12rem;max-width:22rem}small{color:var(--soft);display:block;font-weight:normal}"
    ".bad{color:var(--bad);font-weight:bold}.warn{color:var(--warn);font-weight:bold}.good{color:var(--good)}"
    ".said{border:1px solid var(--line);border-left:.4rem solid var(--good);padding:.5rem .75rem}.said.bad{border-left-color:var(--bad)}"
    "button,input{font:inherit;padding:.35rem .7rem;max-width:100%}form{margin:0 0 .35rem}label{display:block;margin-bottom:.5rem}"
    "summary{cursor:pointer;padding:.25rem 0}code{font-size:1.05rem;background:var(--card);padding:.25rem .4rem}"
    ".who{display:flex;flex-wrap:wrap;gap:.75rem;align-items:center;color:var(--soft)}.who form{margin:0}"
    ".hear{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    "@media(max-width:56rem){table,tbody,tr,th,td,caption{display:block}"
    "thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    "tbody tr{background:var(--card);border:1px solid var(--line);border-radius:.5rem;margin:.75rem 0;padding:.5rem}"
    "tbody th,td{border:0;min-width:0;max-width:none;padding:.25rem}td[data-of]::before{content:attr(data-of) ': ';color:var(--soft)}}";
/* clang-format on */

/* default-src 'none' and the one sheet by its hash, so that nothing a host says could act even if it got through. */
static struct str policy(void)
{
    static char text[256];

    if (!text[0]) {
        AUTO(buf_done) struct buf hash = BUF(64);
        uint8_t sum[SHA256_LEN];

        sha256(str_of(sheet), sum);
        (void)base64_encode(&hash, str_bytes(sum, sizeof(sum)));
        (void)snprintf(text, sizeof(text),
                       "default-src 'none'; style-src 'sha256-%s'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
                       buf_as_cstr(&hash));
    }
    return str_of(text);
}

/* U+202A..202E and U+2066..2069 at @i: with them a name reads otherwise than it is written. Text from right to left needs none. */
static bool turns_text(struct str s, size_t i)
{
    unsigned char a, b;

    if (i + 2 >= s.len || s.ptr[i] != '\xe2')
        return false;
    a = (unsigned char)s.ptr[i + 1];
    b = (unsigned char)s.ptr[i + 2];
    return (a == 0x80 && b >= 0xaa && b <= 0xae) || (a == 0x81 && b >= 0xa6 && b <= 0xa9);
}

void html_text(struct buf *b, struct str s)
{
    static const char *const entities[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
    };
    AUTO(buf_done) struct buf whole = BUF(4 * s.len + 4);

    if (!utf8_is_valid(s)) { /* cut in the middle of a character */
        (void)utf8_lossy(&whole, s);
        s = buf_as_str(&whole);
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.ptr[i];

        if (entities[ch]) {
            (void)buf_cstr(b, entities[ch]);
        } else if (turns_text(s, i)) {
            (void)buf_cstr(b, "\xef\xbf\xbd");
            i += 2;
        } else if ((ch < 0x20 && ch != '\n' && ch != '\t') || ch == 0x7f) {
            (void)buf_cstr(b, "\xef\xbf\xbd");
        } else {
            (void)buf_char(b, (char)ch);
        }
    }
}

void html_cstr(struct buf *b, const char *s)
{
    html_text(b, str_of(s));
}

struct buf *html_begin(struct call *c, const char *title)
{
    struct buf *b = &c->out;

    buf_reset(b);
    c->content_type = "text/html; charset=utf-8";
    call_header_lent(c, "content-security-policy", policy());
    call_header_lent(c, "x-content-type-options", STR("nosniff"));
    /* Not no-referrer: with that, browsers send "Origin: null" from our own forms. */
    call_header_lent(c, "referrer-policy", STR("same-origin"));
    call_header_lent(c, "cache-control", STR("no-store"));
    (void)buf_cstr(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                      "content=\"width=device-width,initial-scale=1\"><title>");
    html_cstr(b, title);
    (void)buf_cstr(b, " - Muster</title><style>");
    (void)buf_cstr(b, sheet);
    (void)buf_cstr(b, "</style></head>\n<body><main>\n<h1>");
    html_cstr(b, title);
    (void)buf_cstr(b, "</h1>\n");
    return b;
}

void html_end(struct call *c)
{
    (void)buf_cstr(&c->out, "</main></body></html>\n");
}
