/* net/http_res.h - a reply's status line and headers as HTTP/1.1 text. Nothing is sent here. Any thread. */
#ifndef MUSTER_NET_HTTP_RES_H
#define MUSTER_NET_HTTP_RES_H

#include "base/buf.h"
#include "net/http.h"

/* Room for a head; what does not fit is left out. */
enum { HTTP_RES_HEAD_MAX = 32 << 10 };

/* Appends the head of @res to @b, up to and with the empty line: status, Date, Content-Type, the headers of @res (one with
 * a control character is left out: a line break in it would be a header of somebody else's choice), @framing ("" or whole
 * lines), Connection. @minor: of the client's HTTP/1.x, which decides whether keep-alive has to be said. */
void http_res_head(const struct http_res *res, const char *framing, bool keep_alive, uint8_t minor, struct buf *b);
/* May a reply of this status carry a body (RFC 9110 section 6.4.1)? */
bool http_res_has_body(int status);
/* What is said of a refusal that came with a status only: "http.not_found", a sentence, headers. All static. */
struct http_refusal {
    const char *slug, *text;
    const struct kv *headers;
    size_t n_headers;
};
struct http_refusal http_res_refusal(int status);

#endif
