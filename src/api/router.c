/* api/router.c - see router.h. Patterns are cut once at registration; a lookup compares segments row by row:
 * some hundreds of rows cost less than the parsing of the request's head. */
#include "api/router.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/vec.h"
#include "codec/query.h"

struct pattern {
    const struct route *row;
    struct str seg[ROUTE_SEGMENTS]; /* a parameter's name without braces where is_param */
    bool is_param[ROUTE_SEGMENTS];
    size_t n;
    bool is_bad;
};
struct router {
    VEC(struct pattern) rows;
};

struct router *router_new(void)
{
    return xnew0(struct router);
}

void router_free(struct router *r)
{
    if (!r)
        return;
    vec_done(&r->rows);
    free(r);
}

static void pattern_cut(struct pattern *p, const char *path)
{
    struct str rest = str_of(path), seg;
    size_t n_params = 0;

    if (rest.len == 0 || rest.ptr[0] != '/') {
        p->is_bad = true;
        return;
    }
    rest = str_sub(rest, 1, rest.len);
    if (rest.len == 0) /* "/" has one empty segment */
        rest = STR("");
    while (str_cut(&rest, '/', &seg)) {
        if (p->n == ROUTE_SEGMENTS) {
            p->is_bad = true;
            return;
        }
        if (seg.len > 2 && seg.ptr[0] == '{' && seg.ptr[seg.len - 1] == '}') {
            p->is_param[p->n] = true;
            seg = str_sub(seg, 1, seg.len - 2);
            if (++n_params > ROUTE_PARAMS)
                p->is_bad = true;
        }
        p->seg[p->n++] = seg;
    }
}

void router_add(struct router *r, const struct route *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pattern *p = vec_add(&r->rows);

        p->row = &rows[i];
        pattern_cut(p, rows[i].path);
    }
}

static bool pattern_same_shape(const struct pattern *a, const struct pattern *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->is_param[i] != b->is_param[i] || (!a->is_param[i] && !str_eq(a->seg[i], b->seg[i])))
            return false;
    return true;
}

int router_check(const struct router *r, struct err *err)
{
    for (size_t i = 0; i < r->rows.n; i++) {
        const struct pattern *p = &r->rows.v[i];
        const char *method = name_of(http_method_names, (int)p->row->method);

        if (p->is_bad)
            return err_set(err, -EINVAL, "route.pattern", "%s %s: not a pattern", method, p->row->path);
        if (p->row->auth == AUTH_UNSET)
            return err_set(err, -EINVAL, "route.auth_unset", "%s %s says no auth class", method,
                           p->row->path);
        if (!p->row->handler)
            return err_set(err, -EINVAL, "route.handler", "%s %s has no handler", method, p->row->path);
        for (size_t j = i + 1; j < r->rows.n; j++) {
            const struct pattern *q = &r->rows.v[j];

            if (q->row->method != p->row->method || !pattern_same_shape(p, q))
                continue;
            if (!p->row->claims && !q->row->claims)
                return err_set(err, -EINVAL, "route.collision", "%s %s and %s: neither says what it claims",
                               method, p->row->path, q->row->path);
        }
    }
    return 0;
}

static bool pattern_fits(const struct pattern *p, const struct str *segs, size_t n)
{
    if (p->is_bad || p->n != n)
        return false;
    for (size_t i = n; i-- > 0;) /* from behind: most begin alike */
        if (p->is_param[i] ? segs[i].len == 0 : !str_eq(p->seg[i], segs[i]))
            return false;
    return true;
}

/* Literal before name, from the left. */
static int pattern_rank(const struct pattern *a, const struct pattern *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->is_param[i] != b->is_param[i])
            return a->is_param[i] ? -1 : 1;
    return 0;
}

/* Decodes the path's segments into @segs; -EINVAL for what must not be looked up, -E2BIG for more than any
 * row has. */
static int path_cut(struct arena *a, struct str path, struct str segs[ROUTE_SEGMENTS], size_t *ret_n)
{
    struct str rest, seg;
    size_t n = 0;
    int too_many = 0;

    if (path.len == 0 || path.ptr[0] != '/' || path.len > LIMIT_HTTP_PATH)
        return -EINVAL;
    rest = str_sub(path, 1, path.len);
    if (rest.len == 0)
        rest = STR("");
    while (str_cut(&rest, '/', &seg)) {
        struct str decoded = STR("");

        if (seg.len > 0 && path_segment_decode(a, seg, &decoded) < 0)
            return -EINVAL;
        if (n == ROUTE_SEGMENTS)
            too_many = -E2BIG; /* keep looking for bad segments: they are refused louder */
        else
            segs[n++] = decoded;
    }
    *ret_n = n;
    return too_many;
}

static bool method_fits(enum http_method row, enum http_method asked)
{
    return row == asked || (asked == HTTP_HEAD && row == HTTP_GET);
}

/* @best and @p have one shape: who of them takes the request? */
static const struct pattern *pick(const struct pattern *best, const struct pattern *p,
                                  const struct http_req *req)
{
    if (best->row->claims && best->row->claims(req))
        return best;
    if (p->row->claims && p->row->claims(req))
        return p;
    return best->row->claims ? p : best; /* the one without claims answers for nobody's */
}

static void take_params(const struct pattern *p, const struct str *segs, struct route_match *ret)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->is_param[i])
            ret->params[ret->n_params++] = segs[i];
}

void router_match(const struct router *r, const struct http_req *req, struct arena *a,
                  struct route_match *ret)
{
    struct str segs[ROUTE_SEGMENTS];
    const struct pattern *best = NULL;
    bool is_shared = false;
    size_t n = 0;
    int rc;

    *ret = (struct route_match){ .outcome = ROUTE_UNKNOWN };

    rc = path_cut(a, req->path, segs, &n);
    if (rc < 0) {
        ret->outcome = rc == -E2BIG ? ROUTE_UNKNOWN : ROUTE_BAD_PATH;
        return;
    }

    for (size_t i = 0; i < r->rows.n; i++) {
        const struct pattern *p = &r->rows.v[i];

        if (!pattern_fits(p, segs, n))
            continue;
        ret->allow |= 1u << p->row->method;
        ret->is_foreign |= p->row->dialect != NULL;
        if (!method_fits(p->row->method, req->method))
            continue;
        if (!best || pattern_rank(p, best) > 0) {
            best = p;
            is_shared = false;
        } else if (pattern_rank(p, best) == 0) {
            best = pick(best, p, req);
            is_shared = true;
        }
    }

    if (!best) {
        ret->outcome = ret->allow ? ROUTE_METHOD : ROUTE_UNKNOWN;
        return;
    }
    if (is_shared && best->row->claims && !best->row->claims(req)) {
        ret->outcome = ROUTE_UNCLAIMED;
        return;
    }
    ret->outcome = ROUTE_FOUND;
    ret->route = best->row;
    take_params(best, segs, ret);
}

const struct route *router_next(const struct router *r, size_t *iter)
{
    return *iter < r->rows.n ? r->rows.v[(*iter)++].row : NULL;
}

void router_allow_text(uint32_t allow, char *dst, size_t size)
{
    static const enum http_method order[] = { HTTP_GET, HTTP_HEAD,  HTTP_POST,
                                              HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
    size_t len = 0;

    assert(size >= 64);
    if (allow & (1u << HTTP_GET))
        allow |= 1u << HTTP_HEAD;
    dst[0] = '\0';
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (allow & (1u << order[i]))
            len += (size_t)snprintf(dst + len, size - len, "%s, ", name_of(http_method_names, (int)order[i]));
    (void)snprintf(dst + len, size - len, "OPTIONS");
}
