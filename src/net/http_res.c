/* net/http_res.c - see http_res.h. */
#include "net/http_res.h"

#include <time.h>

#include "base/mem.h"
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

/* A refusal for want of room is over soon. */
static const struct kv soon = { { "Retry-After", 11 }, { "2", 1 } };

static const struct {
    int status;
    struct http_refusal is; /* without a text: the status's own words */
} refusals[] = {
    { 401, { .slug = "http.unauthorized" } },
    { 403, { .slug = "http.forbidden" } },
    { 404, { .slug = "http.not_found" } },
    { 405, { .slug = "http.method" } },
    { 408, { .slug = "http.timeout" } },
    { 413, { .slug = "http.too_large" } },
    { 417, { .slug = "http.expect" } },
    { 429, { .slug = "http.throttled" } },
    { 503, { "server.overloaded", "too many requests are arriving at once; try again in a moment", &soon, 1 } },
};

struct http_refusal http_res_refusal(int status)
{
    struct http_refusal r = { .slug = "http.refused" };
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (refusals[i].status == status)
            r = refusals[i].is;
    if (!r.text)
        r.text = h1_reason(status);
    return r;
}
