/* tests/unit/control/fixture.h - control over a real store in a directory of its own, a clock turned by hand,
 * and links that write down what is sent to them. */
#ifndef MUSTER_TEST_CONTROL_FIXTURE_H
#define MUSTER_TEST_CONTROL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/pki.h"
#include "control/commit.h"
#include "control/control.h"
#include "control/reads.h"
#include "control/verbs.h"
#include "store/fake.h"

enum { SENT_MAX = 60000 };

struct fixture {
    char dir[64], path[96];
    sem_t woken;
    struct clock clock;
    struct store *s;
    struct control *c;
    struct control_conf conf;
    bool use_fake;
    struct err err;
    /* what left for agents, one line each */
    char **sent;
    size_t n_sent;
    uint64_t dead_link; /* calls on it fail */
    int64_t queued;
    bool drop_lines; /* count only */
    size_t n_offers;
    struct link_welcome welcome;
    struct task_resume resume[16];
    char *cert;
    struct principal admin, viewer;
    uint64_t next_link;
};

/* -- links that remember */
__attribute__((format(printf, 2, 3))) static inline void note(struct fixture *f, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    if (f->drop_lines)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    assert_true(f->n_sent < SENT_MAX);
    f->sent[f->n_sent++] = xstrdup(line);
}
static inline int on_welcome(void *ctx, struct link_id l, const struct link_welcome *w)
{
    struct fixture *f = ctx;
    f->welcome = *w;
    assert_true(w->n_tasks <= ARRAY_SIZE(f->resume));
    if (w->n_tasks)
        memcpy(f->resume, w->tasks, w->n_tasks * sizeof(*w->tasks));
    note(f, "%llu welcome %llu", (unsigned long long)l.v, (unsigned long long)w->acked_seq);
    return l.v == f->dead_link ? -ENOTCONN : 0;
}
static inline int on_ack(void *ctx, struct link_id l, uint64_t seq)
{
    note(ctx, "%llu ack %llu", (unsigned long long)l.v, (unsigned long long)seq);
    return 0;
}
static inline int on_offer(void *ctx, struct link_id l, const struct command *cmd)
{
    struct fixture *f = ctx;
    if (l.v == f->dead_link)
        return -ENOTCONN;
    f->n_offers++;
    note(f, "%llu offer %llu %.*s", (unsigned long long)l.v, (unsigned long long)cmd->task_id,
         STR_FMT(cmd->argv.v[0]));
    return 0;
}
static inline int on_cancel(void *ctx, struct link_id l, uint64_t task, usec_t grace)
{
    (void)grace;
    note(ctx, "%llu cancel %llu", (unsigned long long)l.v, (unsigned long long)task);
    return 0;
}
static inline int on_input(void *ctx, struct link_id l, uint64_t task, uint64_t offset, struct str data,
                           bool eof)
{
    note(ctx, "%llu input %llu %llu %.*s%s", (unsigned long long)l.v, (unsigned long long)task,
         (unsigned long long)offset, STR_FMT(str_sub(data, 0, 100)), eof ? " eof" : "");
    return 0;
}
static inline int on_task_ack(void *ctx, struct link_id l, uint64_t task, uint64_t out, uint64_t errs,
                              bool finished)
{
    note(ctx, "%llu task_ack %llu %llu %llu%s", (unsigned long long)l.v, (unsigned long long)task,
         (unsigned long long)out, (unsigned long long)errs, finished ? " finished" : "");
    return 0;
}
static inline int on_resync(void *ctx, struct link_id l, const struct str *sections, size_t n)
{
    for (size_t i = 0; i < n; i++)
        note(ctx, "%llu resync %.*s", (unsigned long long)l.v, STR_FMT(sections[i]));
    return 0;
}
static inline int on_renewed(void *ctx, struct link_id l, const char *cert, const char *ca, const char *error)
{
    struct fixture *f = ctx;
    (void)ca;
    free(f->cert);
    f->cert = cert ? xstrdup(cert) : NULL;
    note(f, "%llu renewed %s", (unsigned long long)l.v, error ? error : "ok");
    return 0;
}
static inline int on_config(void *ctx, struct link_id l, const struct link_config *cf)
{
    note(ctx, "%llu config %u", (unsigned long long)l.v, cf->heartbeat_ms);
    return 0;
}
static inline int on_request(void *ctx, struct link_id l, uint64_t id, struct str section)
{
    note(ctx, "%llu inventory_request %llu %.*s", (unsigned long long)l.v, (unsigned long long)id,
         STR_FMT(section));
    return 0;
}
static inline int on_goodbye(void *ctx, struct link_id l, const char *slug, const char *text, usec_t after,
                             bool forever)
{
    (void)text;
    (void)after;
    note(ctx, "%llu goodbye %s%s", (unsigned long long)l.v, slug, forever ? " forever" : "");
    return 0;
}
static inline int64_t on_queued(void *ctx, struct link_id l)
{
    (void)l;
    return ((struct fixture *)ctx)->queued;
}
static inline int on_pause(void *ctx, struct link_id l, bool paused)
{
    note(ctx, "%llu %s", (unsigned long long)l.v, paused ? "pause" : "resume");
    return 0;
}

static inline int on_ports(void *ctx, struct link_id l, uint64_t id, const struct ports_wish *w)
{
    note(ctx, "%llu ports_request %llu %u", (unsigned long long)l.v, (unsigned long long)id, w->count);
    return l.v == ((struct fixture *)ctx)->dead_link ? -ENOTCONN : 0;
}

/* -- life */
static inline void fixture__wake(void *ctx)
{
    sem_post(&((struct fixture *)ctx)->woken);
}
static inline void fixture__offload(void *ctx, void (*work)(void *), void (*done)(void *), void *arg)
{
    (void)ctx;
    work(arg);
    done(arg);
}
typedef void (*offload_fn)(void *ctx, void (*work)(void *), void (*done)(void *), void *arg);
static inline void fixture_open_with(struct fixture *f, offload_fn offload)
{
    static struct link_ops ops;
    ops = (struct link_ops){ on_welcome, on_ack,    on_offer,   on_cancel,  on_input,  on_task_ack, on_resync,
                             on_renewed, on_config, on_request, on_goodbye, on_queued, on_pause,    on_ports,
                             f };
    const struct store_conf sc = { .path = f->path,
                                   .wake = fixture__wake,
                                   .wake_ctx = f,
                                   .driver = f->use_fake ? &driver_fake : NULL,
                                   .max_open_units = f->use_fake ? 4 : 0 };
    if (store_open(&sc, &f->s, &f->err) < 0)
        fail_msg("store: %s: %s", f->err.slug, f->err.text);
    f->conf.clock = &f->clock;
    f->conf.store = f->s;
    f->conf.links = &ops;
    f->conf.offload = offload;
    f->conf.offload_ctx = f;
    if (control_open(&f->conf, &f->c, &f->err) < 0)
        fail_msg("control: %s: %s", f->err.slug, f->err.text);
}
static inline void fixture_open(struct fixture *f)
{
    fixture_open_with(f, fixture__offload);
}
static inline void fixture_close(struct fixture *f)
{
    control_free(f->c);
    store_close(f->s);
    f->c = NULL;
    f->s = NULL;
}
static inline void fixture_wait(struct fixture *f)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    if (sem_timedwait(&f->woken, &until) < 0)
        fail_msg("the store did not call for 30 s");
    store_poll(f->s);
}
/* One turn of the server's loop, without waiting. */
static inline void turn(struct fixture *f)
{
    store_poll(f->s);
    commit_release(f->c);
    store_seal(f->s);
}
/* Turns until nothing waits any more. */
static inline void settle(struct fixture *f)
{
    for (;;) {
        turn(f);
        if (store_committed(f->s) == store_newest(f->s) && commit_parked(f->c) == 0)
            return;
        if (store_committed(f->s) != store_newest(f->s))
            fixture_wait(f);
    }
}
static inline void forget_sent(struct fixture *f)
{
    while (f->n_sent)
        free(f->sent[--f->n_sent]);
}
/* Turns the clock in small steps, ticking. */
static inline void pass(struct fixture *f, usec_t by)
{
    usec_t step = by > USEC_PER_HOUR ? by / 200 : USEC_PER_SEC;
    while (by > 0) {
        usec_t one = by < step ? by : step;
        clock_turn(&f->clock, one);
        by -= one;
        control_tick(f->c);
        turn(f);
    }
    settle(f);
}
/* A crash: what was not committed is gone. */
static inline void restart(struct fixture *f)
{
    fixture_close(f);
    forget_sent(f);
    fixture_open(f);
    settle(f);
}
static inline int fixture_setup_with(void **state, bool use_fake)
{
    struct fixture *f = xnew0(struct fixture);
    *state = f;
    snprintf(f->dir, sizeof(f->dir), "/tmp/muster-control-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/muster.db", f->dir);
    sem_init(&f->woken, 0, 0);
    f->clock = clock_hand(1700000000 * USEC_PER_SEC);
    f->sent = xcalloc(SENT_MAX, sizeof(char *));
    f->admin = (struct principal){ .kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN, .name = "local:root" };
    f->viewer = (struct principal){ .kind = PRINCIPAL_TOKEN, .role = ROLE_VIEWER, .name = "vera" };
    f->use_fake = use_fake;
    if (use_fake)
        fake_reset();
    fixture_open(f);
    settle(f);
    return 0;
}
static inline int fixture_setup(void **state)
{
    return fixture_setup_with(state, false);
}
static inline int fixture_setup_fake(void **state)
{
    return fixture_setup_with(state, true);
}
static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->use_fake)
        fake_reset();
    fixture_close(f);
    assert_int_equal(fd_remove_tree(f->dir), 0);
    forget_sent(f);
    free(f->sent);
    free(f->cert);
    sem_destroy(&f->woken);
    free(f);
    return 0;
}

/* -- what was sent */
static inline bool was_sent(const struct fixture *f, const char *line)
{
    for (size_t i = 0; i < f->n_sent; i++)
        if (strcmp(f->sent[i], line) == 0)
            return true;
    return false;
}
static inline size_t n_sent_like(const struct fixture *f, const char *part)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_sent; i++)
        n += strstr(f->sent[i], part) != NULL;
    return n;
}
static inline void print_sent(const struct fixture *f)
{
    for (size_t i = 0; i < f->n_sent; i++)
        print_message("  sent: %s\n", f->sent[i]);
}
#define assert_sent(f, line)                                                                                 \
    do {                                                                                                     \
        if (!was_sent(f, line)) {                                                                            \
            print_sent(f);                                                                                   \
            fail_msg("was not sent: %s", line);                                                              \
        }                                                                                                    \
    } while (0)
#define assert_slug(f, cstr) assert_string_equal((f)->err.slug, cstr)

/* -- hosts */
struct sim {
    char *key, *csr;
    uint8_t spki[SHA256_LEN];
    char uuid[37], hostname[64], machine_id[64];
    struct enroll_answer answer;
    uint64_t link, epoch;
    char *cert;
};
static inline struct sim *sim_new(const char *hostname)
{
    struct sim *m = xnew0(struct sim);
    m->key = pki_key_ed25519();
    m->csr = pki_csr_new(m->key, "muster-agent", NULL);
    assert_non_null(m->csr);
    assert_int_equal(pki_key_spki(m->key, m->spki), 0);
    snprintf(m->hostname, sizeof(m->hostname), "%s", hostname);
    snprintf(m->machine_id, sizeof(m->machine_id), "machine-%s", hostname);
    m->epoch = 1;
    return m;
}
static inline void sim_free(struct sim *m)
{
    secret_free(m->key);
    free(m->csr);
    free(m->cert);
    free(m);
}
static inline struct host_claims sim_claims(const struct sim *m)
{
    return (struct host_claims){ .hostname = str_of(m->hostname),
                                 .machine_id = str_of(m->machine_id),
                                 .os = STR("Debian"),
                                 .kernel = STR("6.1"),
                                 .arch = STR("x86_64"),
                                 .agent_version = STR("0.1.0"),
                                 .cpu_cores = 2 };
}
static inline int sim_enroll_from(struct fixture *f, struct sim *m, const char *code, const char *peer)
{
    const struct enroll_request rq = {
        .csr_pem = str_of(m->csr), .token_code = str_of(code), .claims = sim_claims(m), .peer_addr = peer
    };
    f->err = (struct err){ 0 };
    int r = enroll_ask(f->c, &rq, &m->answer, &f->err);
    memcpy(m->uuid, m->answer.host_uuid, sizeof(m->uuid));
    free(m->cert);
    m->cert = r == 0 && m->answer.certificate_pem ? xstrdup(m->answer.certificate_pem) : NULL;
    return r;
}
static inline int sim_enroll(struct fixture *f, struct sim *m, const char *code)
{
    return sim_enroll_from(f, m, code, "192.0.2.1");
}
static inline int sim_hello_with(struct fixture *f, struct sim *m, const struct task_in_hand *tasks, size_t n)
{
    struct principal p;
    const struct hello h = { .claims = sim_claims(m),
                             .peer_addr = "192.0.2.1",
                             .spool_epoch = m->epoch,
                             .tasks = tasks,
                             .n_tasks = n,
                             .commands_allowed = true };
    int r = authn_host(f->c, str_of(m->uuid), m->spki, STR("aa"), &p, &f->err);
    if (r < 0)
        return r;
    m->link = ++f->next_link + 100;
    return checkin_hello(f->c, &p, (struct link_id){ m->link }, &h, &f->err);
}
static inline struct link_id link_of(const struct sim *m)
{
    return (struct link_id){ m->link };
}
/* Enrolled, approved, connected. */
static inline struct sim *sim_ready(struct fixture *f, const char *hostname)
{
    struct sim *m = sim_new(hostname);
    char peer[64];
    snprintf(peer, sizeof(peer), "192.0.2.1-%s", hostname);
    assert_int_equal(sim_enroll_from(f, m, NULL, peer), 0);
    assert_int_equal(enroll_approve(f->c, &f->admin, str_of(m->uuid), false, STR_NONE, &f->err), 0);
    settle(f);
    assert_int_equal(sim_hello_with(f, m, NULL, 0), 0);
    settle(f);
    return m;
}
static inline void host_of(struct fixture *f, const struct sim *m, struct host_view *ret)
{
    assert_int_equal(host_find(f->c, str_of(m->uuid), ret, &f->err), 0);
}

/* -- jobs */
struct job_news {
    bool is_told, is_repeat;
    int result;
    char slug[ERR_SLUG_MAX];
    uint64_t id;
    enum job_state state;
    struct job_counts counts;
};
static inline void on_job(void *ctx, int result, const struct err *err, const struct job_row *job,
                          bool is_repeat)
{
    struct job_news *n = ctx;
    assert_false(n->is_told);
    *n = (struct job_news){ .is_told = true, .result = result, .is_repeat = is_repeat };
    snprintf(n->slug, sizeof(n->slug), "%s", err ? err->slug : "");
    if (job) {
        n->id = job->id;
        n->state = job->state;
        n->counts = job->counts;
    }
}
static inline struct job_news create_job(struct fixture *f, const struct job_wish *w)
{
    struct job_news n = { 0 };
    job_create(f->c, &f->admin, w, on_job, &n);
    settle(f);
    for (int i = 0; !n.is_told && i < 100; i++) {
        fixture_wait(f);
        settle(f);
    }
    assert_true(n.is_told);
    return n;
}
static inline struct job_news run_on(struct fixture *f, const char *host, const char *program)
{
    struct str hosts[] = { str_of(host) }, argv[] = { str_of(program) };
    const struct job_wish w = { .hosts = { hosts, host ? 1 : 0 }, .all = host == NULL, .argv = { argv, 1 } };
    return create_job(f, &w);
}

/* -- reads, waited for */
struct read_wait {
    struct fixture *f;
    bool is_done;
    int result;
    struct job_row job;
    struct task_row task;
    char message[256];
    size_t n;
    char text[65536];
};
static inline void read_finish(void *ctx, int result)
{
    struct read_wait *w = ctx;
    w->is_done = true;
    w->result = result;
}
static inline void read_wait_for(struct read_wait *w)
{
    turn(w->f);
    while (!w->is_done) {
        fixture_wait(w->f);
        turn(w->f);
    }
}
static inline void read_keep_job(void *ctx, const struct job_row *j)
{
    struct read_wait *w = ctx;
    w->job = *j;
    w->n++;
}
static inline void read_keep_task(void *ctx, const struct task_row *t)
{
    struct read_wait *w = ctx;
    w->task = *t;
    snprintf(w->message, sizeof(w->message), "%.*s", STR_FMT(t->message));
    w->n++;
}
static inline void read_keep_event(void *ctx, const struct event *e)
{
    struct read_wait *w = ctx;
    size_t len = strlen(w->text);
    snprintf(w->text + len, sizeof(w->text) - len, "%.*s:%.*s\n", STR_FMT(e->type), STR_FMT(e->host));
    w->n++;
}
static inline void read_keep_output(void *ctx, const struct output_frame *o)
{
    struct read_wait *w = ctx;
    size_t len = strlen(w->text);
    snprintf(w->text + len, sizeof(w->text) - len, "%.*s", STR_FMT(o->data));
    w->n++;
}
static inline struct task_row the_task(struct fixture *f, uint64_t id)
{
    struct read_wait w = { .f = f };
    read_task(f->c, id, read_keep_task, read_finish, &w);
    read_wait_for(&w);
    assert_int_equal(w.n, 1);
    return w.task;
}
static inline struct job_row the_job(struct fixture *f, uint64_t id)
{
    struct read_wait w = { .f = f };
    read_job(f->c, id, read_keep_job, read_finish, &w);
    read_wait_for(&w);
    assert_int_equal(w.n, 1);
    return w.job;
}
/* Events of @type, as "type:host\n" lines. */
static inline size_t n_events(struct fixture *f, const char *type)
{
    struct read_wait *w = xnew0(struct read_wait);
    w->f = f;
    read_events(f->c, 0, false, 10000, str_of(type), STR_NONE, read_keep_event, read_finish, w);
    read_wait_for(w);
    size_t n = w->n;
    free(w);
    return n;
}
static inline void agent_runs(struct fixture *f, struct sim *m, uint64_t task, const char *output,
                              int exit_code)
{
    task_accepted(f->c, link_of(m), task);
    task_started(f->c, link_of(m), task);
    const struct output_frame o = { task, STREAM_STDOUT, 0, str_of(output) };
    if (*output)
        task_output(f->c, link_of(m), &o);
    const struct task_end e = { .task_id = task,
                                .outcome = OUTCOME_EXITED,
                                .exit_code = exit_code,
                                .stdout_bytes = strlen(output),
                                .stdout_total = strlen(output),
                                .started_at = 1000000,
                                .finished_at = 1200000 };
    task_finished(f->c, link_of(m), &e);
}

#endif
