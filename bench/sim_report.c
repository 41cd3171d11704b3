/* bench/sim_report.c - latencies, a line of progress a second on stderr, the summary on stdout. */
#include <sys/resource.h>

#include "codec/json.h"
#include "sim.h"

static size_t bucket_of(usec_t us)
{
    if (us < HIST_STEPS)
        return (size_t)us;
    unsigned octave = 63u - (unsigned)__builtin_clzll(us); /* >= 5 */
    size_t i = (octave - 4) * HIST_STEPS + (size_t)(us >> (octave - 5)) - HIST_STEPS;
    return i < HIST_N ? i : HIST_N - 1;
}

static usec_t bucket_top(size_t i)
{
    if (i < HIST_STEPS)
        return i;
    unsigned octave = (unsigned)(i / HIST_STEPS) + 4;
    return ((usec_t)(i % HIST_STEPS + HIST_STEPS + 1) << (octave - 5)) - 1;
}

void hist_add(struct hist *h, usec_t us)
{
    h->n[bucket_of(us)]++;
    h->count++;
    h->sum_us += us;
    if (us > h->max_us)
        h->max_us = us;
}

usec_t hist_quantile(const struct hist *h, double q)
{
    uint64_t want = (uint64_t)((double)h->count * q), seen = 0;
    if (h->count == 0)
        return 0;
    for (size_t i = 0; i < HIST_N; i++) {
        seen += h->n[i];
        if (seen > want || seen == h->count) {
            usec_t top = bucket_top(i);
            return top < h->max_us ? top : h->max_us;
        }
    }
    return h->max_us;
}

void sim_progress(struct sim *s)
{
    const struct sim_counts *c = &s->c, *b = &s->shown;
    fprintf(stderr, "%4.0f s  online %u/%u  beats %llu/s", (double)(sim_now() - s->running_at) / 1e6, s->n_online, s->o.agents,
            (unsigned long long)(c->heartbeats - b->heartbeats));
    if (s->o.rate)
        fprintf(stderr, "  check-ins %llu/s  acked %llu/s  p99 %.1f ms", (unsigned long long)(c->checkins - b->checkins),
                (unsigned long long)(c->acked - b->acked), (double)hist_quantile(&s->ack, 0.99) / 1e3);
    if (c->offers != b->offers || c->answered != b->answered)
        fprintf(stderr, "  offers %llu  done %llu", (unsigned long long)(c->offers - b->offers),
                (unsigned long long)(c->finished_acked - b->finished_acked));
    if (c->refused != b->refused || c->failed != b->failed || c->call_refused != b->call_refused || c->broken != b->broken)
        fprintf(stderr, "  broken %llu  refused %llu  failed %llu (%s)", (unsigned long long)(c->broken - b->broken),
                (unsigned long long)(c->refused + c->call_refused - b->refused - b->call_refused),
                (unsigned long long)(c->failed - b->failed), s->last_error);
    fputc('\n', stderr);
    s->shown = s->c;
}

static double seconds(usec_t from, usec_t to)
{
    return from && to > from ? (double)(to - from) / 1e6 : 0;
}

static void member_u64(struct jw *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    jw_u64(w, v);
}

static void member_f64(struct jw *w, const char *key, double v)
{
    jw_key(w, key);
    jw_f64(w, v);
}

static void write_latency(struct jw *w, const char *key, const struct hist *h)
{
    jw_key(w, key);
    jw_map(w);
    member_u64(w, "count", h->count);
    member_f64(w, "mean", h->count ? (double)h->sum_us / (double)h->count / 1e3 : 0);
    member_f64(w, "p50", (double)hist_quantile(h, 0.5) / 1e3);
    member_f64(w, "p90", (double)hist_quantile(h, 0.9) / 1e3);
    member_f64(w, "p99", (double)hist_quantile(h, 0.99) / 1e3);
    member_f64(w, "max", (double)h->max_us / 1e3);
    jw_end_map(w);
}

static void write_counts(const struct sim *s, struct jw *w)
{
    const struct sim_counts *c = &s->c;
    member_u64(w, "connect_attempts", c->connects);
    member_u64(w, "connected_total", c->connected_total);
    member_u64(w, "refused", c->refused);
    member_u64(w, "failed", c->failed);
    member_u64(w, "link_refused", c->call_refused);
    member_u64(w, "broken", c->broken);
    member_u64(w, "goodbyes", c->goodbyes);
    member_u64(w, "heartbeats", c->heartbeats);
    member_u64(w, "checkins", c->checkins);
    member_u64(w, "acked", c->acked);
    member_u64(w, "held_back", c->held_back);
    member_u64(w, "resent", c->resent);
    member_u64(w, "resyncs", c->resyncs);
    member_u64(w, "lost_acks", c->lost_acks);
    member_u64(w, "offers", c->offers);
    member_u64(w, "answered", c->answered);
    member_u64(w, "finished_acked", c->finished_acked);
    member_u64(w, "inventory_requests", c->inventory_asked);
    member_u64(w, "malformed", c->bytes_bad);
}

static void write_fanout(const struct sim *s, struct jw *w)
{
    if (!s->job_offers)
        return;
    member_u64(w, "last_job_offers", s->job_offers);
    member_f64(w, "first_offer_at", (double)s->first_offer_wall / 1e6);
    member_f64(w, "last_offer_at", (double)s->last_offer_wall / 1e6);
    member_f64(w, "last_answer_at", (double)s->last_answer_wall / 1e6);
    member_f64(w, "last_finished_ack_at", (double)s->last_finished_wall / 1e6);
    member_f64(w, "offer_spread_ms", seconds(s->first_offer_wall, s->last_offer_wall) * 1e3);
    member_f64(w, "result_spread_ms", seconds(s->first_offer_wall, s->last_finished_wall) * 1e3);
}

static void write_storm(const struct sim *s, struct jw *w)
{
    const struct storm *t = &s->storm;
    if (!t->broke_at)
        return;
    jw_key(w, "storm");
    jw_map(w);
    member_u64(w, "lost", t->lost);
    member_f64(w, "down_s", seconds(t->broke_at, t->first_back_at));
    jw_key(w, "all_back_s");
    if (t->all_back_at)
        jw_f64(w, seconds(t->broke_at, t->all_back_at));
    else
        jw_null(w);
    jw_key(w, "back_s");
    if (t->all_back_at)
        jw_f64(w, seconds(t->first_back_at, t->all_back_at));
    else
        jw_null(w);
    member_u64(w, "refused", t->refused);
    member_u64(w, "failed", t->failed);
    jw_end_map(w);
}

void sim_report(struct sim *s)
{
    static const struct name modes[] = { { SIM_IDLE, "idle" }, { SIM_STORM, "storm" }, { SIM_CHECKIN, "checkin" }, { SIM_FANOUT, "fanout" }, NAMES_END };
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct jw w = JW(&b);
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    double cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    double measured = seconds(s->all_online_at, s->ended_at);
    w.pretty = !s->o.json;
    jw_map(&w);
    jw_key(&w, "mode");
    jw_cstr(&w, name_of(modes, s->o.mode));
    member_u64(&w, "agents", s->o.agents);
    member_u64(&w, "online", s->n_online);
    member_f64(&w, "connect_s", seconds(s->running_at, s->all_online_at));
    member_f64(&w, "measured_s", measured);
    if (s->o.rate) {
        member_u64(&w, "rate", s->o.rate);
        member_f64(&w, "acked_per_second", measured > 0 ? (double)s->c.acked / measured : 0);
        write_latency(&w, "ack_ms", &s->ack);
    }
    write_counts(s, &w);
    write_fanout(s, &w);
    write_storm(s, &w);
    member_u64(&w, "server_heartbeat_ms", s->server_heartbeat_ms);
    member_f64(&w, "cpu_s", cpu);
    member_u64(&w, "max_rss_kb", (uint64_t)ru.ru_maxrss);
    jw_key(&w, "last_error");
    jw_cstr(&w, s->last_error);
    if (s->fatal[0]) {
        jw_key(&w, "error");
        jw_cstr(&w, s->fatal);
    }
    jw_end_map(&w);
    if (jw_done(&w) == 0)
        printf("%.*s\n", STR_FMT(buf_as_str(&b)));
    fflush(stdout);
}
