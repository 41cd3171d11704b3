/* net/http1.c - http-parser behind a guard. */
#include "net/http1.h"

#include <assert.h>
#include <errno.h>
#include <http_parser.h>

#include "base/mem.h"

_Static_assert(sizeof(struct http_parser) <= sizeof(((struct h1 *)0)->lib), "struct h1 has too little room");

/* What the guard expects next. */
enum guard {
    G_START,      /* empty lines before a message are skipped (RFC 9112 section 2.2) */
    G_START_LF,
    G_FIRST_LINE,
    G_LINE,
    G_LF,         /* after CR inside the head */
    G_LINE_START, /* of a header line, or the CR of the empty line */
    G_END_LF,     /* the LF that ends the head */
    G_BODY,       /* of known length, or up to the end */
    G_CHUNK_SIZE,
    G_CHUNK_EXT,
    G_CHUNK_LF,
    G_CHUNK_DATA,
    G_CHUNK_DATA_CR,
    G_CHUNK_DATA_LF,
    G_TRAILER_START,
    G_TRAILER,
    G_TRAILER_LF,
    G_TRAILER_END_LF,
    G_DONE,
};

static http_parser *lib(struct h1 *h)
{
    return (http_parser *)(void *)h->lib;
}

static enum h1_outcome bad(struct h1 *h, int status, const char *slug, const char *text)
{
    if (h->bad_status == 0) {
        h->bad_status = status;
        h->bad_slug = slug;
        h->bad_text = text;
    }
    return H1_BAD;
}

/* -- the guard */
static bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* A byte of the request or status line. */
static void guard_first_line(struct h1 *h, uint8_t c)
{
    if (c == '\r')
        h->guard = G_LF;
    else if (is_control(c) || c == '\t' || (c >= 0x80 && h->kind == H1_REQUEST))
        bad(h, 400, "http.bad_line", "the first line holds a character that must not be there");
}

/* A byte of a header's line. */
static void guard_line(struct h1 *h, uint8_t c)
{
    if (c == '\r')
        h->guard = G_LF;
    else if (is_control(c))
        bad(h, 400, "http.bad_header", "a header holds a control character");
}

/* A byte of the head: where its lines begin and end. True when it was the head's last. */
static bool guard_head(struct h1 *h, uint8_t c)
{
    switch ((enum guard)h->guard) {
    case G_START:
        if (c == '\r') {
            h->guard = G_START_LF;
            return false;
        }
        h->guard = G_FIRST_LINE;
        h->is_begun = true;
        h->is_first_line = true;
        __attribute__((fallthrough));
    case G_FIRST_LINE:
        guard_first_line(h, c);
        return false;
    case G_LINE_START:
        h->is_first_line = false;
        if (c == '\r') {
            h->guard = G_END_LF;
            return false;
        }
        if (c == ' ' || c == '\t') {
            bad(h, 400, "http.fold", "folded header lines are not accepted");
            return false;
        }
        h->guard = G_LINE;
        __attribute__((fallthrough));
    case G_LINE:
        guard_line(h, c);
        return false;
    case G_START_LF:
    case G_LF:
        if (c != '\n')
            bad(h, 400, "http.bad_line_end", "lines must end with CR LF");
        h->guard = h->guard == G_LF ? G_LINE_START : G_START;
        return false;
    case G_END_LF:
        if (c != '\n')
            bad(h, 400, "http.bad_line_end", "lines must end with CR LF");
        return true;
    case G_BODY:
    case G_CHUNK_SIZE:
    case G_CHUNK_EXT:
    case G_CHUNK_LF:
    case G_CHUNK_DATA:
    case G_CHUNK_DATA_CR:
    case G_CHUNK_DATA_LF:
    case G_TRAILER_START:
    case G_TRAILER:
    case G_TRAILER_LF:
    case G_TRAILER_END_LF:
    case G_DONE:
        break;
    }
    assert(h->guard < G_BODY);
    return false;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void guard_chunk_size(struct h1 *h, uint8_t c)
{
    int digit = hex_digit(c);

    if (digit >= 0 && h->n_digits < 8) {
        h->chunk_left = h->chunk_left << 4 | (uint64_t)digit;
        h->n_digits++;
    } else if (h->n_digits > 0 && c == '\r') {
        h->guard = G_CHUNK_LF;
    } else if (h->n_digits > 0 && c == ';') {
        h->guard = G_CHUNK_EXT;
    } else {
        bad(h, 400, "http.bad_chunk", "the size of a chunk cannot be read");
    }
}

/* One byte of chunked framing (RFC 9112 section 7.1), data excepted. */
static void guard_chunk(struct h1 *h, uint8_t c)
{
    static const char text[] = "the chunked body is not framed as it must be";

    switch ((enum guard)h->guard) {
    case G_CHUNK_SIZE:
        guard_chunk_size(h, c);
        return;
    case G_CHUNK_EXT:
        if (c == '\r')
            h->guard = G_CHUNK_LF;
        else if (is_control(c) || ++h->n_extra > H1_CHUNK_EXT_MAX)
            bad(h, 400, "http.bad_chunk", text);
        return;
    case G_CHUNK_LF:
        h->guard = h->chunk_left > 0 ? G_CHUNK_DATA : G_TRAILER_START;
        break;
    case G_CHUNK_DATA_CR:
        h->guard = G_CHUNK_DATA_LF;
        if (c != '\r')
            bad(h, 400, "http.bad_chunk", text);
        return;
    case G_CHUNK_DATA_LF:
        h->guard = G_CHUNK_SIZE;
        h->n_digits = 0;
        break;
    case G_TRAILER_START:
        h->guard = c == '\r' ? G_TRAILER_END_LF : G_TRAILER;
        if (c == ' ' || c == '\t')
            bad(h, 400, "http.fold", "folded header lines are not accepted");
        if (h->guard == G_TRAILER_END_LF)
            return;
        __attribute__((fallthrough));
    case G_TRAILER:
        if (c == '\r')
            h->guard = G_TRAILER_LF;
        else if (is_control(c) || ++h->n_extra > H1_TRAILER_MAX)
            bad(h, 400, "http.bad_trailer", text);
        return;
    case G_TRAILER_LF:
        h->guard = G_TRAILER_START;
        break;
    case G_TRAILER_END_LF:
        h->guard = G_DONE;
        break;
    case G_START:
    case G_START_LF:
    case G_FIRST_LINE:
    case G_LINE:
    case G_LF:
    case G_LINE_START:
    case G_END_LF:
    case G_BODY:
    case G_CHUNK_DATA:
    case G_DONE:
        return;
    }
    if (c != '\n')
        bad(h, 400, "http.bad_chunk", text);
}

/* How many bytes of @s are well framed (all, or up to the end of the message). */
static size_t guard_body(struct h1 *h, struct str s)
{
    size_t i = 0;

    if (!h->is_chunked)
        return s.len;
    while (i < s.len && h->guard != G_DONE && h->bad_status == 0) {
        if (h->guard == G_CHUNK_DATA) {
            size_t n = s.len - i < h->chunk_left ? s.len - i : (size_t)h->chunk_left;

            i += n;
            h->chunk_left -= n;
            if (h->chunk_left == 0)
                h->guard = G_CHUNK_DATA_CR;
        } else {
            guard_chunk(h, (uint8_t)s.ptr[i++]);
        }
    }
    return i;
}

/* -- what the library found */
static int add(struct h1 *h, const char *p, size_t n)
{
    return buf_append(&h->bytes, p, n) < 0 ? -1 : 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct h1 *h = p->data;

    h->target_len += n;
    return add(h, at, n);
}

static int on_field(http_parser *p, const char *at, size_t n)
{
    struct h1 *h = p->data;

    if (h->guard > G_BODY)
        return 0; /* a trailer: counted by the guard, of no use to us */
    if (h->is_value || h->n_kv == 0) {
        if (h->n_kv == LIMIT_HTTP_HEADERS) {
            bad(h, 431, "http.headers", "more headers than this server takes");
            return -1;
        }
        if (!h->kv)
            h->kv = xcalloc(LIMIT_HTTP_HEADERS, sizeof(*h->kv));
        h->kv[h->n_kv++] = (struct kv){ 0 };
        h->is_value = false;
    }
    h->kv[h->n_kv - 1].key.len += n;
    size_t from = h->bytes.len;

    if (add(h, at, n) < 0)
        return -1;
    for (; from < h->bytes.len; from++)
        if (h->bytes.ptr[from] >= 'A' && h->bytes.ptr[from] <= 'Z')
            h->bytes.ptr[from] |= 0x20;
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct h1 *h = p->data;

    if (h->guard > G_BODY)
        return 0;
    h->is_value = true;
    h->kv[h->n_kv - 1].value.len += n;
    return add(h, at, n);
}

static bool is_token(struct str s)
{
    static const char also[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(also, c)))
            return false;
    }
    return s.len > 0;
}

static size_t count_header(const struct h1 *h, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < h->headers.n; i++)
        n += str_is(h->headers.v[i].key, name);
    return n;
}

/* What RFC 9112 sections 3.2 and 6.3 ask for and the library does not check. */
static int check_head(struct h1 *h, const http_parser *p)
{
    size_t n_length = count_header(h, "content-length"), n_te = count_header(h, "transfer-encoding");

    for (size_t i = 0; i < h->headers.n; i++)
        if (!is_token(h->headers.v[i].key))
            return bad(h, 400, "http.bad_header", "a header's name holds a character that must not be there");
    if (p->http_major != 1)
        return bad(h, 505, "http.version", "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (h->kind == H1_RESPONSE)
        return 0;
    if (n_te > 0 && n_length > 0)
        return bad(h, 400, "http.two_lengths", "both Content-Length and Transfer-Encoding");
    if (n_te > 1 || n_length > 1)
        return bad(h, 400, "http.two_lengths", "the length of the body is given twice");
    if (n_te == 1 && h->minor == 0)
        return bad(h, 400, "http.bad_encoding", "HTTP/1.0 has no Transfer-Encoding");
    if (n_te == 1 && !str_eq_nocase(h1_header(h, "transfer-encoding"), STR("chunked")))
        return bad(h, 501, "http.bad_encoding", "the only Transfer-Encoding is chunked");
    if (count_header(h, "host") != 1 && h->minor > 0)
        return bad(h, 400, "http.host", "HTTP/1.1 asks for exactly one Host header");
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct h1 *h = p->data;
    const char *at = (const char *)h->bytes.ptr;

    h->target = str_bytes(at, h->target_len);
    at += h->target_len;
    for (size_t i = 0; i < h->n_kv; i++) {
        h->kv[i].key.ptr = at;
        at += h->kv[i].key.len;
        h->kv[i].value.ptr = at;
        at += h->kv[i].value.len;
        h->kv[i].value = str_trim(h->kv[i].value);
    }
    h->headers = (struct kv_list){ h->kv, h->n_kv };
    h->minor = (uint8_t)p->http_minor;
    h->status = (int)p->status_code;
    h->method = str_of(h->kind == H1_REQUEST ? http_method_str((enum http_method)p->method) : NULL);
    if (check_head(h, p) != 0)
        return -1;
    h->is_keep_alive = http_should_keep_alive(p) != 0;
    h->is_chunked = (p->flags & F_CHUNKED) != 0;
    h->has_length = count_header(h, "content-length") > 0;
    h->length = h->has_length ? p->content_length : 0;
    h->has_body = h->is_chunked || h->length > 0;
    int status = h->ops->head(h->ctx);

    if (status != 0) {
        bad(h, status, NULL, NULL);
        return -1;
    }
    h->n_extra = 0;
    h->n_digits = 0;
    h->chunk_left = 0;
    h->guard = h->is_chunked ? G_CHUNK_SIZE : G_BODY;
    return h->is_head_reply ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct h1 *h = p->data;
    int status = h->ops->body(h->ctx, str_bytes(at, n));

    if (status != 0) {
        bad(h, status, NULL, NULL);
        return -1;
    }
    return 0;
}

static int on_complete(http_parser *p)
{
    struct h1 *h = p->data;

    h->is_complete = true;
    http_parser_pause(p, 1); /* what follows is another message */
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* -- outside */
void h1_init(struct h1 *h, enum h1_kind kind, const struct h1_ops *ops, void *ctx)
{
    *h = (struct h1){ .kind = kind, .ops = ops, .ctx = ctx };
    h->bytes = BUF(LIMIT_HTTP_HEAD_BYTES);
    http_parser_init(lib(h), kind == H1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE);
    lib(h)->data = h;
}

void h1_reset(struct h1 *h)
{
    buf_done(&h->bytes);
    free(h->kv);
    h1_init(h, h->kind, h->ops, h->ctx);
}

static enum h1_outcome execute(struct h1 *h, struct str s)
{
    http_parser *p = lib(h);
    size_t n = http_parser_execute(p, &settings, s.ptr, s.len);
    enum http_errno e = HTTP_PARSER_ERRNO(p);

    if (h->is_complete)
        return n == s.len ? H1_DONE : bad(h, 400, "http.bad_request", "bytes after the end of the message");
    if (h->bad_status)
        return H1_BAD;
    if (e != HPE_OK)
        return bad(h, e == HPE_INVALID_VERSION ? 505 : 400, "http.bad_request", http_errno_description(e));
    return H1_MORE;
}

/* The path alone is capped here; a long query is the head's business. */
static bool is_path_too_long(const struct h1 *h)
{
    struct str s = str_bytes(h->bytes.ptr, h->target_len);
    ptrdiff_t q = str_find_char(s, '?');

    return (q < 0 ? s.len : (size_t)q) > LIMIT_HTTP_PATH;
}

static enum h1_outcome feed_head(struct h1 *h, struct str s, size_t *ret_used)
{
    size_t i = 0;
    bool is_end = false, is_over = false;

    while (i < s.len && !is_end && h->bad_status == 0) {
        is_end = guard_head(h, (uint8_t)s.ptr[i++]);
        is_over = ++h->n_head > LIMIT_HTTP_HEAD_BYTES;
        if (is_over)
            break;
    }
    *ret_used = i;
    if (is_over)
        return h->is_first_line ? bad(h, 414, "http.target", "the request line is too long")
                                : bad(h, 431, "http.headers", "the headers are larger than this server takes");
    if (h->bad_status)
        return H1_BAD;
    enum h1_outcome outcome = execute(h, str_sub(s, 0, i));

    if (h->kind == H1_REQUEST && is_path_too_long(h)) {
        h->bad_status = 0;
        return bad(h, 414, "http.target", "the path is too long");
    }
    return outcome;
}

static enum h1_outcome feed_body(struct h1 *h, struct str s, size_t *ret_used)
{
    /* A body of known length may be followed by the next request in the same piece: the library finds its end. */
    http_parser *p = lib(h);
    size_t n = guard_body(h, s), used;
    enum http_errno e;

    *ret_used = n;
    if (h->bad_status)
        return H1_BAD;
    used = http_parser_execute(p, &settings, s.ptr, n);
    e = HTTP_PARSER_ERRNO(p);
    if (h->is_complete) {
        *ret_used = used;
        return H1_DONE;
    }
    if (h->bad_status)
        return H1_BAD;
    return e == HPE_OK ? H1_MORE : bad(h, 400, "http.bad_request", http_errno_description(e));
}

enum h1_outcome h1_feed(struct h1 *h, struct str s, size_t *ret_used)
{
    enum h1_outcome outcome = H1_MORE;
    size_t n;

    *ret_used = 0;
    if (h->bad_status)
        return H1_BAD;
    while (s.len > 0 && outcome == H1_MORE) {
        if (h->guard < G_BODY) {
            outcome = feed_head(h, s, &n);
        } else {
            outcome = feed_body(h, s, &n);
        }
        *ret_used += n;
        s = str_bytes(s.ptr + n, s.len - n);
    }
    return outcome;
}

enum h1_outcome h1_eof(struct h1 *h)
{
    if (h->bad_status)
        return H1_BAD;
    if (!h->is_begun)
        return H1_MORE;
    http_parser_execute(lib(h), &settings, NULL, 0);
    return h->is_complete ? H1_DONE : bad(h, 400, "http.cut", "the message ends early");
}

struct str h1_header(const struct h1 *h, const char *name)
{
    for (size_t i = 0; i < h->headers.n; i++)
        if (str_is(h->headers.v[i].key, name))
            return h->headers.v[i].value;
    return STR_NONE;
}

bool h1_has_token(const struct h1 *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->headers.n; i++) {
        struct str rest = h->headers.v[i].value, part;

        if (!str_is(h->headers.v[i].key, name))
            continue;
        while (str_cut(&rest, ',', &part))
            if (str_eq_nocase(str_trim(part), str_of(token)))
                return true;
    }
    return false;
}

const char *h1_reason(int status)
{
    const char *s;

    switch (status) {
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    default:
        s = http_status_str((enum http_status)status);
        return s && s[0] != '<' ? s : "Status";
    }
}
