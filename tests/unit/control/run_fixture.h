/* tests/unit/control/run_fixture.h - people, scripts and agents of runs over the control fixture. */
#ifndef MUSTER_TEST_RUN_FIXTURE_H
#define MUSTER_TEST_RUN_FIXTURE_H

#include "fixture.h"

#include "control/runs.h"

struct talk { /* the answer of the newest verb with a callback */
    int n, result;
    char slug[48];
    uint64_t number;
    bool is_repeat;
};
static inline void on_user_made(void *ctx, int result, const struct err *err)
{
    (void)err;
    *(int *)ctx = result;
}
static inline uint64_t user_make(struct fixture *f, const char *name, enum role_level role)
{
    int result = 1;
    struct user_row u;
    user_create(f->c, &f->admin, str_of(name), role, STR("correct horse"), on_user_made, &result);
    settle(f);
    assert_int_equal(result, 0);
    assert_int_equal(user_find(f->c, str_of(name), &u), 0);
    return u.id;
}
/* A person who logged in. */
static inline struct principal person(struct fixture *f, const char *name)
{
    struct user_row u;
    struct principal p = { .kind = PRINCIPAL_SESSION };
    assert_int_equal(user_find(f->c, str_of(name), &u), 0);
    p.role = u.role;
    p.user_id = u.id;
    snprintf(p.name, sizeof(p.name), "%s", name);
    return p;
}
static const struct peer_info script_peer = { .addr = "192.0.2.9" };
/* A token of @name's and the principal it proves. */
static inline struct principal script(struct fixture *f, const char *name, const char *scope, char ret_text[SECRET_TEXT_MAX])
{
    struct principal p = person(f, name), key;
    const struct credential *cr;
    char text[SECRET_TEXT_MAX];
    if (run_token_create(f->c, &p, STR("t"), str_of(scope), 0, text, &cr, &f->err) < 0)
        fail_msg("token: %s", f->err.text);
    assert_int_equal(run_key_check(f->c, str_of(text), &script_peer, &key, &f->err), 0);
    if (ret_text)
        memcpy(ret_text, text, sizeof(text));
    return key;
}
struct agent {
    struct run_registered got;
    struct run_agent_ref ref;
};
static inline int agent_try(struct fixture *f, const struct principal *p, const char *hostname, const char *label,
                            struct agent *ret)
{
    char cap[128];
    struct str caps[] = { STR("rerun"), STR("stop"), STR_NONE };
    snprintf(cap, sizeof(cap), "label=%s", label ? label : "");
    caps[2] = str_of(cap);
    const struct run_registration rq = {
        .hostname = str_of(hostname), .version = STR("1.0"), .capabilities = { caps, label ? 3 : 2 }, .peer = "192.0.2.7"
    };
    f->err = (struct err){ 0 };
    return run_agent_register(f->c, p, &rq, &ret->got, &f->err);
}
static inline int agent_proves(struct fixture *f, struct agent *a)
{
    f->err = (struct err){ 0 };
    return run_agent_check(f->c, str_of(a->got.agent_id), str_of(a->got.token), "192.0.2.7", &a->ref, &f->err);
}
static inline struct agent agent_make(struct fixture *f, const struct principal *p, const char *hostname)
{
    struct agent a = { 0 };
    if (agent_try(f, p, hostname, NULL, &a) < 0)
        fail_msg("register: %s", f->err.text);
    assert_int_equal(agent_proves(f, &a), 0);
    settle(f);
    return a;
}

/* -- what an agent is told */
struct order {
    char uuid[UUID_TEXT_MAX], batch[RUN_ID_MAX + 1], command[256], cwd[128], secret[64];
    int kind;
    int64_t pid;
};
struct orders {
    struct order v[64];
    size_t n;
};
static inline void on_order_told(void *ctx, const struct run_order *o)
{
    struct orders *os = ctx;
    assert_true(os->n < ARRAY_SIZE(os->v));
    struct order *x = &os->v[os->n++];
    *x = (struct order){ .kind = (int)o->row->kind, .pid = o->pid };
    snprintf(x->uuid, sizeof(x->uuid), "%s", o->uuid);
    snprintf(x->batch, sizeof(x->batch), "%.*s", STR_FMT(o->run->batch_id));
    snprintf(x->command, sizeof(x->command), "%.*s", STR_FMT(str_sub(o->command, 0, 255)));
    if (o->snapshot) {
        snprintf(x->cwd, sizeof(x->cwd), "%.*s", STR_FMT(o->snapshot->cwd));
        if (o->snapshot->env.n)
            snprintf(x->secret, sizeof(x->secret), "%.*s", STR_FMT(o->snapshot->env.v[0].value));
    }
}
static inline struct orders fetch(struct fixture *f, struct agent *a)
{
    struct orders os = { .n = 0 };
    assert_int_equal(agent_proves(f, a), 0);
    run_poll(f->c, &a->ref, on_order_told, &os);
    settle(f);
    return os;
}
static inline int ack(struct fixture *f, struct agent *a, const char *uuid, bool started)
{
    f->err = (struct err){ 0 };
    int r =
        run_ack(f->c, &a->ref, str_of(uuid), started, started ? 4711 : 0, started ? STR_NONE : STR("no such directory"), &f->err);
    settle(f);
    return r;
}
static inline int ended(struct fixture *f, struct agent *a, const char *uuid, int code, int signal, const char *tail)
{
    const struct run_exit e = { .has_code = code >= 0, .code = code, .signal = signal, .log_tail = str_of(tail) };
    f->err = (struct err){ 0 };
    int r = run_exited(f->c, &a->ref, str_of(uuid), &e, &f->err);
    settle(f);
    return r;
}

/* -- what a script tells */
static inline void on_told(void *ctx, int result, const struct err *err, uint64_t number, bool is_repeat)
{
    struct talk *t = ctx;
    t->n++;
    t->result = result;
    t->number = number;
    t->is_repeat = is_repeat;
    snprintf(t->slug, sizeof(t->slug), "%s", err->slug);
}
static inline struct talk tell_event(struct fixture *f, const struct principal *p, const struct run_event *e)
{
    struct talk t = { 0 };
    run_ingest(f->c, p, e, on_told, &t);
    while (!t.n) {
        turn(f);
        if (!t.n && store_committed(f->s) == store_newest(f->s))
            fixture_wait(f);
        else if (!t.n)
            settle(f);
    }
    settle(f);
    return t;
}
static inline struct run_event event_of(const char *batch, enum run_event_type type)
{
    static char ids[256][UUID_TEXT_MAX];
    static unsigned at;
    char *text = ids[at++ % 256];
    struct uuid u = uuid_v4();
    uuid_format(&u, text);
    return (struct run_event){ .type = type,
                               .event_id = str_of(text),
                               .batch_id = str_of(batch),
                               .at = 1600000000 * USEC_PER_SEC,
                               .project = STR("vision"),
                               .host = STR("web-1"),
                               .os_user = STR("bob"),
                               .command = STR("python train.py"),
                               .data = STR("{}") };
}
static inline struct talk tell(struct fixture *f, const struct principal *p, const char *batch, enum run_event_type type)
{
    struct run_event e = event_of(batch, type);
    struct talk t = tell_event(f, p, &e);
    assert_int_equal(t.result, 0);
    return t;
}
/* A batch of @p's that is done, with a command. */
static inline void batch_done(struct fixture *f, const struct principal *p, const char *batch)
{
    tell(f, p, batch, RUN_EVENT_BATCH_START);
    tell(f, p, batch, RUN_EVENT_BATCH_DONE);
}
static inline int look(struct fixture *f, const struct principal *p, const char *batch, struct run_view *v)
{
    f->err = (struct err){ 0 };
    return run_get(f->c, p, str_of(batch), v, &f->err);
}
static inline int state_of(struct fixture *f, const char *batch)
{
    struct run_view v;
    assert_int_equal(look(f, &f->admin, batch, &v), 0);
    return (int)v.row->state;
}
static inline int rerun(struct fixture *f, const struct principal *p, const char *batch, char ret_child[RUN_ID_MAX + 1])
{
    const struct run_rerun w = { .overrides = STR("{\"lr\":1}") };
    struct run_view v;
    f->err = (struct err){ 0 };
    int r = run_rerun(f->c, p, str_of(batch), &w, &v, &f->err);
    if (r == 0)
        snprintf(ret_child, RUN_ID_MAX + 1, "%.*s", STR_FMT(v.row->batch_id));
    settle(f);
    return r;
}
/* A rerun of @p's batch b1 that @a has begun. */
static inline struct order begun(struct fixture *f, const struct principal *p, struct agent *a, char ret_child[RUN_ID_MAX + 1])
{
    batch_done(f, p, "b1");
    assert_int_equal(rerun(f, p, "b1", ret_child), 0);
    struct order o = fetch(f, a).v[0];
    assert_int_equal(ack(f, a, o.uuid, true), 0);
    return o;
}
static inline int stop(struct fixture *f, const struct principal *p, const char *batch)
{
    struct run_view v;
    f->err = (struct err){ 0 };
    int r = run_stop(f->c, p, str_of(batch), &v, &f->err);
    settle(f);
    return r < 0 ? r : (int)v.row->state;
}
#define assert_refused(f, call, code_, slug_)                                                                                      \
    do {                                                                                                                           \
        assert_int_equal(call, code_);                                                                                             \
        assert_string_equal((f)->err.slug, slug_);                                                                                 \
    } while (0)

#endif
