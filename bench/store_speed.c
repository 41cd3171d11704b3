/* bench/store_speed.c - rows a second and load times of the store alone: store_speed [DIR]. Figures:
 * docs/performance.md.
 *
 * Everything goes through store.h as the server does it: one unit a turn, the next as soon as the loop comes
 * round, at most 16 on their way; each figure ends when the last ticket is back. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/field.h"
#include "base/mem.h"
#include "store/store.h"

enum { HOSTS = 10000, WINDOW = 16 };

static sem_t woken;
static struct store *s;

static void wake(void *ctx)
{
    (void)ctx;
    sem_post(&woken);
}

static void open_store(const char *path)
{
    struct err err;
    const struct store_conf conf = { .path = path, .wake = wake };

    if (store_open(&conf, &s, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void turn(uint64_t on_their_way)
{
    store_seal(s);
    store_poll(s);
    while (store_newest(s) - store_committed(s) > on_their_way) {
        sem_wait(&woken);
        store_poll(s);
    }
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static usec_t start_us;
static double start_cpu;

static void begin(void)
{
    start_us = clock_mono(&clock_real);
    start_cpu = cpu_s();
}

static void report(const char *what, uint64_t n)
{
    double took = (double)(clock_mono(&clock_real) - start_us) / 1e6, cpu = cpu_s() - start_cpu;
    struct store_stats st;
    store_stats(s, &st);
    printf("%-44s %8lu in %7.1f ms  %9.0f/s  cpu %7.1f ms (%.2f us each)\n", what, (unsigned long)n,
           took * 1e3, (double)n / took, cpu * 1e3, cpu * 1e6 / (double)n);
}

static void put_hosts(void)
{
    struct str addresses[] = { STR("192.0.2.10"), STR("2001:db8::10") };
    struct kv labels[] = { { STR("role"), STR("web") }, { STR("site"), STR("north") } };

    begin();
    for (uint64_t i = 1; i <= HOSTS; i++) {
        char name[32];
        struct host_row h = {
            .id = i, .state = HOST_APPROVED, .dialect = STR("native"), .created_at = 1700000000000000
        };
        snprintf(name, sizeof(name), "host-%05lu", (unsigned long)i);
        snprintf(h.uuid, sizeof(h.uuid), "018bcfe5-6800-7000-8000-%012lx", (unsigned long)i);
        memcpy(h.fingerprint, &i, sizeof(i));
        h.name = str_of(name);
        h.csr_pem = STR("-----BEGIN CERTIFICATE "
                        "REQUEST-----\nMIGdMFECAQAwHjEcMBoGA1UEAwwTbXVzdGVyLWFnZW50LWVucm9sbDAqMAUGAytl"
                        "cAMhAEx3tq0qXcD1g0m8y3m6mKq0d1vFrS7w5d3y3m6mKq0doAAwBQYDK2VwA0EA\n-----END "
                        "CERTIFICATE REQUEST-----\n");
        h.claims = (struct host_claims){ .hostname = h.name,
                                         .machine_id = str_of(h.uuid),
                                         .os = STR("Debian GNU/Linux 12"),
                                         .kernel = STR("6.1.0-18-amd64"),
                                         .arch = STR("x86_64"),
                                         .agent_version = STR("0.1.0"),
                                         .addresses = { addresses, 2 },
                                         .cpu_cores = 4,
                                         .memory_bytes = 1ull << 33,
                                         .disk_bytes = 1ull << 38 };
        h.labels = (struct kv_list){ labels, 2 };
        store_put_host(s, &h);
        if (i % 100 == 0)
            turn(WINDOW);
    }
    turn(0);
    report("hosts put, 100 a unit", HOSTS);
}

static void put_seen(int a_unit, uint64_t n)
{
    char what[64];

    begin();
    for (uint64_t i = 1; i <= n; i++) {
        store_put_seen(s, &(struct seen_row){ i * 7919 % HOSTS + 1, 42, i, i });
        if (i % (uint64_t)a_unit == 0)
            turn(WINDOW);
    }
    turn(0);
    snprintf(what, sizeof(what), "seen put, %d a unit", a_unit);
    report(what, n);
}

static const char *const sections[] = { "os", "cpu", "memory", "filesystems", "interfaces", "listeners" };

static void put_full(void)
{
    AUTO(buf_done) struct buf body = BUF(1 << 20);
    struct fact_row rows[20];
    char keys[20][32];

    for (int i = 0; i < 20; i++) {
        snprintf(keys[i], sizeof(keys[i]), "tcp/0.0.0.0:%d", 8000 + i);
        rows[i] =
            (struct fact_row){ str_of(keys[i]),
                               STR("{\"proto\":\"tcp\",\"port\":8000,\"process\":\"nginx\",\"pid\":812}") };
    }
    body_make(rows, 20, &body, NULL);
    struct fact_head h = { .status = SECTION_OK, .received_at = 1 };
    body_digest(buf_as_str(&body), &h.digest);
    begin();
    for (uint64_t i = 1; i <= HOSTS; i++) {
        h.host_id = i;
        for (size_t k = 0; k < ARRAY_SIZE(sections); k++) {
            h.section = str_of(sections[k]);
            store_put_facts_full(s, &h, buf_as_str(&body), false);
        }
        if (i % 20 == 0)
            turn(WINDOW);
    }
    turn(0);
    report("sections in full (20 rows), 120 a unit", HOSTS * ARRAY_SIZE(sections));
}

static void put_deltas(int a_unit, uint64_t n)
{
    struct fact_row row = { STR("tcp/0.0.0.0:8000"),
                            STR("{\"proto\":\"tcp\",\"port\":8000,\"process\":\"nginx\",\"pid\":9123}") };
    struct section_delta d = { .rows = &row, .n_rows = 1 };
    AUTO(buf_done) struct buf delta = BUF(1 << 16);
    char what[64];

    delta_encode(&d, &delta);
    begin();
    for (uint64_t i = 1; i <= n; i++) {
        struct fact_head h = { .host_id = i * 7919 % HOSTS + 1,
                               .section = STR("listeners"),
                               .status = SECTION_OK,
                               .received_at = i };
        store_put_facts_delta(s, &h, buf_as_str(&delta));
        store_put_seen(s, &(struct seen_row){ h.host_id, 42, i, i });
        if (i % (uint64_t)a_unit == 0)
            turn(WINDOW);
    }
    turn(0);
    snprintf(what, sizeof(what), "check-ins (delta and seen), %d a unit", a_unit);
    report(what, n);
}

/* -- what a foreign accent's beat writes: an object of some 400 bytes, a trail's row */

struct beat {
    struct str name, address, agent, status, system;
    uint64_t n;
    usec_t seen_at;
};
static const struct field beat_fields[] = {
    F_STR(struct beat, name, "name", 64),     F_STR(struct beat, address, "address", 64),
    F_STR(struct beat, agent, "agent", 64),   F_STR(struct beat, status, "status", 16),
    F_STR(struct beat, system, "system", 512), F_U64(struct beat, n, "n"),
    F_TIME(struct beat, seen_at, "seen_at"),
};
static const struct record beat_record = RECORD(beat, beat_fields);

static struct beat beat_of(uint64_t i)
{
    static char system[280];

    memset(system, 's', sizeof(system));
    return (struct beat){ .name = STR("host-00000.example.net"),
                          .address = STR("192.0.2.10"),
                          .agent = STR("1.4.2"),
                          .status = STR("online"),
                          .system = str_bytes(system, sizeof(system)),
                          .n = i,
                          .seen_at = 1700000000000000 + i };
}

static void put_beat(uint64_t i)
{
    const struct beat b = beat_of(i);
    store_put_object_often(s, OBJECT_ASSET_STATE, i * 7919 % HOSTS + 1, 0, &beat_record, &b);
}

static void put_beats(int a_unit, uint64_t n)
{
    char what[64];

    begin();
    for (uint64_t i = 1; i <= n; i++) {
        put_beat(i);
        if (i % (uint64_t)a_unit == 0)
            turn(WINDOW);
    }
    turn(0);
    snprintf(what, sizeof(what), "objects often, %d a unit", a_unit);
    report(what, n);
}

static uint64_t trail_id = 1;

static void put_trails(int a_unit, uint64_t n, bool has_key)
{
    char what[64], key[48];

    begin();
    for (uint64_t i = 1; i <= n; i++) {
        const struct beat b = beat_of(i);
        snprintf(key, sizeof(key), "%016lx-%lu", (unsigned long)(i * 0x9e3779b97f4a7c15u), (unsigned long)i);
        store_put_trail(s,
                        &(struct trail_row){ .id = ++trail_id,
                                             .kind = has_key ? TRAIL_RUN_EVENT : TRAIL_CHECKIN,
                                             .parent = i * 7919 % HOSTS + 1,
                                             .at = 1700000000000000 + i,
                                             .key = has_key ? str_of(key) : STR("") },
                        &beat_record, &b);
        if (i % (uint64_t)a_unit == 0)
            turn(WINDOW);
    }
    turn(0);
    snprintf(what, sizeof(what), "trail rows%s, %d a unit", has_key ? " with random keys" : "", a_unit);
    report(what, n);
}

static int by_size(const void *a, const void *b)
{
    const usec_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static struct buf delta_1 = BUF(1 << 16);

static void make_delta_1(void)
{
    struct fact_row row = { STR("tcp/0.0.0.0:8001"), STR("{\"proto\":\"tcp\",\"port\":8001,\"pid\":9123}") };
    struct section_delta d = { .rows = &row, .n_rows = 1 };

    (void)delta_encode(&d, &delta_1);
}

static void put_checkin(uint64_t i)
{
    struct fact_head h = { .host_id = i * 7919 % HOSTS + 1, .section = STR("os"), .received_at = i };

    store_put_facts_delta(s, &h, buf_as_str(&delta_1));
    store_put_seen(s, &(struct seen_row){ h.host_id, 42, i, i });
}

/* Open loop: a turn every 5 ms whatever the store does; how long from sealing to hearing of it. */
static void paced(const char *name, void (*put)(uint64_t i), uint32_t per_s, uint32_t seconds)
{
    enum { TURN_US = 5000, TICKETS = 100000 };
    static usec_t sealed[TICKETS], took[TICKETS];
    uint64_t first = store_newest(s) + 1, heard = first, n = seconds * USEC_PER_SEC / TURN_US, i = 0;
    usec_t start = clock_mono(&clock_real);

    begin();
    for (uint64_t t = 0; heard < first + n;) {
        usec_t now = clock_mono(&clock_real), due = start + t * TURN_US;
        if (t < n && now >= due) {
            for (uint32_t k = 0; k < per_s / (USEC_PER_SEC / TURN_US); k++)
                put(i++);
            store_seal(s);
            sealed[t++] = due;
        }
        store_poll(s);
        for (now = clock_mono(&clock_real); heard <= store_committed(s) && heard < first + n; heard++)
            took[heard - first] = now - sealed[heard - first];
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 500000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        sem_timedwait(&woken, &until);
    }
    char what[64];
    snprintf(what, sizeof(what), "%s paced at %u/s", name, per_s);
    report(what, i);
    qsort(took, n, sizeof(took[0]), by_size);
    printf("    acknowledged after: p50 %.1f ms, p99 %.1f ms, worst %.1f ms\n", (double)took[n / 2] / 1e3,
           (double)took[n * 99 / 100] / 1e3, (double)took[n - 1] / 1e3);
}

static void put_tasks(void)
{
    begin();
    for (uint64_t i = 1; i <= HOSTS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "host-%05lu", (unsigned long)i);
        store_put_task(s, &(struct task_row){ .id = i,
                                              .job_id = 1,
                                              .host_id = i,
                                              .host_name = str_of(name),
                                              .state = TASK_QUEUED,
                                              .created_at = 1700000000000000 });
    }
    turn(0);
    report("tasks put, all in one unit", HOSTS);
    begin();
    for (uint64_t i = 1; i <= HOSTS; i++) {
        store_put_output(s, &(struct output_frame){ i, STREAM_STDOUT, 0, STR("hello\n") });
        store_put_task(s, &(struct task_row){ .id = i,
                                              .job_id = 1,
                                              .host_id = i,
                                              .host_name = STR("host-00000"),
                                              .state = TASK_DONE,
                                              .outcome = OUTCOME_EXITED,
                                              .stdout_bytes = 6,
                                              .finished_at = 1700000000000000 });
        if (i % 100 == 0)
            turn(WINDOW);
    }
    turn(0);
    report("tasks ended with output, 100 a unit", HOSTS);
}

static void put_output(void)
{
    static char chunk[64 << 10];
    enum { N = 2000 };

    begin();
    for (uint64_t i = 0; i < N; i++) {
        store_put_output(s, &(struct output_frame){ 999999, STREAM_STDOUT, i * sizeof(chunk),
                                                    str_bytes(chunk, sizeof(chunk)) });
        if (i % 8 == 7)
            turn(WINDOW);
    }
    turn(0);
    report("output frames of 64 KiB, 8 a unit", N);
}

static uint64_t n_loaded;

static void on_host(void *ctx, const struct host_row *h, const struct seen_row *seen)
{
    (void)ctx;
    (void)h;
    (void)seen;
    n_loaded++;
}

static void on_head(void *ctx, const struct fact_head *h)
{
    (void)ctx;
    (void)h;
    n_loaded++;
}

static void on_beat(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)ctx;
    (void)id;
    (void)parent;
    (void)obj;
    n_loaded++;
}

static void load(const char *path)
{
    struct err err;

    begin();
    store_close(s);
    s = NULL;
    printf("%-44s             %7.1f ms\n", "close", (double)(clock_mono(&clock_real) - start_us) / 1e3);
    begin();
    open_store(path);
    report("open", 1);
    begin();
    n_loaded = 0;
    store_load_hosts(s, on_host, NULL, &err);
    report("hosts loaded", n_loaded);
    begin();
    n_loaded = 0;
    store_load_fact_heads(s, on_head, NULL, &err);
    report("section heads loaded", n_loaded);
    begin();
    n_loaded = 0;
    store_load_objects(s, OBJECT_ASSET_STATE, &beat_record, on_beat, NULL, &err);
    report("objects loaded", n_loaded);
    struct store_next next;
    begin();
    store_load_next(s, &next, &err);
    report("next ids", 1);
}

int main(int argc, char **argv)
{
    AUTO_FREE char *dir = xasprintf("%s/store-speed-XXXXXX", argc > 1 ? argv[1] : "/tmp");

    if (!mkdtemp(dir))
        return 1;
    AUTO_FREE char *path = xasprintf("%s/muster.db", dir);
    sem_init(&woken, 0, 0);
    open_store(path);
    put_hosts();
    put_seen(1, 2000);
    put_seen(100, 200000);
    put_full();
    put_deltas(100, 400000);
    make_delta_1();
    paced("check-ins", put_checkin, 7500, 15);
    paced("check-ins", put_checkin, 15000, 15);
    put_beats(100, 200000);
    paced("objects often", put_beat, 15000, 15);
    put_trails(100, 100000, false);
    put_trails(100, 100000, true);
    put_tasks();
    put_output();
    load(path);
    store_close(s);
    buf_done(&delta_1);
    return fd_remove_tree(dir) < 0;
}
