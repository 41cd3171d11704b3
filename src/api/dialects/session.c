/* api/dialects/session.c - see dialect.h: tokens of people who logged in through an accent. */
#include <errno.h>

#include "api/auth.h"
#include "api/dialects/dialect.h"
#include "api/state.h"
#include "base/rand.h"
#include "base/text.h"
#include "codec/jwt.h"

enum { TOKEN_ID_LEN = 16 };

bool session_has_shape(struct str bearer)
{
    size_t dots = 0;

    for (size_t i = 0; i < bearer.len; i++)
        dots += bearer.ptr[i] == '.';
    return dots == 2 && bearer.len <= JWT_MAX;
}

int session_make(struct call *c, const struct session_user *u, const char *dialect, usec_t ttl, struct buf *out)
{
    AUTO(buf_done) struct buf payload = BUF(1024);
    uint64_t now = clock_wall(c->api->conf.clock) / USEC_PER_SEC;
    char sub[24], mark[24], id[2 * TOKEN_ID_LEN + 1];
    uint8_t random[TOKEN_ID_LEN];
    struct jw w = JW(&payload);

    (void)snprintf(sub, sizeof(sub), "%llu", (unsigned long long)u->user_id);
    (void)snprintf(mark, sizeof(mark), "%llu", (unsigned long long)u->mark);
    rand_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), id);
    jw_map(&w);
    jw_key(&w, "sub"); /* a string: RFC 7519 section 4.1.2 */
    jw_cstr(&w, sub);
    jw_key(&w, "name");
    jw_cstr(&w, u->user);
    jw_key(&w, "role");
    jw_cstr(&w, name_of(role_level_names, (int)u->role));
    jw_key(&w, "dialect");
    jw_cstr(&w, dialect);
    jw_key(&w, "type");
    jw_cstr(&w, "access");
    jw_key(&w, "jti"); /* two logins of one second are two sessions */
    jw_cstr(&w, id);
    jw_key(&w, "mark"); /* a string: more than a double holds */
    jw_cstr(&w, mark);
    jw_key(&w, "iat");
    jw_u64(&w, now);
    jw_key(&w, "exp");
    jw_u64(&w, now + ttl / USEC_PER_SEC);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return -ENOBUFS;
    return jwt_sign(session_key(c->control), buf_as_str(&payload), out);
}

/* What the payload must say; the role in it is for people: the user's present one counts. */
struct claims {
    uint64_t user_id, mark, expires_s, number;
    struct str dialect;
};

static int read_claims(const struct node *payload, struct claims *ret)
{
    const struct node *sub = node_get(payload, "sub"), *mark = node_get(payload, "mark"), *exp = node_get(payload, "exp"),
                      *dialect = node_get(payload, "dialect"), *id = node_get(payload, "jti");
    uint8_t number[8];

    if (!sub || sub->type != NODE_STR || str_to_u64(sub->s, &ret->user_id) < 0)
        return -EBADMSG;
    if (!mark || mark->type != NODE_STR || str_to_u64(mark->s, &ret->mark) < 0)
        return -EBADMSG;
    if (!dialect || dialect->type != NODE_STR)
        return -EBADMSG;
    ret->dialect = dialect->s;
    /* Half of it is number enough to tell sessions apart, and a key of the store: those have 63 bits. */
    if (!id || id->type != NODE_STR || hex_decode(str_sub(id->s, 0, 2 * sizeof(number)), number, sizeof(number)) < 0)
        return -EBADMSG;
    ret->number = 0;
    for (size_t i = 0; i < sizeof(number); i++)
        ret->number = ret->number << 8 | number[i];
    ret->number >>= 1;
    if (!exp || exp->type != NODE_INT || exp->i < 0)
        return -EBADMSG;
    ret->expires_s = (uint64_t)exp->i;
    return 0;
}

int session_check(struct api *a, struct str bearer, const char *dialect, const struct peer_info *peer, struct principal *ret, struct err *err)
{
    AUTO(arena_free) struct arena *scratch = arena_new(16 << 10);
    struct claims claims;
    struct node *payload;

    if (jwt_verify(session_key(a->control), bearer, scratch, &payload) < 0 || read_claims(payload, &claims) < 0) {
        (void)err_set(err, -EACCES, "auth.bad_credential", "this session token is not one of ours");
        return credential_refused(a->control, "", peer->addr, err);
    }
    if (claims.expires_s <= clock_wall(a->conf.clock) / USEC_PER_SEC) {
        (void)err_set(err, -EACCES, "auth.expired", "this session has ended: log in again");
        return credential_refused(a->control, "", peer->addr, err);
    }
    if (!dialect || !str_is(claims.dialect, dialect)) {
        (void)err_set(err, -EACCES, "auth.bad_credential", "this session is good for another part of this server only");
        return credential_refused(a->control, "", peer->addr, err);
    }
    if (session_is_ended(a->control, claims.number)) {
        (void)err_set(err, -EACCES, "auth.expired", "this session was logged out: log in again");
        return credential_refused(a->control, "", peer->addr, err);
    }
    return authn_session(a->control, claims.user_id, claims.mark, peer, ret, err);
}

void session_close(struct call *c, struct str token)
{
    struct claims claims;
    struct node *payload;

    if (jwt_verify(session_key(c->control), token, c->arena, &payload) == 0 && read_claims(payload, &claims) == 0)
        session_end(c->control, &c->who, c->peer_addr, claims.number, claims.expires_s * USEC_PER_SEC);
}
