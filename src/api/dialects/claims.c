/* api/dialects/claims.c - see dialect.h: whose request is it, on a path that several accents have. */
#include "api/auth.h"
#include "api/dialects/dialect.h"
#include "codec/jwt.h"

/* The token behind "Bearer ", or {NULL,0}. */
static struct str bearer_of(const struct http_req *req)
{
    struct str h = http_header(req, "authorization");

    return str_starts_nocase(h, STR("bearer ")) ? str_trim(str_sub(h, 7, h.len)) : STR_NONE;
}

struct str claim_session_dialect(const struct http_req *req)
{
    struct str bearer = bearer_of(req);
    const struct node *dialect;
    struct node *payload;

    if (!session_has_shape(bearer) || jwt_peek(bearer, req->arena, &payload) < 0)
        return STR_NONE;
    dialect = node_get(payload, "dialect");
    return dialect && dialect->type == NODE_STR ? dialect->s : STR_NONE;
}

bool claim_bearer_argus(const struct http_req *req)
{
    struct str bearer = bearer_of(req);

    return str_starts(bearer, STR("em_")) || str_starts(bearer, STR("ag_")) || str_is(claim_session_dialect(req), "argus");
}

bool claim_key_grapheon(const struct http_req *req)
{
    return http_header(req, "x-agent-api-key").ptr || str_is(claim_session_dialect(req), "grapheon");
}

bool claim_key_sigma(const struct http_req *req)
{
    return http_header(req, "x-api-key").ptr || str_starts(bearer_of(req), STR("sk_sigma_")) ||
           str_is(claim_session_dialect(req), "sigma");
}

/* Walks the text once: depth by brackets outside strings, a key is a string at depth 1 that a colon follows. */
bool claim_body_key(const struct http_req *req, const char *key)
{
    struct str b = req->body, want = str_of(key);
    size_t start = 0;
    int depth = 0;

    for (size_t i = 0; i < b.len; i++) {
        char ch = b.ptr[i];

        if (ch == '{' || ch == '[')
            depth++;
        else if (ch == '}' || ch == ']')
            depth--;
        if (ch != '"')
            continue;
        start = ++i;
        while (i < b.len && b.ptr[i] != '"')
            i += b.ptr[i] == '\\' ? 2 : 1;
        if (i >= b.len)
            return false;
        if (depth == 1 && str_eq(str_sub(b, start, i - start), want)) {
            size_t j = i + 1;

            while (j < b.len && (b.ptr[j] == ' ' || b.ptr[j] == '\t' || b.ptr[j] == '\n' || b.ptr[j] == '\r'))
                j++;
            if (j < b.len && b.ptr[j] == ':')
                return true;
        }
    }
    return false;
}
