/* agent/ports_leases.c - ports that are promised to somebody for a while, in memory and in the agent's state. See ports.h. Loop thread.
 *
 * A lease is on disk before anybody hears of it, so whoever comes after a restart is not given the same ports. The file is written anew
 * as a whole; what has run out in it is nobody's, and left out when it is read. */
#include <assert.h>
#include <errno.h>

#include "agent/ports_priv.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/uuid.h"
#include "codec/json.h"

enum { LEASES_MAX = 256, LEASED_PORTS_MAX = 4096, HELD_PORTS_MAX = 512, FILE_MAX = 512 << 10, FILE_ARENA = 8 << 20 };

static usec_t mono(const struct ports *p)
{
    return clock_mono(p->conf.clock);
}

static void lease_drop_port(struct ports *p, struct lease *l, uint32_t i)
{
    uint16_t *ports = (uint16_t *)(uintptr_t)l->pub.ports;

    if (l->fds) {
        fd_close(&l->fds[i]);
        memmove(l->fds + i, l->fds + i + 1, (l->pub.n - i - 1) * sizeof(*l->fds));
        p->n_held--;
    }
    memmove(ports + i, ports + i + 1, (l->pub.n - i - 1) * sizeof(*ports));
    l->pub.n--;
    p->result.scan.reserved--;
}

static void lease_end(struct ports *p, size_t at)
{
    struct lease *l = &p->leases.v[at];

    while (l->pub.n)
        lease_drop_port(p, l, l->pub.n - 1);
    free((void *)(uintptr_t)l->pub.ports);
    free(l->fds);
    vec_del(&p->leases, at);
}

static void tell_reserved(struct ports *p)
{
    if (p->reserved_told == p->result.scan.reserved)
        return;
    p->reserved_told = p->result.scan.reserved;
    if (p->conf.leased)
        p->conf.leased(p->conf.ctx);
}

void leases__expire(struct ports *p)
{
    usec_t now = mono(p), next = USEC_NEVER;

    for (size_t i = p->leases.n; i > 0; i--) {
        if (p->leases.v[i - 1].until <= now)
            lease_end(p, i - 1);
        else if (p->leases.v[i - 1].until < next)
            next = p->leases.v[i - 1].until;
    }
    if (next == USEC_NEVER)
        timer_stop(p->expiry);
    else
        timer_start(p->expiry, next - now + USEC_PER_MS, 0);
    tell_reserved(p);
}

void leases__on_expiry(void *ctx)
{
    leases__expire(ctx);
}

void leases__end_all(struct ports *p)
{
    while (p->leases.n)
        lease_end(p, p->leases.n - 1);
    vec_done(&p->leases);
}

/* Somebody has bound a leased port: it is theirs, and no longer promised. */
void leases__met(struct ports *p, const uint8_t *used)
{
    for (size_t i = p->leases.n; i > 0; i--) {
        struct lease *l = &p->leases.v[i - 1];

        for (uint32_t k = l->fds ? 0 : l->pub.n; k > 0; k--)
            if (ports__bit(used, l->pub.ports[k - 1] - p->conf.first))
                lease_drop_port(p, l, k - 1);
        if (l->pub.n == 0)
            lease_end(p, i - 1);
    }
    tell_reserved(p);
}

/* -- on disk: {"leases":[{"id","owner","ports":[...],"expires_at","held"}]} */

static void put_lease(struct jw *w, const struct lease *l)
{
    char text[CLOCK_TEXT_MAX];

    jw_map(w);
    jw_key(w, "id");
    jw_cstr(w, l->pub.id);
    jw_key(w, "owner");
    jw_cstr(w, l->owner);
    jw_key(w, "ports");
    jw_list(w);
    for (uint32_t i = 0; i < l->pub.n; i++)
        jw_u64(w, l->pub.ports[i]);
    jw_end_list(w);
    clock_format(l->pub.expires_at, 6, text);
    jw_key(w, "expires_at");
    jw_cstr(w, text);
    jw_key(w, "held");
    jw_bool(w, l->fds != NULL);
    jw_end_map(w);
}

/* All but @gone, which may be NULL. */
static int save(const struct ports *p, const struct lease *gone, struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(FILE_MAX);
    struct jw w = JW(&b);

    if (!p->conf.lease_file)
        return 0;
    jw_map(&w);
    jw_key(&w, "leases");
    jw_list(&w);
    for (size_t i = 0; i < p->leases.n; i++)
        if (&p->leases.v[i] != gone)
            put_lease(&w, &p->leases.v[i]);
    jw_end_list(&w);
    jw_end_map(&w);
    if (jw_done(&w) < 0)
        return err_set(err, -ENOBUFS, "ports.failed", "the leases do not fit into their file");
    return fd_replace_file(p->conf.lease_file, buf_as_str(&b), 0600, err);
}

static bool is_leased(const struct ports *p, uint16_t port)
{
    for (size_t i = 0; i < p->leases.n; i++)
        for (uint32_t k = 0; k < p->leases.v[i].pub.n; k++)
            if (p->leases.v[i].pub.ports[k] == port)
                return true;
    return false;
}

/* -- making */

static bool is_full(const struct ports *p, uint32_t n, bool is_held)
{
    return p->leases.n >= LEASES_MAX || p->result.scan.reserved + n > LEASED_PORTS_MAX || (is_held && p->n_held + n > HELD_PORTS_MAX);
}

/* Everything of @pub is copied; @fds are taken over when they are held. The names of leases and their owners stay where they are when
 * the vector grows: port_lease.owner is set when one is lent. */
static struct lease *add(struct ports *p, const struct port_lease *pub, usec_t ttl, const int *fds)
{
    struct lease *l = vec_add(&p->leases);

    l->pub = *pub;
    (void)str_copy(str_of(pub->owner), l->owner, sizeof(l->owner));
    l->pub.owner = NULL;
    l->pub.ports = xmemdup(pub->ports, pub->n * sizeof(pub->ports[0]));
    l->until = mono(p) + ttl;
    if (pub->is_held) {
        l->fds = xmemdup(fds, pub->n * sizeof(fds[0]));
        p->n_held += pub->n;
    }
    p->result.scan.reserved += pub->n;
    return l;
}

const struct lease *leases__make(struct ports *p, const struct port_lease *wanted, usec_t ttl, const int *fds, struct err *err)
{
    struct uuid id = uuid_v7(clock_wall(p->conf.clock));
    struct port_lease pub = *wanted;
    struct lease *l;

    if (is_full(p, wanted->n, wanted->is_held)) {
        (void)err_set(err, -ENOBUFS, "ports.failed", "too many ports are reserved already");
        return NULL;
    }
    uuid_format(&id, pub.id);
    pub.expires_at = clock_wall(p->conf.clock) + ttl;
    l = add(p, &pub, ttl, fds);
    if (save(p, NULL, err) < 0) {
        free(TAKE(l->fds)); /* they stay the caller's */
        p->n_held -= pub.is_held ? pub.n : 0;
        lease_end(p, p->leases.n - 1);
        return NULL;
    }
    leases__expire(p);
    return &p->leases.v[p->leases.n - 1]; /* the newest: it cannot have run out */
}

/* -- reading */

/* The ports of a row that can still be promised: of this range, and nobody else's. Held ones are bound again, or are no longer ours. */
static uint32_t take_ports(const struct ports *p, const struct node *list, bool is_held, uint16_t *ports, int *fds)
{
    struct probe probe = { .fd = -1, .reuse = p->conf.method == PORT_BIND };
    uint32_t n = 0;

    for (const struct node *e = list->child; e && n < PORTS_MAX; e = e->next) {
        bool is_known = false;

        if (e->type != NODE_INT || e->i < p->conf.first || e->i > p->conf.last || is_leased(p, (uint16_t)e->i))
            continue;
        for (uint32_t i = 0; i < n; i++)
            is_known = is_known || ports[i] == e->i;
        if (is_known)
            continue;
        if (is_held && probe__try(&probe, (uint16_t)e->i, &fds[n]) != 1)
            continue;
        ports[n++] = (uint16_t)e->i;
    }
    probe__done(&probe);
    return n;
}

static void take_row(struct ports *p, const struct node *row)
{
    const struct node *id = node_get(row, "id"), *owner = node_get(row, "owner"), *ports = node_get(row, "ports");
    const struct node *expires = node_get(row, "expires_at"), *held = node_get(row, "held");
    usec_t now = clock_wall(p->conf.clock), at, ttl;
    uint16_t found[PORTS_MAX];
    int fds[PORTS_MAX];
    struct port_lease pub = { .owner = "", .ports = found, .is_held = held && held->type == NODE_BOOL && held->b };
    AUTO_FREE char *name = NULL;

    if (!id || id->type != NODE_STR || id->s.len != UUID_TEXT_LEN || !ports || ports->type != NODE_LIST || !expires ||
        expires->type != NODE_STR || clock_parse(expires->s, &at) < 0 || at <= now || is_full(p, ports->n, pub.is_held))
        return;
    (void)str_copy(id->s, pub.id, sizeof(pub.id));
    if (owner && owner->type == NODE_STR)
        pub.owner = name = str_dup(str_sub(owner->s, 0, LIMIT_NAME));
    ttl = at - now;
    if (ttl > PORTS_TTL_MAX_S * USEC_PER_SEC) /* the clock was set back meanwhile */
        ttl = PORTS_TTL_MAX_S * USEC_PER_SEC;
    pub.expires_at = now + ttl;
    pub.n = take_ports(p, ports, pub.is_held, found, fds);
    if (pub.n)
        (void)add(p, &pub, ttl, fds);
}

void leases__load(struct ports *p)
{
    AUTO(buf_done) struct buf b = BUF(FILE_MAX);
    AUTO(arena_free) struct arena *a = arena_new(FILE_ARENA);
    const struct node *list;
    struct node *root;
    struct err err = { 0 };
    int r = p->conf.lease_file ? fd_read_file(p->conf.lease_file, &b) : -ENOENT;

    if (r == -ENOENT)
        return;
    if (r < 0)
        (void)err_set(&err, r, "ports.leases", "%s: %s", p->conf.lease_file, strerror(-r));
    else
        r = json_parse(a, buf_as_str(&b), FILE_MAX, &root, &err);
    if (r < 0) {
        log_warn("ports.leases", "the leases of before cannot be read: none is kept", LOG_ERR(&err));
        return;
    }
    list = node_get(root, "leases");
    for (const struct node *row = list && list->type == NODE_LIST ? list->child : NULL; row; row = row->next)
        if (row->type == NODE_MAP)
            take_row(p, row);
    leases__expire(p);
}

/* -- for everybody */

void ports_leases(struct ports *p, void (*fn)(void *ctx, const struct port_lease *l), void *ctx)
{
    leases__expire(p);
    for (size_t i = 0; i < p->leases.n; i++) {
        struct port_lease l = p->leases.v[i].pub;

        l.owner = p->leases.v[i].owner;
        fn(ctx, &l);
    }
}

int ports_release(struct ports *p, struct str lease, struct err *err)
{
    leases__expire(p);
    for (size_t i = 0; i < p->leases.n; i++)
        if (str_is(lease, p->leases.v[i].pub.id)) {
            int r = save(p, &p->leases.v[i], err); /* first: what is still in the file comes back with a restart */

            if (r < 0)
                return r;
            lease_end(p, i);
            leases__expire(p);
            return 0;
        }
    return err_set(err, -ENOENT, "ports.no_lease", "there is no such lease");
}

