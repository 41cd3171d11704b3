/* cli/api.c - see api.h. Streams are in stream.c. */
#include "cli/api.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/vec.h"
#include "cli/waiting.h"
#include "codec/query.h"
#include "net/tls_ctx.h"
#include "wire/slugs.h"

void reply_done(struct reply *r)
{
    buf_done_secret(&r->body); /* tokens come this way */
    r->status = 0;
}

void node_list_done(struct node_list *l)
{
    free(l->v);
    *l = (struct node_list){ 0 };
}

/* -- connecting */

static int resolve(struct cli *cli)
{
    const struct global_opts *g = cli->g;
    AUTO(contexts_done) struct contexts contexts = { 0 };
    AUTO_FREE char *path = contexts_path(g->config);
    if (contexts_load(&contexts, path, &cli->err) < 0)
        return RC_CONFIG;
    bool is_flag = false;
    for (size_t i = 0; i < cli->conf->table->n_rows; i++)
        if (strcmp(cli->conf->table->rows[i].name, "server") == 0)
            is_flag = cli->conf->origin[i] == CONF_FROM_FLAG;
    struct target_wish w = { .server = g->server,
                             .server_is_flag = is_flag,
                             .context = g->context,
                             .token = g->token,
                             .pin = g->pin,
                             .ca_file = g->ca };
    int r = target_resolve(&cli->target, &w, &contexts, &cli->err);
    return r < 0 ? RC_CONFIG : RC_OK;
}

static int make_tls(struct cli *cli)
{
    const struct target *t = &cli->target;
    uint8_t pin[SHA256_LEN];
    static const char *const alpn[] = { "http/1.1", NULL };
    AUTO_FREE char *uri = t->fleet ? xasprintf("spiffe://%s/server", t->fleet) : NULL;
    struct tls_client_conf conf = { .ca_pem = t->ca, .alpn = alpn };
    if (t->pin) {
        int r = hex_decode(str_of(t->pin), pin, sizeof(pin));
        assert(r == 0); /* pin_parse() has checked it */
        conf.pin = pin;
        conf.ca_pem = NULL; /* the pin names the same CA and survives a renewed certificate of it */
        conf.expect_uri = uri;
    } else {
        conf.expect_host = t->host; /* --ca: a public or company CA signs for others too */
    }
    cli->tls = tls_client_new(&conf, &cli->err);
    return cli->tls ? RC_OK : RC_CONFIG;
}

int api_connect(struct cli *cli)
{
    if (cli->has_target)
        return RC_OK;
    int rc = resolve(cli);
    return rc == RC_OK ? api_open(cli) : rc;
}

int api_open(struct cli *cli)
{
    int rc = cli->target.is_tls ? make_tls(cli) : RC_OK;
    if (rc != RC_OK)
        return rc;
    if (!cli->loop)
        cli->loop = loop_new();
    cli->has_target = true;
    /* A question that waits until its host fetches it takes up to 35 s. */
    cli->http = api_client(cli, 60 * USEC_PER_SEC);
    return RC_OK;
}

struct http_client *api_client(struct cli *cli, usec_t reply_timeout)
{
    const struct target *t = &cli->target;
    struct http_client_conf conf = { .host = t->unix_path ? "localhost" : t->host,
                                     .port = t->port,
                                     .unix_path = t->unix_path,
                                     .tls = cli->tls,
                                     .reply_timeout = reply_timeout,
                                     .max_body = REPLY_MAX };
    return http_client_new(cli->loop, &conf);
}

size_t api_headers(struct cli *cli, const struct kv **ret)
{
    static char bearer[4096];
    static struct kv kv[4];
    size_t n = 0;
    kv[n++] = (struct kv){ STR("user-agent"), STR("muster/" MUSTER_VERSION) };
    kv[n++] = (struct kv){ STR("content-type"), STR("application/json") };
    if (cli->target.token) {
        snprintf(bearer, sizeof(bearer), "Bearer %s", cli->target.token);
        kv[n++] = (struct kv){ STR("authorization"), str_of(bearer) };
    }
    *ret = kv;
    return n;
}

/* -- errors */

static void safe_copy(struct str s, char *dst, size_t size)
{
    AUTO(buf_done) struct buf b = BUF(4 * s.len + 16);
    text_printable(&b, s);
    struct str safe = str_sub(buf_as_str(&b), 0, size - 1);
    safe.len = utf8_whole_prefix(safe);
    (void)str_copy(safe, dst, size);
}

static int rc_of_status(int status)
{
    switch (status) {
    case 400:
    case 422:
        return RC_USAGE;
    case 401:
    case 403:
        return RC_DENIED;
    case 404:
        return RC_NOT_FOUND;
    case 409:
        return RC_CONFLICT;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return RC_UNREACHABLE;
    default:
        return RC_FAILED;
    }
}

/* First field error, when the sentence does not name it. */
static void add_field(const struct node *error, struct err *err)
{
    const struct node *fields = node_get(error, "fields");
    const struct node *f = fields && fields->type == NODE_LIST ? fields->child : NULL;
    if (!f || f->type != NODE_MAP)
        return;
    char path[ERR_PATH_MAX], why[128];
    safe_copy(node_text(f, "path"), path, sizeof(path));
    safe_copy(node_text(f, "message"), why, sizeof(why));
    if (!path[0] || str_find(str_of(err->text), str_of(path)) >= 0)
        return;
    if (str_find(str_of(err->text), str_of(why)) >= 0) {
        if (str_starts(str_of(err->slug), STR("field."))) /* "at most 49 days" of what? The others name it in their own words. */
            err_prefix(err, "%s", path);
        return;
    }
    size_t at = strlen(err->text);
    snprintf(err->text + at, sizeof(err->text) - at, " (%s: %s)", path, why);
}

/* The user whom a denial denied (empty: the token), the role they lack, and whether a new login would bring it. Only the roles there are: the hint says to type it. */
static void take_denial(const struct node *error, struct err *err)
{
    static const char *const roles[] = { "viewer", "operator", "admin" };
    char who[ERR_WHO_MAX];
    safe_copy(node_text(error, "user"), who, sizeof(who));
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
        if (str_is(node_text(error, "required_role"), roles[i]))
            err_denied(err, who, roles[i]);
    if (err->needs[0] && node_true(error, "login_helps"))
        err_login_helps(err);
}

int api_error(int status, struct str body, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    struct node *root = NULL;
    const struct node *error = NULL;
    if (json_parse(a, body, 1 << 20, &root, NULL) == 0 && root->type == NODE_MAP)
        error = node_get(root, "error");
    char slug[ERR_SLUG_MAX] = "", text[ERR_TEXT_MAX] = "";
    if (error && error->type == NODE_MAP) {
        safe_copy(node_text(error, "code"), slug, sizeof(slug));
        safe_copy(node_text(error, "message"), text, sizeof(text));
    }
    bool is_musterd = slug[0] != '\0';
    if (!is_musterd)
        snprintf(slug, sizeof(slug), "http.%d", status);
    if (!text[0])
        snprintf(text, sizeof(text), "the server answered %d without saying why", status);
    err_set(err, 0, slug, "%s", text);
    if (error && error->type == NODE_MAP) {
        take_denial(error, err);
        add_field(error, err);
    }
    /* host.offline travels as 409 but is about reaching, not about a clash */
    if (strcmp(slug, "host.offline") == 0)
        return RC_UNREACHABLE;
    /* Who does not speak our errors does not judge our command line either. */
    return rc_of_status(status) == RC_USAGE && !is_musterd ? RC_FAILED : rc_of_status(status);
}

int api_transport_rc(const struct err *err)
{
    /* the peer is there, but it is not the one that was asked for */
    if (strcmp(err->slug, "tls.pin") == 0 || strcmp(err->slug, "tls.untrusted") == 0 ||
        strcmp(err->slug, "tls.name") == 0 || strcmp(err->slug, "tls.refused") == 0)
        return RC_DENIED;
    return err->code == -EACCES ? RC_DENIED : RC_UNREACHABLE;
}

/* -- one call */

struct call {
    struct loop *loop;
    struct reply *reply;
    struct err err;
    bool is_done;
};

static void call_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct call *c = ctx;
    if (err)
        c->err = *err;
    c->reply->status = status;
    c->reply->body = BUF(REPLY_MAX + 1); /* one more for a NUL */
    (void)buf_str(&c->reply->body, body);
    c->is_done = true;
    loop_stop(c->loop);
}

int api_call(struct cli *cli, const char *method, const char *target, struct str body, struct reply *ret)
{
    int rc = api_connect(cli);
    if (rc != RC_OK)
        return rc;
    struct call c = { .loop = cli->loop, .reply = ret };
    struct http_client_req req = {
        .method = method, .target = target, .body = body, .done = call_done, .ctx = &c
    };
    req.n_headers = api_headers(cli, &req.headers);
    waiting_begin(cli);
    http_client_send(cli->http, &req);
    while (!c.is_done)
        loop_run(cli->loop);
    waiting_end(cli);
    if (err_is(&c.err)) {
        cli->err = c.err;
        return api_transport_rc(&c.err);
    }
    if (ret->status < 200 || ret->status > 299)
        return api_error(ret->status, buf_as_str(&ret->body), &cli->err);
    return RC_OK;
}

static int bad_reply(struct cli *cli, const char *target, const char *why)
{
    return cli_fail(cli, RC_FAILED, "server.reply", "the answer to %s makes no sense: %s", target, why);
}

int api_json(struct cli *cli, struct arena *a, const char *method, const char *target, struct str body,
             const struct node **ret_root)
{
    AUTO(reply_done) struct reply reply = { 0 };
    int rc = api_call(cli, method, target, body, &reply);
    if (rc != RC_OK)
        return rc;
    struct node *root;
    struct err err = { 0 };
    struct str text = arena_str(a, buf_as_str(&reply.body));
    if (!text.ptr && reply.body.len)
        return bad_reply(cli, target, "it is too large");
    if (json_parse(a, text, REPLY_MAX, &root, &err) < 0)
        return bad_reply(cli, target, err.text);
    if (ret_root)
        *ret_root = root;
    return RC_OK;
}

/* -- lists */

static void write_joined(const struct node_list *l, const char *key, struct buf *raw)
{
    buf_printf(raw, "{\"%s\":[", key);
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_char(raw, ',');
        (void)node_write(l->v[i], raw);
    }
    buf_cstr(raw, "]}");
}

/* The next page starts after this id: "next" as text or number, copied to @dst. Empty: there is none. */
static void next_of(const struct node *root, char *dst, size_t size)
{
    const struct node *n = node_get(root, "next");
    dst[0] = '\0';
    if (n && n->type == NODE_STR)
        (void)str_copy(n->s, dst, size);
    else if (n && n->type == NODE_INT)
        snprintf(dst, size, "%lld", (long long)n->i);
}

static int take_page(struct cli *cli, const char *target, const struct node *root, const char *key,
                     struct node_list *ret)
{
    const struct node *list = root->type == NODE_MAP ? node_get(root, key) : NULL;
    if (!list || list->type != NODE_LIST)
        return bad_reply(cli, target, "there is no list in it");
    for (const struct node *n = list->child; n; n = n->next) {
        ret->v = vec__grow(ret->v, &ret->cap, ret->n, sizeof(*ret->v));
        ret->v[ret->n++] = n;
    }
    return RC_OK;
}

/* Lists that go back in time are paged by "before", the others by "after". */
static const char *page_key(const char *key)
{
    return strcmp(key, "jobs") == 0 || strcmp(key, "changes") == 0 ? "before" : "after";
}

int api_list(struct cli *cli, struct arena *a, const char *target, const char *key, size_t limit,
             struct node_list *ret, struct buf *raw)
{
    enum { PAGE = 10000 };
    AUTO(buf_done) struct buf url = BUF(8192);
    char text[32], next[256] = "", after[256];
    for (int pages = 1;; pages++) {
        buf_reset(&url);
        buf_cstr(&url, target);
        snprintf(text, sizeof(text), "%zu", limit && limit < PAGE ? limit : (size_t)PAGE);
        api_query(&url, "limit", str_of(text));
        api_query(&url, page_key(key), str_of(next));
        AUTO(reply_done) struct reply reply = { 0 };
        int rc = api_call(cli, "GET", buf_as_cstr(&url), STR_NONE, &reply);
        if (rc != RC_OK)
            return rc;
        struct str body = arena_str(a, buf_as_str(&reply.body));
        struct node *root;
        struct err err = { 0 };
        if (!body.ptr || json_parse(a, body, REPLY_MAX, &root, &err) < 0)
            return bad_reply(cli, target, body.ptr ? err.text : "it is too large");
        rc = take_page(cli, target, root, key, ret);
        if (rc != RC_OK)
            return rc;
        next_of(root, after, sizeof(after));
        if (!after[0] || strcmp(after, next) == 0 || (limit && ret->n >= limit)) {
            if (raw && pages == 1)
                (void)buf_str(raw, str_trim(body));
            else if (raw)
                write_joined(ret, key, raw);
            return RC_OK;
        }
        memcpy(next, after, sizeof(next));
    }
}

/* -- small pieces */

void api_path(struct buf *out, ...)
{
    va_list ap;
    va_start(ap, out);
    buf_cstr(out, "/api/v1");
    for (const char *word = va_arg(ap, const char *); word; word = va_arg(ap, const char *)) {
        buf_char(out, '/');
        (void)url_encode(out, str_of(word));
    }
    va_end(ap);
}

void api_query(struct buf *target, const char *key, struct str value)
{
    if (value.len == 0)
        return;
    buf_char(target, str_find_char(buf_as_str(target), '?') < 0 ? '?' : '&');
    buf_printf(target, "%s=", key);
    (void)url_encode(target, value);
}

struct str node_text(const struct node *map, const char *key)
{
    const struct node *n = map && map->type == NODE_MAP ? node_get(map, key) : NULL;
    return n && n->type == NODE_STR ? n->s : STR_NONE;
}

uint64_t node_u64(const struct node *map, const char *key)
{
    const struct node *n = map && map->type == NODE_MAP ? node_get(map, key) : NULL;
    uint64_t v = 0;
    if (n && n->type == NODE_INT && n->i > 0)
        return (uint64_t)n->i;
    if (n && n->type == NODE_REAL && n->r >= 1 && n->r < 1e18)
        return (uint64_t)n->r;
    if (n && n->type == NODE_STR)
        (void)str_to_u64(n->s, &v);
    return v;
}

bool node_true(const struct node *map, const char *key)
{
    const struct node *n = map && map->type == NODE_MAP ? node_get(map, key) : NULL;
    return n && n->type == NODE_BOOL && n->b;
}
