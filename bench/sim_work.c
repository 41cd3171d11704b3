/* bench/sim_work.c - what is due when. One timer of TICK for all agents:
 *
 *   connects     --connect-rate a second, or all at once
 *   reconnects   a wheel of ticks
 *   heartbeats   agents / interval a second, one agent after another: evenly spread, the same bytes for all of a tick
 *   check-ins    --rate a second, one agent after another, due at their own instants
 *
 * Offers are answered when a turn of the loop brought none: first everything that can be read is read. */
#include "base/mem.h"
#include "sim.h"

#define TICK (2 * USEC_PER_MS)
enum { WHEEL = 8192, WHEEL_MASK = WHEEL - 1, PREPARE_BATCH = 64 };

usec_t sim_now(void)
{
    return clock_mono(&clock_real);
}

void sim_end(struct sim *s, const char *fatal)
{
    if (s->is_over)
        return;
    s->is_over = true;
    s->ended_at = sim_now();
    if (fatal)
        snprintf(s->fatal, sizeof(s->fatal), "%s", fatal[0] ? fatal : "it failed without a reason");
    loop_stop(s->loop);
}

/* -- reconnects */
void sim_later(struct sim *s, struct agent *a, usec_t after)
{
    a->due_tick = s->tick_n + 1 + after / TICK;
    struct agent **slot = &s->wheel[a->due_tick & WHEEL_MASK];
    a->next = *slot;
    *slot = a;
}

static void turn_wheel(struct sim *s, uint64_t tick)
{
    struct agent *a = TAKE(s->wheel[tick & WHEEL_MASK]), *next;
    for (; a; a = next) {
        next = a->next;
        a->next = NULL;
        if (a->due_tick > tick) { /* a later round of the wheel */
            struct agent **slot = &s->wheel[a->due_tick & WHEEL_MASK];
            a->next = *slot;
            *slot = a;
        } else {
            agent_connect(a);
        }
    }
}

/* -- presence */
void sim_online(struct sim *s, struct agent *a)
{
    usec_t now = sim_now();
    a->state = AGENT_ONLINE;
    a->attempt = 0;
    a->was_online = true;
    s->n_online++;
    s->c.connected_total++;
    if (s->storm.broke_at && !s->storm.first_back_at)
        s->storm.first_back_at = now;
    if (s->n_online == s->o.agents) {
        if (!s->all_online_at) {
            s->all_online_at = now;
            /* everything that is measured over time begins here */
            s->beats_from = s->checkins_from = now;
            s->beats_due = s->checkins_due = 0;
            fprintf(stderr, "all %u agents are connected after %.2f s\n", s->o.agents, (double)(now - s->running_at) / 1e6);
        } else if (s->storm.broke_at && !s->storm.all_back_at) {
            s->storm.all_back_at = now;
            fprintf(stderr, "all %u agents are back: %.2f s after the first break, %.2f s after the first was back\n", s->o.agents,
                    (double)(now - s->storm.broke_at) / 1e6, (double)(now - s->storm.first_back_at) / 1e6);
        }
    }
}

void sim_offline(struct sim *s, struct agent *a)
{
    if (a->state != AGENT_ONLINE)
        return;
    s->n_online--;
    s->c.broken++;
    if (!s->all_online_at)
        return;
    if (!s->storm.broke_at || s->storm.all_back_at) /* a new storm: the newest is reported */
        s->storm = (struct storm){ .broke_at = sim_now() };
    s->storm.lost++;
}

/* -- offers */
void sim_offered(struct sim *s, struct agent *a, uint64_t task_id)
{
    usec_t now = sim_now(), wall = clock_wall(&clock_real);
    /* a second of silence is the border between two jobs */
    if (s->job_offers == 0 || now - s->last_offer_at > USEC_PER_SEC) {
        s->first_offer_wall = wall;
        s->job_offers = 0;
    }
    for (uint32_t i = 0; i < a->n_tasks; i++)
        if (a->tasks[i] == task_id)
            return; /* offered again: known */
    s->last_offer_at = now;
    s->last_offer_wall = wall;
    s->job_offers++;
    s->c.offers++;
    s->had_offers = true;
    *vec_add(&s->offers) = (struct offer){ a, task_id, now };
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void on_turn_end(void *ctx)
{
    struct sim *s = ctx;
    if (s->offers.n == 0)
        return;
    if (s->had_offers) {
        s->had_offers = false;
        loop_soon(s->loop, nothing, s); /* the next turn does not wait: it reads what has come meanwhile */
        return;
    }
    for (size_t i = 0; i < s->offers.n; i++)
        agent_answer(s->offers.v[i].agent, s->offers.v[i].task_id, s->offers.v[i].at);
    s->offers.n = 0;
}

/* -- heartbeats */
static void pack_heartbeat(struct sim *s)
{
    Muster__V1__Heartbeat h = MUSTER__V1__HEARTBEAT__INIT;
    h.load1 = 0.25;
    h.cpu_percent = 3;
    h.memory_used_bytes = 400 << 20;
    h.memory_total_bytes = 1 << 30;
    h.disk_used_bytes = 4ull << 30;
    h.disk_total_bytes = 16ull << 30;
    h.uptime_seconds = (sim_now() - s->started_at) / USEC_PER_SEC;
    Muster__V1__AgentMessage m = MUSTER__V1__AGENT_MESSAGE__INIT;
    m.body_case = MUSTER__V1__AGENT_MESSAGE__BODY_HEARTBEAT;
    m.heartbeat = &h;
    buf_reset(&s->out);
    (void)pb_pack(&m, &s->out);
}

/* How many of @rate a second are due since @from. */
static uint64_t due_since(usec_t from, usec_t now, double rate)
{
    return (uint64_t)((double)(now - from) * rate / 1e6);
}

static struct agent *next_online(struct sim *s, uint32_t *cursor)
{
    for (uint32_t i = 0; i < s->o.agents; i++) {
        struct agent *a = &s->agents[*cursor];
        *cursor = (*cursor + 1) % s->o.agents;
        if (a->state == AGENT_ONLINE)
            return a;
    }
    return NULL;
}

/* An agent that is offline when its turn comes misses a beat, as it would. */
static void beat(struct sim *s, usec_t now)
{
    usec_t every = s->o.heartbeat ? s->o.heartbeat : s->server_heartbeat_ms * USEC_PER_MS;
    if (!every || !s->n_online)
        return;
    uint64_t due = due_since(s->beats_from, now, (double)s->o.agents * 1e6 / (double)every);
    if (due <= s->beats_due)
        return;
    pack_heartbeat(s);
    uint64_t n = due - s->beats_due < s->o.agents ? due - s->beats_due : s->o.agents;
    s->beats_due = due;
    while (n-- > 0) {
        struct agent *a = &s->agents[s->beat_next];
        s->beat_next = (s->beat_next + 1) % s->o.agents;
        if (a->state == AGENT_ONLINE)
            agent_heartbeat(a, buf_as_str(&s->out));
    }
}

static void check_in(struct sim *s, usec_t now)
{
    if (!s->o.rate || !s->all_online_at || !s->n_online)
        return;
    uint64_t due = due_since(s->checkins_from, now, s->o.rate);
    for (; s->checkins_due < due; s->checkins_due++) {
        usec_t at = s->checkins_from + (usec_t)((double)s->checkins_due * 1e6 / s->o.rate);
        struct agent *a = next_online(s, &s->checkin_next);
        if (a && !agent_checkin(a, at))
            s->c.held_back++;
    }
}

static void connect_some(struct sim *s, usec_t now)
{
    uint64_t due = s->o.connect_rate ? due_since(s->running_at, now, s->o.connect_rate) + 1 : s->o.agents;
    while (s->connect_next < s->o.agents && s->connect_next < due && !s->is_over)
        agent_connect(&s->agents[s->connect_next++]);
}

static void on_tick(void *ctx)
{
    struct sim *s = ctx;
    usec_t now = sim_now();
    uint64_t until = (now - s->running_at) / TICK;
    while (s->tick_n < until && !s->is_over)
        turn_wheel(s, ++s->tick_n);
    connect_some(s, now);
    beat(s, now);
    check_in(s, now);
    if (now >= s->progress_at) {
        s->progress_at = now + USEC_PER_SEC;
        sim_progress(s);
    }
    /* the duration counts from the moment all are connected */
    if (s->all_online_at && now - s->all_online_at >= s->o.duration)
        sim_end(s, NULL);
    else if (!s->all_online_at && now - s->running_at >= s->o.duration + 10 * USEC_PER_MIN)
        sim_end(s, "not all agents could be connected");
}

/* A TLS context an agent, before the clock of the run starts: reading a key costs more than a handshake. */
static void on_prepare(void *ctx)
{
    struct sim *s = ctx;
    for (int i = 0; i < PREPARE_BATCH && s->n_prepared < s->o.agents && !s->is_over; i++)
        agent_prepare(&s->agents[s->n_prepared++]);
    if (sim_now() >= s->progress_at) {
        s->progress_at = sim_now() + USEC_PER_SEC;
        fprintf(stderr, "prepared %u of %u\n", s->n_prepared, s->o.agents);
    }
    if (s->n_prepared < s->o.agents)
        return;
    timer_free(s->tick);
    s->running_at = s->beats_from = s->checkins_from = sim_now();
    s->tick = timer_new(s->loop, on_tick, s);
    timer_start(s->tick, 0, TICK);
}

void sim_work_start(struct sim *s)
{
    s->expect_uri = xasprintf("spiffe://%s/server", s->ids.fleet);
    loop_on_turn_end(s->loop, on_turn_end, s);
    s->tick = timer_new(s->loop, on_prepare, s);
    timer_start(s->tick, 0, USEC_PER_MS);
}

void sim_work_done(struct sim *s)
{
    timer_free(s->tick);
    for (uint32_t i = 0; i < s->o.agents && s->agents; i++)
        agent_done(&s->agents[i]);
    vec_done(&s->offers);
    free(s->expect_uri);
}
