/* net/http_res.c - see http_res.h. */
#include "net/http_res.h"

#include <time.h>

#include "net/http1.h"

enum { HEAD_USUAL = 384 };

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.ptr[i] < 0x20 && s.ptr[i] != '\t')
            return false;
    return true;
}

static void put_date(struct buf *b)
{
    static _Thread_local struct {
        time_t at;
        char text[64];
    } now; /* formatted once a second */
    time_t t = time(NULL);
    struct tm tm;

    if (t != now.at) {
        now.at = t;
        gmtime_r(&t, &tm);
        strftime(now.text, sizeof(now.text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }
    buf_cstr(b, now.text);
}

/* By hand: every answer has these, and printf would be most of what they cost. */
static void put_status(struct buf *b, int status)
{
    unsigned s = (unsigned)status % 1000;
    char line[] = { 'H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', (char)('0' + s / 100), (char)('0' + s / 10 % 10), (char)('0' + s % 10), ' ' };

    buf_append(b, line, sizeof(line));
    buf_cstr(b, h1_reason(status));
    buf_append(b, "\r\n", 2);
}

static void put_line(struct buf *b, struct str key, struct str value)
{
    buf_str(b, key);
    buf_append(b, ": ", 2);
    buf_str(b, value);
    buf_append(b, "\r\n", 2);
}

void http_res_head(const struct http_res *res, const char *framing, bool keep_alive, uint8_t minor, struct buf *b)
{
    uint8_t *room;

    (void)buf_reserve(b, HEAD_USUAL, &room); /* grown once */
    put_status(b, res->status);
    put_date(b);
    if (res->content_type)
        put_line(b, STR("Content-Type"), str_of(res->content_type));
    for (size_t i = 0; i < res->n_headers; i++) {
        const struct kv *kv = &res->headers[i];

        /* A line break inside a value would be a header of somebody else's choice. */
        if (is_clean(kv->key) && is_clean(kv->value))
            put_line(b, kv->key, kv->value);
    }
    buf_cstr(b, framing);
    if (!keep_alive)
        buf_cstr(b, "Connection: close\r\n");
    else if (minor == 0)
        buf_cstr(b, "Connection: keep-alive\r\n");
    buf_cstr(b, "\r\n");
}

bool http_res_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

const char *http_res_slug(int status)
{
    switch (status) {
    case 401:
        return "http.unauthorized";
    case 403:
        return "http.forbidden";
    case 404:
        return "http.not_found";
    case 405:
        return "http.method";
    case 408:
        return "http.timeout";
    case 413:
        return "http.too_large";
    case 417:
        return "http.expect";
    case 429:
        return "http.throttled";
    case 503:
        return "server.overloaded";
    default:
        return "http.refused";
    }
}
