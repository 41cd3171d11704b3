/* agent/roles/port_scan.c - scans a range of ports (agent/ports.h), tells the last scan as the section "ports", answers the server's
 * questions for free ones. Without --port-scan, or when it is off, it runs all the same, to say that it does not scan. */
#include <errno.h>

#include "agent/collect/collect.h"
#include "agent/ports.h"
#include "agent/roles.h"
#include "base/mem.h"
#include "codec/json.h"

struct port_scan_role {
    const struct role_env *env;
    struct ports *ports;         /* NULL: it does not scan ... */
    struct err_text why_not;     /* ... and this is the answer */
    char why_text[192];
};

/* A question of the server, while the pool thread looks. */
struct question {
    const struct role_env *env;
    uint64_t id;
};

/* -- telling */

static void put_used(const struct ports_result *r, struct buf *out)
{
    struct jw w = JW(out);

    jw_map(&w);
    for (size_t i = 0; i < r->n_sources; i++) {
        jw_key(&w, r->source[i]);
        jw_u64(&w, r->used[i]);
    }
    jw_end_map(&w);
}

static void tell(const struct port_scan_role *p)
{
    const struct ports_result *r = ports_result(p->ports);
    AUTO(buf_done) struct buf used = BUF(COLLECT_PORTS_USED_MAX - 1);

    put_used(r, &used);
    collect_ports_tell(&(struct collect_ports){ .start = r->scan.first,
                                                .end = r->scan.last,
                                                .available = r->scan.available,
                                                .reserved = r->scan.reserved,
                                                .method = name_of(port_method_names, p->env->settings->scan_method),
                                                .used = buf_as_str(&used) });
}

static void on_scanned(void *ctx)
{
    struct port_scan_role *p = ctx;
    const struct err *trouble = ports_trouble(p->ports);

    if (trouble) {
        p->env->set_health(p->env->host, p, ROLE_FAILED, trouble->text);
        return;
    }
    p->env->set_health(p->env->host, p, ROLE_OK, "");
    tell(p);
}

/* Leases come and go between two scans; whoever asks is told those there are. */
static void on_leased(void *ctx)
{
    struct port_scan_role *p = ctx;
    const struct role_shared *shared = p->env->shared;

    if (!p->ports || !ports_result(p->ports)->scan.at)
        return; /* the first scan tells them */
    tell(p);
    if (shared->look_again)
        shared->look_again(shared->inventory, SECTION_PORTS);
}

/* -- answering */

static void send_answer(const struct role_env *env, uint64_t id, const struct ports_answer *a)
{
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    Muster__V1__PortsAnswer out = MUSTER__V1__PORTS_ANSWER__INIT;
    AUTO_FREE char *slug = str_dup(a->error.slug), *text = str_dup(a->error.text), *lease = str_dup(a->lease);
    AUTO_FREE uint32_t *ports = xcalloc(a->n + 1, sizeof(*ports));

    for (uint32_t i = 0; i < a->n; i++)
        ports[i] = a->ports[i];
    out.request_id = id;
    out.error_slug = slug;
    out.error_text = text;
    out.n_ports = a->n;
    out.ports = ports;
    out.lease = lease;
    out.expires_at_us = a->expires_at;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER;
    m.ports_answer = &out;
    (void)env->send(env->host, &m); /* the link is gone: so is the question */
}

static void on_answer(void *ctx, const struct ports_answer *a)
{
    AUTO_FREE struct question *q = ctx;

    send_answer(q->env, q->id, a);
}

static void on_request(struct port_scan_role *p, const Muster__V1__PortsRequest *rq)
{
    struct ports_wish w = { .count = rq->count, .ttl_seconds = rq->ttl_seconds, .owner = str_of(rq->owner) };
    struct question *q;

    if (!p->ports) {
        send_answer(p->env, rq->request_id, &(struct ports_answer){ .error = p->why_not });
        return;
    }
    q = xnew0(struct question);
    *q = (struct question){ p->env, rq->request_id };
    ports_allocate(p->ports, &w, on_answer, q);
}

/* -- the hooks */

/* The policy does not allow it, or it could not start: nobody gets ports here, and the section says why. */
static void stand_off(struct port_scan_role *p)
{
    bool is_policy = p->env->off == ROLE_DISABLED;

    (void)snprintf(p->why_text, sizeof(p->why_text), "the role port_scan %s%s", is_policy ? "is " : "could not start: ", p->env->off_why);
    p->why_not = (struct err_text){ is_policy ? STR("ports.disabled") : STR("ports.failed"), str_of(p->why_text) };
    collect_ports_off((enum section_status)p->env->off, p->env->off_why);
}

static int port_scan_start(const struct role_env *env, void **ret_self, struct err *err)
{
    const struct role_settings *s = env->settings;
    struct port_scan_role *p = xnew0(struct port_scan_role);
    struct ports_conf conf = { .loop = env->loop, .root = env->root, .first = s->scan_first, .last = s->scan_last, .every = s->scan_every,
                               .method = (enum port_method)s->scan_method, .max_count = s->scan_max_count, .scanned = on_scanned,
                               .leased = on_leased, .ctx = p };
    AUTO_FREE char *leases = xasprintf("%s/port-leases.json", env->state_dir);
    int r = 0;

    conf.lease_file = leases;
    p->env = env;
    p->why_not = (struct err_text){ STR("ports.disabled"), STR("the port scan is off on this host (--port-scan START-END)") };
    if (env->off)
        stand_off(p);
    else if (s->scan_first)
        r = ports_new(&conf, &p->ports, err);
    else
        env->set_health(env->host, p, ROLE_DISABLED, "off: --port-scan is not set");
    if (r < 0) {
        free(p);
        return r;
    }
    env->shared->ports = p->ports;
    *ret_self = p;
    return 0;
}

static void port_scan_message(void *self, const struct role_msg *m)
{
    if (m->kind == ROLE_MSG_SERVER && m->server->body_case == MUSTER__V1__SERVER_MESSAGE__BODY_PORTS_REQUEST)
        on_request(self, m->server->ports_request);
}

static void port_scan_stop(void *self)
{
    struct port_scan_role *p = self;

    p->env->shared->ports = NULL;
    ports_free(p->ports);
    collect_ports_tell(NULL);
    free(p);
}

const struct role role_port_scan = {
    .abi = ROLE_ABI, .size = sizeof(struct role),
    .name = "port_scan", .contexts = ROLE_SYSTEM, .needs = ROLE_NEED_NET, .when_off = ROLE_SAYS,
    .start = port_scan_start, .message = port_scan_message, .stop = port_scan_stop,
};
