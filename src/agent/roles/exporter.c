/* agent/roles/exporter.c - the metrics endpoint of the role port_scan, for Prometheus and for who asks on the spot (agent/ports_http.h).
 * Off unless --metrics-listen says where. */
#include <errno.h>

#include "agent/collect/source.h"
#include "agent/ports_http.h"
#include "agent/roles.h"
#include "base/mem.h"

struct exporter {
    const struct role_env *env;
    struct ports_http *http;
};

static struct ports *lend_ports(void *ctx)
{
    return ((struct exporter *)ctx)->env->shared->ports;
}

static int exporter_start(const struct role_env *env, void **ret_self, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(16 << 10);
    const struct role_settings *s = env->settings;
    struct str hostname = src__word(a, env->root, "/proc/sys/kernel/hostname");
    AUTO_FREE char *name = str_dup(hostname.len ? hostname : STR("unknown"));
    struct exporter *e = xnew0(struct exporter);
    struct ports_http_conf conf = { .loop = env->loop, .addr = s->metrics_addr, .port = s->metrics_port, .hostname = name,
                                    .token = s->metrics_token, .max_count = s->scan_max_count, .ports = lend_ports, .ctx = e };
    int r = 0;

    e->env = env;
    if (s->metrics_addr)
        r = ports_http_new(&conf, &e->http, err);
    else
        env->set_health(env->host, e, ROLE_DISABLED, "off: --metrics-listen is not set");
    if (r < 0) {
        free(e);
        return r;
    }
    *ret_self = e;
    return 0;
}

static void exporter_message(void *self, const struct role_msg *m)
{
    (void)self;
    (void)m;
}

static void exporter_stop(void *self)
{
    struct exporter *e = self;

    ports_http_free(e->http);
    free(e);
}

const struct role role_exporter = {
    .abi = ROLE_ABI, .size = sizeof(struct role),
    .name = "exporter", .contexts = ROLE_SYSTEM, .needs = ROLE_NEED_NET,
    .start = exporter_start, .message = exporter_message, .stop = exporter_stop,
};
