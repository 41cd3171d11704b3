/* api/native_out.c - link_ops of the native link: wire structs -> protobuf -> the call. control calls these
 * for committed things only, so nothing is held back here. */
#include <errno.h>

#include "api/native_priv.h"
#include "base/limits.h"
#include "base/mem.h"

static struct native_link *link_of(void *ctx, struct link_id id)
{
    struct api *a = ctx;
    struct native_link *l = slots_get(a->native->links, id.v);

    return l && !l->is_ending ? l : NULL;
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)(s ? s : ""); /* packed, never written to */
}

/* NUL-terminated in the arena; "" when it does not fit (then the whole message fails). */
static char *copy(struct native *n, struct str s)
{
    struct str c = arena_str(n->out, s);

    return text(c.ptr);
}

static uint32_t ms(usec_t us)
{
    usec_t v = us / USEC_PER_MS + (us % USEC_PER_MS != 0); /* up: 0 means not given */

    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* Packs and queues @m; resets what it was made of. */
static int send_message(struct native_link *l, Muster__V1__ServerMessage *m)
{
    struct native *n = l->api->native;
    int64_t r;

    buf_reset(&n->packed);
    r = pb_pack(m, &n->packed);
    if (r == 0) {
        n->in_op++;
        r = grpc_send(l->call, buf_as_str(&n->packed));
        n->in_op--;
    }
    buf_reset(&n->packed);
    buf_trim(&n->packed, 64 << 10);
    arena_reset(n->out);
    return r < 0 ? (int)r : 0;
}

static void fill_config(Muster__V1__Config *m, const struct link_config *c)
{
    muster__v1__config__init(m);
    m->heartbeat_ms = c->heartbeat_ms;
    m->max_running_tasks = c->max_running_tasks;
    m->output_cap_bytes = c->output_cap_bytes;
}

static int op_welcome(void *ctx, struct link_id id, const struct link_welcome *w)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Welcome b = MUSTER__V1__WELCOME__INIT;
    Muster__V1__TaskResume *tasks;
    Muster__V1__TaskResume **list;
    Muster__V1__Config config;

    if (!l)
        return -ENOTCONN;
    tasks = arena_array(l->api->native->out, w->n_tasks + 1, sizeof(*tasks));
    list = arena_array(l->api->native->out, w->n_tasks + 1, sizeof(Muster__V1__TaskResume *));
    if (!tasks || !list)
        return -ENOBUFS;
    for (size_t i = 0; i < w->n_tasks; i++) {
        muster__v1__task_resume__init(&tasks[i]);
        tasks[i].task_id = w->tasks[i].task_id;
        tasks[i].known = w->tasks[i].known;
        tasks[i].done = w->tasks[i].done;
        tasks[i].stdout_offset = w->tasks[i].stdout_offset;
        tasks[i].stderr_offset = w->tasks[i].stderr_offset;
        list[i] = &tasks[i];
    }
    fill_config(&config, &w->config);
    b.host_id = text(w->host_uuid);
    b.generation = w->generation;
    b.acked_seq = w->acked_seq;
    b.config = &config;
    b.server_time_us = w->server_time;
    b.tasks = list;
    b.n_tasks = w->n_tasks;
    b.server_version = text(MUSTER_VERSION);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_WELCOME;
    m.welcome = &b;
    return send_message(l, &m);
}

static int op_ack(void *ctx, struct link_id id, uint64_t seq)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Ack b = MUSTER__V1__ACK__INIT;

    if (!l)
        return -ENOTCONN;
    b.seq = seq;
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_ACK;
    m.ack = &b;
    return send_message(l, &m);
}

static int fill_offer(struct native *n, const struct command *cmd, Muster__V1__TaskOffer *b)
{
    Muster__V1__TaskOffer__EnvEntry *env, **env_list;

    b->argv = arena_array(n->out, cmd->argv.n + 1, sizeof(*b->argv));
    env = arena_array(n->out, cmd->env.n + 1, sizeof(*env));
    env_list = arena_array(n->out, cmd->env.n + 1, sizeof(Muster__V1__TaskOffer__EnvEntry *));
    if (!b->argv || !env || !env_list)
        return -ENOBUFS;
    for (size_t i = 0; i < cmd->argv.n; i++)
        b->argv[b->n_argv++] =
            (ProtobufCBinaryData){ cmd->argv.v[i].len, (uint8_t *)(uintptr_t)cmd->argv.v[i].ptr };
    for (size_t i = 0; i < cmd->env.n; i++) {
        muster__v1__task_offer__env_entry__init(&env[i]);
        env[i].key = copy(n, cmd->env.v[i].key);
        env[i].value = copy(n, cmd->env.v[i].value);
        env_list[i] = &env[i];
    }
    b->env = env_list;
    b->n_env = cmd->env.n;
    b->user = copy(n, cmd->user);
    b->cwd = copy(n, cmd->cwd);
    b->job = text(arena_printf(n->out, "%llu", (unsigned long long)cmd->job_id).ptr);
    return 0;
}

/* A deadline as what is left of it: both clocks may be set while the agent waits. Never 0, which means none. */
static usec_t left_until(usec_t deadline, usec_t now)
{
    if (deadline == 0)
        return 0;
    return deadline > now ? deadline - now : 1;
}

static int op_offer(void *ctx, struct link_id id, const struct command *cmd)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__TaskOffer b = MUSTER__V1__TASK_OFFER__INIT;

    if (!l)
        return -ENOTCONN;
    if (fill_offer(l->api->native, cmd, &b) < 0) {
        arena_reset(l->api->native->out);
        return -ENOBUFS;
    }
    b.task_id = cmd->task_id;
    b.timeout_ms = ms(cmd->timeout);
    b.grace_ms = ms(cmd->grace);
    b.output_cap_bytes = cmd->output_cap_bytes;
    b.stdin_open = cmd->stdin_open;
    b.stdin = (ProtobufCBinaryData){ cmd->stdin_data.b.len, (uint8_t *)(uintptr_t)cmd->stdin_data.b.ptr };
    b.start_within_us = left_until(cmd->start_before, clock_wall(l->api->conf.clock));
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_OFFER;
    m.offer = &b;
    return send_message(l, &m);
}

static int op_cancel(void *ctx, struct link_id id, uint64_t task_id, usec_t grace)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__TaskCancel b = MUSTER__V1__TASK_CANCEL__INIT;

    if (!l)
        return -ENOTCONN;
    b.task_id = task_id;
    b.grace_ms = ms(grace);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_CANCEL;
    m.cancel = &b;
    return send_message(l, &m);
}

static int op_input(void *ctx, struct link_id id, uint64_t task_id, uint64_t offset, struct str data,
                    bool eof)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__TaskInput b = MUSTER__V1__TASK_INPUT__INIT;

    if (!l)
        return -ENOTCONN;
    b.task_id = task_id;
    b.offset = offset;
    b.data = (ProtobufCBinaryData){ data.len, (uint8_t *)(uintptr_t)data.ptr };
    b.eof = eof;
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_INPUT;
    m.input = &b;
    return send_message(l, &m);
}

static int op_task_ack(void *ctx, struct link_id id, uint64_t task_id, uint64_t stdout_offset,
                       uint64_t stderr_offset, bool finished)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__TaskAck b = MUSTER__V1__TASK_ACK__INIT;

    if (!l)
        return -ENOTCONN;
    b.task_id = task_id;
    b.stdout_offset = stdout_offset;
    b.stderr_offset = stderr_offset;
    b.finished = finished;
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK;
    m.task_ack = &b;
    return send_message(l, &m);
}

static int op_resync(void *ctx, struct link_id id, const struct str *sections, size_t n)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Resync b = MUSTER__V1__RESYNC__INIT;

    if (!l)
        return -ENOTCONN;
    b.sections = arena_array(l->api->native->out, n + 1, sizeof(char *));
    if (!b.sections)
        return -ENOBUFS;
    for (size_t i = 0; i < n; i++)
        b.sections[b.n_sections++] = copy(l->api->native, sections[i]);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_RESYNC;
    m.resync = &b;
    return send_message(l, &m);
}

static int op_renewed(void *ctx, struct link_id id, const char *cert_pem, const char *ca_pem,
                      const char *error)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Renewed b = MUSTER__V1__RENEWED__INIT;

    if (!l)
        return -ENOTCONN;
    b.certificate_pem = text(cert_pem);
    b.ca_pem = text(ca_pem);
    b.error = text(error);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_RENEWED;
    m.renewed = &b;
    return send_message(l, &m);
}

static int op_config(void *ctx, struct link_id id, const struct link_config *config)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Config b;

    if (!l)
        return -ENOTCONN;
    fill_config(&b, config);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_CONFIG;
    m.config = &b;
    return send_message(l, &m);
}

static int op_inventory_request(void *ctx, struct link_id id, uint64_t request_id, struct str section)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__InventoryRequest b = MUSTER__V1__INVENTORY_REQUEST__INIT;

    if (!l)
        return -ENOTCONN;
    b.request_id = request_id;
    b.section = copy(l->api->native, section);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST;
    m.inventory_request = &b;
    return send_message(l, &m);
}

static int op_ports_request(void *ctx, struct link_id id, uint64_t request_id, const struct ports_wish *w)
{
    struct native_link *l = link_of(ctx, id);
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__PortsRequest b = MUSTER__V1__PORTS_REQUEST__INIT;

    if (!l)
        return -ENOTCONN;
    b.request_id = request_id;
    b.count = w->count;
    b.ttl_seconds = w->ttl_seconds;
    b.owner = copy(l->api->native, w->owner);
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_PORTS_REQUEST;
    m.ports_request = &b;
    return send_message(l, &m);
}

void native__goodbye(struct native_link *l, const char *slug, const char *why, usec_t reconnect_after,
                     bool forever)
{
    struct native *n = l->api->native;
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;
    Muster__V1__Goodbye b = MUSTER__V1__GOODBYE__INIT;
    uint64_t call = l->call;

    b.reason = text(slug);
    b.message = text(why);
    b.reconnect_after_ms = ms(reconnect_after);
    b.forever = forever;
    m.body_case = MUSTER__V1__SERVER_MESSAGE__BODY_GOODBYE;
    m.goodbye = &b;
    (void)send_message(l, &m);
    l->is_ending = true;
    n->in_op++;
    (void)grpc_finish(call, GRPC_OK, slug); /* @l may be gone after this */
    n->in_op--;
}

static int op_goodbye(void *ctx, struct link_id id, const char *slug, const char *why, usec_t reconnect_after,
                      bool forever)
{
    struct native_link *l = link_of(ctx, id);

    if (!l)
        return -ENOTCONN;
    native__goodbye(l, slug, why, reconnect_after, forever);
    return 0;
}

static int64_t op_queued(void *ctx, struct link_id id)
{
    struct native_link *l = link_of(ctx, id);

    return l ? grpc_queued(l->call) : -ENOTCONN;
}

static int op_pause(void *ctx, struct link_id id, bool paused)
{
    struct native_link *l = link_of(ctx, id);

    return l ? grpc_pause(l->call, paused) : -ENOTCONN;
}

void native__out_init(struct api *a)
{
    a->link_ops = (struct link_ops){
        .welcome = op_welcome,
        .ack = op_ack,
        .offer = op_offer,
        .cancel = op_cancel,
        .input = op_input,
        .task_ack = op_task_ack,
        .resync = op_resync,
        .renewed = op_renewed,
        .config = op_config,
        .inventory_request = op_inventory_request,
        .goodbye = op_goodbye,
        .queued = op_queued,
        .pause = op_pause,
        .ports_request = op_ports_request,
        .ctx = a,
    };
}
