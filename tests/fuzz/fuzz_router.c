/* fuzz: api
 * tests/fuzz/fuzz_router.c - api/router.h: paths and Origin/Host lines come from anybody. */
#include "api/auth.h"
#include "api/router.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void handler(struct call *c)
{
    (void)c;
}

static const struct route rows[] = {
    { HTTP_GET, "/", AUTH_NONE, .handler = handler },
    { HTTP_GET, "/api/v1/agents", AUTH_NONE, .handler = handler },
    { HTTP_GET, "/api/v1/agents/{host}", AUTH_NONE, .handler = handler },
    { HTTP_POST, "/api/v1/agents/{host}/approve", AUTH_NONE, .handler = handler },
    { HTTP_GET, "/api/v1/agents/{host}/inventory/{section}", AUTH_NONE, .handler = handler },
    { HTTP_DELETE, "/{a}/{b}/{c}/{d}", AUTH_NONE, .handler = handler },
};

/* First byte: the method; then the path, a newline, the Host header, a newline, the Origin header. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct router *r;
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct net_peer peer = { .is_loopback = true, .is_dev_listener = true };
    struct str rest = str_bytes(data, size), path = STR_NONE, host = STR_NONE;
    struct http_req req = { .peer = &peer, .arena = a };
    struct kv headers[2];
    struct route_match m;
    char allow[64];

    if (size < 2)
        return 0;
    if (!r) {
        r = router_new();
        router_add(r, rows, ARRAY_SIZE(rows));
    }
    req.method = (enum http_method)(data[0] % (HTTP_OTHER + 1));
    rest = str_sub(rest, 1, rest.len);
    (void)str_cut(&rest, '\n', &path);
    (void)str_cut(&rest, '\n', &host);
    req.path = path;
    headers[0] = (struct kv){ STR("host"), host };
    headers[1] = (struct kv){ STR("origin"), rest };
    req.headers = (struct kv_list){ headers, 2 };

    router_match(r, &req, a, &m);
    if (m.outcome == ROUTE_FOUND)
        for (size_t i = 0; i < m.n_params; i++)
            if (m.params[i].len == 0 || str_has_nul(m.params[i]) || str_find_char(m.params[i], '/') >= 0 ||
                str_is(m.params[i], ".."))
                __builtin_trap();
    router_allow_text(m.allow, allow, sizeof(allow));
    (void)auth_dev_rule(true, &req, NULL);
    return 0;
}
