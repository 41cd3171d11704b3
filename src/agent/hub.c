/* agent/hub.c - see hub.h. */
#include "agent/hub.h"

#include <assert.h>
#include <errno.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "pb/pb.h"

enum { HUB_ROLES_MAX = 32, HEALTH_MAX = 160 };

struct seat {
    struct hub *hub;
    const struct role *role;
    struct role_env env;
    void *self;
    bool is_running; /* it has hooks to call; env.off: only to say that it is off */
    enum role_status status;
    char message[HEALTH_MAX];
    struct timer *tick;
    usec_t due; /* loop time, while the timer runs */
};

struct hub {
    struct hub_conf conf;
    struct hub_ops ops;
    struct spool *spool;
    struct seat *seats;
    size_t n_seats;
    struct role_shared shared;
};

/* -- services. @host is the seat, so that a role need not know its own name. */

static bool env_is_up(void *host)
{
    struct hub *h = ((struct seat *)host)->hub;

    return h->ops.is_up(h->ops.ctx);
}

static int64_t env_send(void *host, const Muster__V1__AgentMessage *m)
{
    struct hub *h = ((struct seat *)host)->hub;

    return h->ops.send(h->ops.ctx, m);
}

static int env_keep(void *host, const Muster__V1__AgentMessage *m, uint64_t *ret_seq)
{
    struct hub *h = ((struct seat *)host)->hub;
    AUTO(buf_done) struct buf b = BUF(LIMIT_GRPC_MESSAGE - 16); /* its number is put behind it when it is sent */
    int r = pb_pack(m, &b);

    if (r < 0)
        return r;
    r = spool_append(h->spool, buf_as_str(&b), ret_seq);
    if (r == SPOOL_OK)
        h->ops.kept(h->ops.ctx);
    return r;
}

static void env_kept(void *host, void (*fn)(void *ctx, uint64_t seq, const Muster__V1__AgentMessage *m), void *ctx)
{
    struct hub *h = ((struct seat *)host)->hub;
    struct pb_arena pa;
    struct str msg;
    uint64_t seq = 0;

    pb_arena_init(&pa, LIMIT_PB_ARENA);
    while (spool_next(h->spool, seq, &msg, &seq) == 1) {
        const Muster__V1__AgentMessage *m = pb_unpack(&muster__v1__agent_message__descriptor, &pa, msg);

        if (m)
            fn(ctx, seq, m);
        pb_arena_reset(&pa);
    }
    pb_arena_done(&pa);
}

static void env_tick_in(void *host, const void *self, usec_t after)
{
    struct seat *s = host;
    usec_t due = loop_now(s->hub->conf.loop) + after;

    (void)self;
    if (timer_is_running(s->tick) && s->due <= due)
        return;
    s->due = due;
    timer_start(s->tick, after, 0);
}

static void env_set_health(void *host, const void *self, enum role_status status, const char *message)
{
    struct seat *s = host;

    (void)self;
    if (s->env.off)
        return;
    s->status = status;
    (void)snprintf(s->message, sizeof(s->message), "%s", message);
}

/* -- the roles */

static void seat_on_tick(void *ctx)
{
    struct seat *s = ctx;

    if (s->is_running && s->role->tick)
        s->role->tick(s->self);
}

static bool may_run(const struct hub *h, const struct role *r)
{
    return r->when_off == ROLE_STAYS || policy_allows_role(h->conf.policy, r->name);
}

int hub_check_policy(const struct policy *p, struct err *err)
{
    for (size_t i = 0; p->roles && p->roles[i]; i++) {
        const struct role *const *r = role_table;

        while (*r && strcmp((*r)->name, p->roles[i]) != 0)
            r++;
        if (!*r)
            return err_set(err, -EINVAL, "policy.bad", "the policy names the role \"%s\": there is none of that name", p->roles[i]);
    }
    return 0;
}

static int seat_open(struct seat *s, struct err *err)
{
    int r;

    s->tick = timer_new(s->hub->conf.loop, seat_on_tick, s);
    r = s->role->start(&s->env, &s->self, err);
    s->is_running = r == 0;
    if (r == 0)
        return 0;
    timer_free(s->tick);
    s->tick = NULL;
    return r;
}

/* It does nothing, and says so to whoever asks. */
static void seat_open_off(struct seat *s, enum role_status off, const char *why)
{
    struct err err = { 0 };

    env_set_health(s, NULL, off, why);
    s->env.off = off;
    s->env.off_why = s->message;
    if (s->role->when_off != ROLE_GONE && seat_open(s, &err) < 0)
        log_error("role.start", "a role cannot even say that it is off", LOG_CSTR("role", s->role->name), LOG_ERR(&err));
}

static void seat_start(struct seat *s)
{
    struct hub *h = s->hub;
    struct err err = { 0 };

    s->env = (struct role_env){
        .abi = ROLE_ABI,
        .loop = h->conf.loop,
        .state_dir = h->conf.state_dir,
        .hold_path = h->conf.hold_path,
        .root = h->conf.root ? h->conf.root : "",
        .policy = h->conf.policy,
        .settings = &h->conf.settings,
        .shared = &h->shared,
        .host = s,
        .is_up = env_is_up,
        .send = env_send,
        .keep = env_keep,
        .kept = env_kept,
        .tick_in = env_tick_in,
        .set_health = env_set_health,
    };
    if (!may_run(h, s->role)) {
        seat_open_off(s, ROLE_DISABLED, POLICY_OFF);
        return;
    }
    env_set_health(s, NULL, ROLE_OK, "");
    if (seat_open(s, &err) < 0) {
        log_error("role.start", "a role could not start", LOG_CSTR("role", s->role->name), LOG_ERR(&err));
        seat_open_off(s, ROLE_FAILED, err.text);
    }
}

static void seat_stop(struct seat *s)
{
    if (s->is_running)
        s->role->stop(s->self);
    s->is_running = false;
    s->self = NULL;
    timer_free(s->tick);
    s->tick = NULL;
}

int hub_new(const struct hub_conf *conf, struct hub **ret, struct err *err)
{
    AUTO(hub_free) struct hub *h = xnew0(struct hub);
    AUTO_FREE char *path = xasprintf("%s/spool", conf->state_dir);
    int r;

    h->conf = *conf;
    r = spool_open(path, (size_t)conf->spool_max_bytes, &h->spool, err);
    if (r < 0)
        return r;
    *ret = TAKE(h);
    return 0;
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    for (size_t i = h->n_seats; i > 0; i--)
        seat_stop(&h->seats[i - 1]);
    free(h->seats);
    if (h->spool)
        spool_settle(h->spool); /* else the next Hello would name facts the server had before, and be asked for them in full */
    spool_free(h->spool);
    free(h);
}

void hub_start(struct hub *h, const struct hub_ops *ops)
{
    h->ops = *ops;
    while (role_table[h->n_seats])
        h->n_seats++;
    assert(h->n_seats <= HUB_ROLES_MAX);
    h->seats = xcalloc(h->n_seats, sizeof(*h->seats));
    for (size_t i = 0; i < h->n_seats; i++) {
        h->seats[i] = (struct seat){ .hub = h, .role = role_table[i] };
        assert(role_table[i]->abi == ROLE_ABI && role_table[i]->size == sizeof(struct role));
        seat_start(&h->seats[i]);
    }
}

struct spool *hub_spool(struct hub *h)
{
    return h->spool;
}

void hub_tell(struct hub *h, const struct role_msg *m)
{
    for (size_t i = 0; i < h->n_seats; i++)
        if (h->seats[i].is_running)
            h->seats[i].role->message(h->seats[i].self, m);
}

void hub_fill_hello(struct hub *h, Muster__V1__Hello *hello, struct arena *arena)
{
    hello->roles = arena_array(arena, h->n_seats, sizeof(*hello->roles));
    if (!hello->roles)
        return;
    for (size_t i = 0; i < h->n_seats; i++)
        if (!h->seats[i].env.off && h->seats[i].status != ROLE_DISABLED)
            hello->roles[hello->n_roles++] = (char *)(uintptr_t)h->seats[i].role->name;
}

void hub_fill_beat(struct hub *h, Muster__V1__Heartbeat *beat, struct arena *arena)
{
    beat->roles = arena_array(arena, h->n_seats, sizeof(*beat->roles));
    if (!beat->roles)
        return;
    for (size_t i = 0; i < h->n_seats; i++) {
        struct seat *s = &h->seats[i];
        Muster__V1__RoleHealth *r = arena_new0(arena, Muster__V1__RoleHealth);

        if (!r)
            return;
        muster__v1__role_health__init(r);
        r->name = (char *)(uintptr_t)s->role->name;
        r->status = (char *)(uintptr_t)(s->status ? name_of(section_status_names, (int)s->status) : "");
        r->message = s->message;
        beat->roles[beat->n_roles++] = r;
    }
}

void hub_policy_changed(struct hub *h)
{
    for (size_t i = 0; i < h->n_seats; i++) {
        struct seat *s = &h->seats[i];
        bool may = may_run(h, s->role);

        if (may ? !s->env.off : s->env.off == ROLE_DISABLED)
            continue; /* as before; what failed is tried again */
        seat_stop(s);
        seat_start(s);
    }
    hub_tell(h, &(struct role_msg){ .kind = ROLE_MSG_POLICY });
}
