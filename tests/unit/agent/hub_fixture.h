/* tests/unit/agent/hub_fixture.h - the roles on a hub whose link only notes what they say. One hub at a time, in T. */
#ifndef MUSTER_TEST_HUB_FIXTURE_H
#define MUSTER_TEST_HUB_FIXTURE_H

#include "agent/hub.h"
#include "agent/ports.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"
#include "fleet/inventory.h"
#include "pb/pb.h"

static struct {
    struct loop *loop;
    struct hub *hub;
    struct policy policy;
    struct role_settings settings;
    struct timer *watchdog;
    char dir[64], root[80];
    bool is_up, is_late;
    struct pb_arena mem;
    VEC(const Muster__V1__AgentMessage *) sent; /* unpacked from what was sent */
    uint64_t taken_seq;                          /* of the spool */
    int wait_for;                                /* stop the loop at this body */
} T;

static inline bool fake_is_up(void *ctx)
{
    (void)ctx;
    return T.is_up;
}
static inline int64_t fake_send(void *ctx, const Muster__V1__AgentMessage *m)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_GRPC_MESSAGE);

    (void)ctx;
    if (!T.is_up)
        return -ENOTCONN;
    assert_int_equal(pb_pack(m, &b), 0);
    *vec_add(&T.sent) = pb_unpack(&muster__v1__agent_message__descriptor, &T.mem, buf_as_str(&b));
    if ((int)m->body_case == T.wait_for)
        loop_stop(T.loop);
    return 0;
}
static inline void fake_kept(void *ctx)
{
    (void)ctx;
    if (T.wait_for == MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY)
        loop_stop(T.loop);
}
static inline void on_watchdog(void *ctx)
{
    (void)ctx;
    T.is_late = true;
    loop_stop(T.loop);
}

static inline void open_hub(void)
{
    struct hub_conf conf = { .loop = T.loop, .state_dir = T.dir, .hold_path = HOLD_PATH, .root = T.root, .policy = &T.policy,
                             .spool_max_bytes = 4 << 20, .settings = T.settings };
    struct hub_ops ops = { fake_is_up, fake_send, fake_kept, NULL };

    assert_int_equal(hub_new(&conf, &T.hub, NULL), 0);
    hub_start(T.hub, &ops);
}

static inline int set_up(void **state)
{
    (void)state;
    memset(&T, 0, sizeof(T));
    (void)snprintf(T.dir, sizeof(T.dir), "/tmp/test-roles-XXXXXX");
    assert_non_null(mkdtemp(T.dir));
    (void)snprintf(T.root, sizeof(T.root), "%s/root", T.dir); /* a host with nothing in it but what a test puts there */
    assert_int_equal(fd_mkdirs(T.root, 0755), 0);
    T.policy.run = true;
    T.loop = loop_new();
    T.watchdog = timer_new(T.loop, on_watchdog, NULL);
    pb_arena_init(&T.mem, 64 << 20);
    open_hub();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    hub_free(T.hub);
    timer_free(T.watchdog);
    loop_free(T.loop);
    vec_done(&T.sent);
    pb_arena_done(&T.mem);
    (void)fd_remove_tree(T.dir);
    return 0;
}

static inline void run_until(int body)
{
    T.wait_for = body;
    T.is_late = false;
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    loop_run(T.loop);
    timer_stop(T.watchdog);
    T.wait_for = 0;
    assert_false(T.is_late);
}

static inline void welcome(Muster__V1__Welcome *w)
{
    Muster__V1__Welcome plain = MUSTER__V1__WELCOME__INIT;

    T.is_up = true;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_WELCOME, .welcome = w ? w : &plain });
}

static inline void server_says(Muster__V1__ServerMessage__BodyCase what, void *body)
{
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;

    m.body_case = what;
    m.welcome = body;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_SERVER, .server = &m });
}

/* The newest delta of a section that is in the spool behind @after; waits for it. */
static inline const Muster__V1__SectionDelta *delta_of(const char *section)
{
    const Muster__V1__SectionDelta *found = NULL;

    for (;;) {
        struct str msg;
        uint64_t seq;

        while (!found && spool_next(hub_spool(T.hub), T.taken_seq, &msg, &seq) == 1) {
            const Muster__V1__AgentMessage *m = pb_unpack(&muster__v1__agent_message__descriptor, &T.mem, msg);

            T.taken_seq = seq;
            assert_non_null(m);
            if (strcmp(m->inventory->sections[0]->name, section) == 0)
                found = m->inventory->sections[0];
        }
        if (found)
            return found;
        run_until(MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY);
    }
}

static inline void put_users(const char *passwd)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/etc", T.root);
    assert_int_equal(fd_mkdirs(path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/passwd", T.root);
    assert_int_equal(fd_replace_file(path, str_of(passwd), 0644, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/group", T.root);
    assert_int_equal(fd_replace_file(path, STR("a:x:1:\n"), 0644, NULL), 0);
}

/* An agent with these users, linked, and the digest of what it told of them. */
static inline void first_told(const char *passwd, uint8_t digest[SHA256_LEN])
{
    put_users(passwd);
    welcome(NULL);
    memcpy(digest, delta_of("users")->digest.data, SHA256_LEN);
}

static inline void resync(const char *section)
{
    Muster__V1__Resync r = MUSTER__V1__RESYNC__INIT;
    char *names[] = { (char *)(uintptr_t)section };

    r.n_sections = 1;
    r.sections = names;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_RESYNC, &r);
}

#define PASSWD_ONE "ann:x:1001:1:Ann:/home/ann:/bin/sh\n"
#define PASSWD_TWO "bob:x:1002:1:Bob:/home/bob:/bin/sh\n"

static inline const Muster__V1__Hello *hello_of(struct arena *a)
{
    Muster__V1__Hello *h = arena_new0(a, Muster__V1__Hello);

    muster__v1__hello__init(h);
    hub_fill_hello(T.hub, h, a);
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_HELLO, .hello = h, .arena = a });
    return h;
}

static inline void offer(uint64_t id, const char *text)
{
    Muster__V1__TaskOffer o = MUSTER__V1__TASK_OFFER__INIT;
    ProtobufCBinaryData argv[3];
    const char *words[] = { "/bin/sh", "-c", text };

    for (int i = 0; i < 3; i++)
        argv[i] = (ProtobufCBinaryData){ .len = strlen(words[i]), .data = (uint8_t *)(uintptr_t)words[i] };
    o.task_id = id;
    o.n_argv = 3;
    o.argv = argv;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_OFFER, &o);
}

static inline const Muster__V1__AgentMessage *last_sent(void)
{
    assert_true(T.sent.n > 0);
    return T.sent.v[T.sent.n - 1];
}

static inline void ask_ports(uint64_t id, uint32_t count, uint32_t ttl)
{
    Muster__V1__PortsRequest rq = MUSTER__V1__PORTS_REQUEST__INIT;

    rq.request_id = id;
    rq.count = count;
    rq.ttl_seconds = ttl;
    rq.owner = (char *)(uintptr_t)"me";
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_PORTS_REQUEST, &rq);
}

#endif
