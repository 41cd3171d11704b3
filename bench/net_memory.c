/* bench/net_memory.c - what a connected agent costs the transport: private memory per idle mutual-TLS gRPC connection
 * with one open stream, CPU per handshake, CPU per message with its acknowledgement.
 *
 *   net_memory [CONNECTIONS [MESSAGES_PER_SECOND [SECONDS]]]
 *
 * The server is this process, the clients are a child, so that each side's memory and time are its own. */
#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/pki.h"
#include "net/listen.h"

static struct certs {
    char *ca_key, *ca, *server_key, *server, *client_key, *client;
} certs;
static size_t n_conns = 2000, rate = 15000, seconds = 5;

static void make_certs(void)
{
    usec_t now = clock_wall(&clock_real);
    struct err err = { 0 };

    certs.ca_key = pki_key_p256();
    certs.ca = pki_ca_new(certs.ca_key, "bench", now, USEC_PER_DAY, &err);
    struct pki_issue is = { .ca_cert_pem = certs.ca, .ca_key_pem = certs.ca_key, .common_name = "server",
                            .uri = "spiffe://bench/server", .not_before = now - USEC_PER_HOUR,
                            .not_after = now + USEC_PER_HOUR, .is_server = true };

    certs.server_key = pki_key_p256();
    certs.server = pki_issue_key(&is, certs.server_key, &err);
    is.is_server = false;
    is.common_name = "0190b3d2-0000-7000-8000-000000000001";
    is.uri = "spiffe://bench/host/0190b3d2-0000-7000-8000-000000000001";
    certs.client_key = pki_key_ed25519();
    certs.client = pki_issue_key(&is, certs.client_key, &err);
    assert(certs.server && certs.client);
}

static double cpu_seconds(void)
{
    struct rusage ru;

    getrusage(RUSAGE_SELF, &ru);
    return (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6 + (double)ru.ru_stime.tv_sec +
           (double)ru.ru_stime.tv_usec / 1e6;
}

static size_t private_kb(void)
{
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct str rest, line, word;
    size_t kb = 0;
    uint64_t n;

    if (fd_read_file("/proc/self/smaps_rollup", &b) < 0)
        return 0;
    rest = buf_as_str(&b);
    while (str_cut(&rest, '\n', &line))
        if (str_starts(line, STR("Private_")) && str_word(&line, &word) && str_word(&line, &word) &&
            str_to_u64(word, &n) == 0)
            kb += n;
    return kb;
}

/* -- the clients */
static struct client {
    struct grpc_client *g;
    uint64_t call;
    bool is_up;
} *clients;
static size_t n_started, n_up;
static int to_parent;
static struct loop *loop;
static struct tls_ctx *client_tls;
static uint16_t port;
static char payload[200];
static uint64_t n_acked, n_sent;
static struct timer *sender;

static void start_next(void);

static void on_client_message(void *ctx, uint64_t call, struct str msg)
{
    struct client *c = ctx;

    (void)call, (void)msg;
    if (c->is_up) {
        n_acked++;
        return;
    }
    c->is_up = true;
    if (++n_up == n_conns)
        assert(write(to_parent, "U", 1) == 1);
    start_next();
}

static void on_client_finished(void *ctx, uint64_t call, int status, struct str message)
{
    (void)ctx, (void)call;
    fprintf(stderr, "call over: %d %.*s\n", status, STR_FMT(message));
}

static void on_connected(void *ctx, const struct tls_peer *peer)
{
    struct client *c = ctx;
    struct grpc_client_call_ops ops = { on_client_message, on_client_finished, c };

    (void)peer;
    assert(grpc_client_call(c->g, "/bench.v1.Bench/Link", NULL, 0, &ops, &c->call) == 0);
    grpc_send(c->call, str_bytes(payload, sizeof(payload)));
}

static void on_disconnected(void *ctx, const struct err *err)
{
    (void)ctx;
    fprintf(stderr, "disconnected: %s %s\n", err->slug, err->text);
    exit(1);
}

static void start_next(void)
{
    struct grpc_client_conf conf = { .host = "127.0.0.1", .port = port, .tls = client_tls,
                                     .connect_timeout = 60 * USEC_PER_SEC };
    struct client *c;

    if (n_started == n_conns)
        return;
    c = &clients[n_started++];
    struct grpc_client_ops ops = { on_connected, on_disconnected, c };

    c->g = grpc_client_new(loop, &conf, &ops);
}

static void on_send_timer(void *ctx)
{
    static size_t next;

    (void)ctx;
    for (size_t i = 0; i < rate / 100; i++, n_sent++) {
        grpc_send(clients[next].call, str_bytes(payload, sizeof(payload)));
        next = (next + 1) % n_conns;
    }
}

static void on_go(void *ctx, int events)
{
    (void)events;
    char c;

    if (read(*(int *)ctx, &c, 1) != 1 || c == 'Q') {
        printf("client: %llu sent, %llu acknowledged\n", (unsigned long long)n_sent, (unsigned long long)n_acked);
        fflush(stdout);
        _exit(0);
    }
    sender = timer_new(loop, on_send_timer, NULL);
    timer_start(sender, 0, 10 * USEC_PER_MS);
}

static void run_clients(int from_parent)
{
    static const char *alpn[] = { "h2", NULL };
    struct tls_client_conf conf = { .ca_pem = certs.ca, .expect_uri = "spiffe://bench/server",
                                    .cert_pem = certs.client, .key_pem = certs.client_key, .alpn = alpn };
    struct err err = { 0 };

    assert(read(from_parent, &port, sizeof(port)) == sizeof(port));
    loop = loop_new();
    client_tls = tls_client_new(&conf, &err);
    assert(client_tls);
    clients = xcalloc(n_conns, sizeof(*clients));
    watch_set(watch_new(loop, from_parent, on_go, &from_parent), LOOP_READABLE);
    for (int i = 0; i < 64; i++)
        start_next();
    loop_run(loop);
}

/* -- the server */
static uint64_t n_received;

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx, (void)call, (void)ret_user, (void)ret_message;
    assert(info->tls->has_cert);
    return 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx, (void)user, (void)msg;
    n_received++;
    grpc_send(call, STR("acknowledged"));
}

static int to_child, from_child;
static size_t kb_before;
static double cpu_before, wall_before;
static uint64_t received_before;
static struct timer *step;
static int phase;

static double wall(void)
{
    return (double)clock_mono(&clock_real) / 1e6;
}

static void on_step(void *ctx)
{
    struct mallinfo2 mi;

    (void)ctx;
    switch (phase++) {
    case 0:
        mi = mallinfo2();
        printf("%zu idle connections: %.2f KB private each (heap in use %.2f KB each)\n", n_conns,
               (double)(private_kb() - kb_before) / (double)n_conns, (double)mi.uordblks / 1024 / (double)n_conns);
        fflush(stdout);
        cpu_before = cpu_seconds();
        wall_before = wall();
        received_before = n_received;
        assert(write(to_child, "G", 1) == 1);
        timer_start(step, seconds * USEC_PER_SEC, 0);
        return;
    case 1: {
        double cpu = cpu_seconds() - cpu_before, t = wall() - wall_before;
        double n = (double)(n_received - received_before);

        printf("%.0f messages/s with acknowledgements: %.1f us of CPU each, %.1f %% of a core\n", n / t, cpu / n * 1e6,
               cpu / t * 100);
        printf("private memory afterwards: %.2f KB each\n", (double)(private_kb() - kb_before) / (double)n_conns);
        fflush(stdout);
        assert(write(to_child, "Q", 1) == 1);
        loop_stop(loop);
    }
    }
}

static void on_up(void *ctx, int events)
{
    char c;

    (void)ctx, (void)events;
    if (read(from_child, &c, 1) != 1) {
        fprintf(stderr, "the clients are gone\n");
        exit(1);
    }
    printf("%zu handshakes: %.0f per second, %.0f us of CPU each\n", n_conns, (double)n_conns / (wall() - wall_before),
           (cpu_seconds() - cpu_before) / (double)n_conns * 1e6);
    timer_start(step, 2 * USEC_PER_SEC, 0);
}

int main(int argc, char **argv)
{
    static const char *alpn[] = { "h2", NULL };
    int down[2], up[2];
    struct err err = { 0 };
    struct listener *li = NULL;
    struct grpc_server_ops ops = { .open = on_open, .message = on_message };

    n_conns = argc > 1 ? strtoul(argv[1], NULL, 10) : n_conns;
    rate = argc > 2 ? strtoul(argv[2], NULL, 10) : rate;
    seconds = argc > 3 ? strtoul(argv[3], NULL, 10) : seconds;
    struct rlimit rl;

    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    make_certs();
    assert(pipe(down) == 0 && pipe(up) == 0);
    pid_t pid = fork();

    if (pid == 0) {
        to_parent = up[1];
        run_clients(down[0]);
        return 0;
    }
    close(up[1]);
    close(down[0]);
    to_child = down[1];
    from_child = up[0];
    loop = loop_new();
    AUTO_FREE char *chain = xasprintf("%s%s", certs.server, certs.ca);
    struct tls_server_conf conf = { .cert_pem = chain, .key_pem = certs.server_key, .ca_pem = certs.ca,
                                    .ask_client_cert = true, .alpn = alpn };
    struct tls_ctx *tls = tls_server_new(&conf, &err);
    struct listen_conf lc = { .addr = "127.0.0.1", .port = 0, .tls = tls };

    assert(tls && listen_grpc(loop, &lc, &ops, &li, &err) == 0);
    port = listener_port(li);
    watch_set(watch_new(loop, from_child, on_up, NULL), LOOP_READABLE);
    step = timer_new(loop, on_step, NULL);
    kb_before = private_kb();
    cpu_before = cpu_seconds();
    wall_before = wall();
    assert(write(to_child, &port, sizeof(port)) == sizeof(port));
    loop_run(loop);
    waitpid(pid, NULL, 0);
    listener_free(li);
    tls_ctx_free(tls);
    loop_free(loop);
    return 0;
}
