/* net/http1.h - one HTTP/1 message at a time out of bytes, feedable at any split. No I/O, no policy. Loop thread.
 *
 * The library (http-parser) reads; in front of it stands a guard of ours that lets only the strict form through, because the
 * library is built lenient: bare CR or LF, obs-fold, control characters, both lengths, broken chunk framing are refused here.
 * What two parsers could read in two ways is how requests are smuggled. */
#ifndef MUSTER_NET_HTTP1_H
#define MUSTER_NET_HTTP1_H

#include "base/buf.h"
#include "base/field.h"
#include "base/limits.h"

enum h1_kind { H1_REQUEST, H1_RESPONSE };
enum h1_outcome { H1_MORE, H1_DONE, H1_BAD };
enum { H1_CHUNK_EXT_MAX = 256, H1_TRAILER_MAX = 8 << 10 };

struct h1_ops {
    /* The head is complete: fields of struct h1 are set. 0, or the HTTP status to refuse it with. */
    int (*head)(void *ctx);
    /* A piece of the body, lent. 0, or the HTTP status. */
    int (*body)(void *ctx, struct str piece);
};

struct h1 {
    /* -- set when the head is complete; lent until h1_reset() */
    struct str method, target; /* request */
    int status;                /* response */
    uint8_t minor;             /* HTTP/1.minor */
    bool is_keep_alive, is_chunked, has_length, has_body;
    uint64_t length;
    struct kv_list headers; /* names lower-cased, values trimmed */
    /* -- of H1_BAD */
    int bad_status; /* the HTTP status to answer with */
    const char *bad_slug, *bad_text;
    /* -- inside */
    enum h1_kind kind;
    bool is_head_reply; /* response: the request was HEAD, so there is no body */
    const struct h1_ops *ops;
    void *ctx;
    struct buf bytes;
    struct kv *kv;
    size_t n_kv, target_len;
    uint32_t n_head; /* bytes of the head so far */
    uint32_t n_extra; /* of chunk extensions or trailers */
    uint64_t chunk_left;
    uint8_t guard;   /* enum guard */
    uint8_t n_digits;
    bool is_value, is_complete, is_first_line, is_begun;
    _Alignas(8) uint8_t lib[40]; /* struct http_parser, whose header does not go with ours */
};

void h1_init(struct h1 *h, enum h1_kind kind, const struct h1_ops *ops, void *ctx);
/* Ready for the next message; gives all memory back. */
void h1_reset(struct h1 *h);
/* Eats @piece up to the end of the message; *@ret_used says how far. H1_BAD is final until h1_reset(). */
enum h1_outcome h1_feed(struct h1 *h, struct str piece, size_t *ret_used);
/* The peer closed: H1_DONE if that ends a message without length, H1_MORE if nothing had begun, else H1_BAD. */
enum h1_outcome h1_eof(struct h1 *h);
/* A message has begun. */
static inline bool h1_is_begun(const struct h1 *h)
{
    return h->is_begun;
}
struct str h1_header(const struct h1 *h, const char *name);
/* True if the comma-separated header @name has @token (any case). */
bool h1_has_token(const struct h1 *h, const char *name, const char *token);
const char *h1_reason(int status);

#endif
