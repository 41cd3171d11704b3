/* codec/jwt.c - see jwt.h. */
#include "codec/jwt.h"

#include <errno.h>

#include "base/crypto.h"
#include "base/text.h"

static const char HEADER[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

/* Cuts header, payload and signature; @ret_signed is what the signature is over. */
static int cut(struct str token, struct str *ret_signed, struct str part[3])
{
    struct str rest = token, extra;

    if (token.len > JWT_MAX)
        return -EBADMSG;
    for (int i = 0; i < 3; i++)
        if (!str_cut(&rest, '.', &part[i]) || part[i].len == 0)
            return -EBADMSG;
    if (str_cut(&rest, '.', &extra))
        return -EBADMSG;
    *ret_signed = str_sub(token, 0, part[0].len + 1 + part[1].len);
    return 0;
}

static int part_json(struct str part, struct arena *a, struct node **ret)
{
    AUTO(buf_done) struct buf b = BUF(JWT_MAX);
    struct str text;

    /* The alphabet of RFC 4648 section 5 only, without padding: one token has one spelling. */
    for (size_t i = 0; i < part.len; i++)
        if (part.ptr[i] == '+' || part.ptr[i] == '/' || part.ptr[i] == '=')
            return -EBADMSG;
    if (base64_decode(&b, part) < 0)
        return -EBADMSG;
    text = arena_str(a, buf_as_str(&b));
    if (!text.ptr || json_parse(a, text, JWT_MAX, ret, NULL) < 0 || (*ret)->type != NODE_MAP)
        return -EBADMSG;
    return 0;
}

int jwt_sign(const uint8_t key[32], struct str payload, struct buf *out)
{
    AUTO(buf_done) struct buf b = BUF(2 * JWT_MAX);
    uint8_t mac[SHA256_LEN];

    if (base64url_encode(&b, str_of(HEADER)) < 0 || buf_cstr(&b, ".") < 0 || base64url_encode(&b, payload) < 0)
        return -ENOBUFS;
    hmac_sha256(str_bytes(key, 32), buf_as_str(&b), mac);
    if (buf_cstr(&b, ".") < 0 || base64url_encode(&b, str_bytes(mac, sizeof(mac))) < 0)
        return -ENOBUFS;
    return b.len > JWT_MAX ? -ENOBUFS : buf_str(out, buf_as_str(&b));
}

int jwt_verify(const uint8_t key[32], struct str token, struct arena *a, struct node **ret)
{
    AUTO(buf_done) struct buf want = BUF(64);
    uint8_t mac[SHA256_LEN];
    const struct node *alg;
    struct node *header;
    struct str part[3], signed_part;

    if (cut(token, &signed_part, part) < 0)
        return -EBADMSG;
    hmac_sha256(str_bytes(key, 32), signed_part, mac);
    if (base64url_encode(&want, str_bytes(mac, sizeof(mac))) < 0 || !secret_eq(buf_as_str(&want), part[2]))
        return -EBADMSG;
    if (part_json(part[0], a, &header) < 0)
        return -EBADMSG;
    alg = node_get(header, "alg");
    if (!alg || alg->type != NODE_STR || !str_is(alg->s, "HS256"))
        return -EBADMSG;
    return part_json(part[1], a, ret);
}

int jwt_peek(struct str token, struct arena *a, struct node **ret)
{
    struct str part[3], signed_part;

    return cut(token, &signed_part, part) < 0 ? -EBADMSG : part_json(part[1], a, ret);
}
