/* bench/sim_enroll.c - enrols the identities that are missing: a few connections, a few calls on each. */
#include <errno.h>

#include "base/mem.h"
#include "base/pki.h"
#include "sim.h"

enum { CONNS = 4, CALLS = 8, TRIES_MAX = 600 };

struct enroller;
struct enroll_conn {
    struct enroller *e;
    struct grpc_client *client;
    uint32_t n_calls;
    bool is_up;
};
struct enroll_call {
    struct enroll_conn *conn;
    size_t index;
    char *key_pem;
    bool is_done;
};
struct enroller {
    struct sim *s;
    void (*done)(struct sim *s);
    struct tls_ctx *tls;
    struct timer *timer; /* carries on after a pause; reconnects */
    struct enroll_conn conns[CONNS];
    VEC(size_t) todo;
    VEC(struct enroll_call *) calls;
    size_t n_left, n_total;
    uint32_t n_tries;    /* failures in a row */
    usec_t pause_until;
    bool is_finished;
};

static void pump(struct enroller *e);

static void fail(struct enroller *e, const char *why)
{
    sim_end(e->s, why);
}

void sim_enroll_done(struct sim *s)
{
    struct enroller *e = TAKE(s->enroller);
    if (!e)
        return;
    for (size_t i = 0; i < CONNS; i++)
        grpc_client_free(e->conns[i].client);
    for (size_t i = 0; i < e->calls.n; i++) { /* under way when it all ended: nobody calls back any more */
        secret_free(e->calls.v[i]->key_pem);
        free(e->calls.v[i]);
    }
    timer_free(e->timer);
    tls_ctx_free(e->tls);
    vec_done(&e->todo);
    vec_done(&e->calls);
    free(e);
    fflush(s->ids.file);
}

/* In a turn of its own: callbacks of net may be on the stack. */
static void finish(void *ctx)
{
    struct enroller *e = ctx;
    struct sim *s = e->s;
    void (*done)(struct sim *) = e->done;
    sim_enroll_done(s);
    if (!s->is_over)
        done(s);
}

static void on_message(void *ctx, uint64_t id, struct str msg)
{
    (void)id;
    struct enroll_call *c = ctx;
    struct enroller *e = c->conn->e;
    struct sim *s = e->s;
    Muster__V1__EnrollReply *m = pb_unpack(&muster__v1__enroll_reply__descriptor, &s->in, msg);
    if (m && m->state == MUSTER__V1__ENROLL_STATE__ENROLL_STATE_APPROVED && m->certificate_pem[0]) {
        identities_set_fleet(&s->ids, m->ca_pem, m->fleet);
        identities_put(&s->ids, c->index, c->key_pem, xstrdup(m->certificate_pem));
        c->key_pem = NULL;
        c->is_done = true;
        e->n_left--;
        e->n_tries = 0;
    } else if (m) {
        snprintf(s->last_error, sizeof(s->last_error), "enrolment answered state %d: %s", (int)m->state, m->message);
        fail(e, m->state == MUSTER__V1__ENROLL_STATE__ENROLL_STATE_PENDING
                    ? "the token does not approve by itself: make one with `muster token create --uses 0 --auto-approve`"
                    : "a simulated host was rejected or revoked");
    }
    pb_arena_reset(&s->in);
}

static void on_finished(void *ctx, uint64_t id, int status, struct str message)
{
    (void)id;
    struct enroll_call *c = ctx;
    struct enroller *e = c->conn->e;
    c->conn->n_calls--;
    for (size_t i = 0; i < e->calls.n; i++)
        if (e->calls.v[i] == c) {
            vec_del_swap(&e->calls, i);
            break;
        }
    if (!c->is_done) {
        *vec_add(&e->todo) = c->index;
        if (status != GRPC_OK)
            snprintf(e->s->last_error, sizeof(e->s->last_error), "%.*s", STR_FMT(message));
        if (status == GRPC_UNAUTHENTICATED || status == GRPC_PERMISSION_DENIED || status == GRPC_INVALID_ARGUMENT)
            fail(e, e->s->last_error);
        else if (++e->n_tries > TRIES_MAX)
            fail(e, "the server does not enrol anybody");
        e->pause_until = sim_now() + 250 * USEC_PER_MS; /* over its limit, or gone */
    }
    secret_free(c->key_pem);
    free(c);
    pump(e);
}

static int ask(struct enroller *e, struct enroll_conn *conn, size_t index)
{
    struct sim *s = e->s;
    char name[32], address[32], id[SHA256_HEX_MAX];
    snprintf(name, sizeof(name), "sim-%05zu", index);
    snprintf(address, sizeof(address), "198.18.%zu.%zu", index >> 8 & 255, index & 255);
    sha256_hex(str_of(name), id);
    AUTO_FREE char *key = pki_key_ed25519();
    AUTO_FREE char *csr = pki_csr_new(key, name, NULL);
    char *addresses[] = { address };
    Muster__V1__HostClaims claims = MUSTER__V1__HOST_CLAIMS__INIT;
    claims.hostname = name;
    claims.machine_id = id;
    claims.os = (char *)(uintptr_t) "Simulated";
    claims.kernel = claims.arch = (char *)(uintptr_t) "sim";
    claims.addresses = addresses;
    claims.n_addresses = 1;
    claims.cpu_cores = 1;
    claims.memory_bytes = 1 << 30;
    Muster__V1__EnrollRequest rq = MUSTER__V1__ENROLL_REQUEST__INIT;
    rq.csr_pem = csr;
    rq.token = s->code;
    rq.claims = &claims;
    rq.agent_version = (char *)(uintptr_t)MUSTER_VERSION;

    struct enroll_call *c = xnew0(struct enroll_call);
    *c = (struct enroll_call){ .conn = conn, .index = index, .key_pem = TAKE(key) };
    const struct grpc_client_call_ops ops = { .message = on_message, .finished = on_finished, .ctx = c };
    uint64_t call;
    buf_reset(&s->out);
    (void)pb_pack(&rq, &s->out);
    int r = grpc_client_call(conn->client, "/muster.v1.Fleet/Enroll", NULL, 60 * USEC_PER_SEC, &ops, &call);
    if (r < 0) {
        secret_free(c->key_pem);
        free(c);
        return r;
    }
    conn->n_calls++;
    *vec_add(&e->calls) = c;
    grpc_send(call, buf_as_str(&s->out));
    grpc_half_close(call);
    return 0;
}

static void on_connected(void *ctx, const struct tls_peer *peer)
{
    (void)peer;
    struct enroll_conn *c = ctx;
    c->is_up = true;
    pump(c->e);
}

static void on_disconnected(void *ctx, const struct err *err)
{
    struct enroll_conn *c = ctx;
    struct enroller *e = c->e;
    snprintf(e->s->last_error, sizeof(e->s->last_error), "%s", err->text);
    c->is_up = false;
    grpc_client_free(TAKE(c->client));
    bool is_fatal = strncmp(err->slug, "tls.", 4) == 0 && strcmp(err->slug, "tls.protocol") != 0;
    if (is_fatal)
        fail(e, e->s->last_error);
    else if (++e->n_tries > 60)
        fail(e, "the server cannot be reached");
    e->pause_until = sim_now() + 500 * USEC_PER_MS;
    pump(e);
}

static void connect_all(struct enroller *e)
{
    const struct grpc_client_conf conf = { .host = e->s->host, .port = e->s->port, .tls = e->tls };
    for (size_t i = 0; i < CONNS; i++) {
        const struct grpc_client_ops ops = { on_connected, on_disconnected, &e->conns[i] };
        if (!e->conns[i].client && e->conns[i].n_calls == 0)
            e->conns[i].client = grpc_client_new(e->s->loop, &conf, &ops);
    }
}

static void pump(struct enroller *e)
{
    if (e->is_finished)
        return;
    if (e->s->is_over) /* the loop ends: sim_enroll_done() puts it away */
        return;
    if (e->n_left == 0) {
        e->is_finished = true;
        loop_soon(e->s->loop, finish, e);
        return;
    }
    if (sim_now() < e->pause_until)
        return; /* the timer carries on */
    for (size_t i = 0; i < CONNS; i++) {
        struct enroll_conn *c = &e->conns[i];
        while (c->is_up && c->n_calls < CALLS && e->todo.n) {
            size_t index = e->todo.v[--e->todo.n];
            if (ask(e, c, index) < 0) {
                *vec_add(&e->todo) = index;
                break;
            }
        }
    }
}

static void on_timer(void *ctx)
{
    struct enroller *e = ctx;
    if (e->is_finished)
        return;
    if (sim_now() >= e->pause_until)
        connect_all(e);
    if (sim_now() >= e->s->progress_at) {
        e->s->progress_at = sim_now() + USEC_PER_SEC;
        fprintf(stderr, "enrolled %zu of %zu%s%s\n", e->n_total - e->n_left, e->n_total, e->n_tries ? "; last error: " : "",
                e->n_tries ? e->s->last_error : "");
    }
    pump(e);
}

void sim_enroll(struct sim *s, void (*done)(struct sim *s))
{
    static const char *const alpn[] = { "h2", NULL };
    struct err err = { 0 };
    struct enroller *e = xnew0(struct enroller);
    *e = (struct enroller){ .s = s, .done = done };
    s->enroller = e;
    for (size_t i = s->ids.n; i-- > 0;) /* taken from the end: low numbers first */
        if (!s->ids.v[i].cert_pem)
            *vec_add(&e->todo) = i;
    e->n_left = e->n_total = e->todo.n;
    for (size_t i = 0; i < CONNS; i++)
        e->conns[i].e = e;
    if (e->n_left) {
        const struct tls_client_conf tls = { .pin = s->ids.pin, .alpn = alpn };
        e->tls = tls_client_new(&tls, &err);
        if (!e->tls) {
            fail(e, err.text);
        } else {
            e->timer = timer_new(s->loop, on_timer, e);
            timer_start(e->timer, 0, 100 * USEC_PER_MS);
        }
    }
    pump(e);
}
