/* accentsim - many foreign agents on keep-alive HTTP connections, one process, one thread: how many durable check-ins a server takes and
 * how long each waits. The peer of fleetsim for the accents; bench/accents.py drives it.
 *
 *   accentsim --http ADDR:PORT --accent sigma|grapheon --key KEY --agents N --count M [--rate R] [--rows 40]
 *
 * Registers N agents, makes M requests before the clock starts (a check-in's gzip costs us more than it should cost the server we measure),
 * then sends them: as fast as answers come (one outstanding a connection), or with --rate open loop, latency counted from when each was due.
 * Prints one JSON object. Bodies are those of the unmodified agents: sigma 2.3, grapheon 6.2. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/gzip.h"
#include "codec/json.h"

enum { BODY_MAX = 64 << 10, REPLY_MAX = 64 << 10 };

struct request {
    char *bytes;
    uint32_t len;
    usec_t due;
};
struct agent {
    int fd;
    char name[40], key[80];
    uint32_t head, tail; /* of its requests, by number: i * n_agents + index */
    uint32_t sent_bytes; /* of the one that is out */
    bool is_out;
    char in[REPLY_MAX];
    uint32_t n_in;
    uint64_t n_sent;
};
struct sim {
    struct sockaddr_in to;
    char host[64];
    bool is_grapheon;
    const char *key;
    uint32_t n_agents, n_rows;
    uint64_t count, rate, done, failed, next_due;
    struct agent *agents;
    struct request *requests; /* of agent a: a, a + n, a + 2n ... */
    uint32_t *latency_us;
    int epoll;
    int first_bad;
    char bad_text[256];
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "accentsim: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -- bodies */

static void sigma_body(const struct agent *a, uint64_t i, bool is_register, struct buf *out)
{
    buf_printf(out, "{\"hostname\":\"%s\",", a->name);
    if (is_register)
        buf_printf(out, "\"ip_addresses\":[{\"ip\":\"203.0.113.7\",\"label\":\"\"}],\"ssh_port\":22,");
    buf_printf(out,
               "\"system_info\":{\"cpu_cores\":2,\"disk_gb\":251,\"load_avg\":[0.%02u,0.48,0.54],\"metrics_port\":9102,\"ram_mb\":24105,"
               "\"uptime_seconds\":%llu}}",
               (unsigned)(i % 100), (unsigned long long)(1000 + i * 60));
}

static void grapheon_register_body(const struct sim *s, const struct agent *a, struct buf *out)
{
    buf_printf(out,
               "{\"enrollment_key\": \"%s\", \"agent_uuid\": \"%s\", \"display_name\": null, \"hostname\": \"%s\", \"site_name\": null, "
               "\"agent_version\": \"0.3.0\", \"platform\": \"linux\", \"platform_release\": \"6.1.0\", \"metadata\": {\"runtime\": "
               "\"python-stdlib\", \"timer_model\": \"systemd-oneshot\"}, \"addresses\": []}",
               s->key, a->name, a->name);
}

/* What a busy host tells: three of four rows are connections, the rest neighbours; every report has other pids and states. */
static void grapheon_body(const struct sim *s, const struct agent *a, uint64_t i, struct buf *out)
{
    uint32_t n_conn = s->n_rows * 3 / 4;

    buf_printf(out,
               "{\"agent_uuid\": \"%s\", \"observed_at\": \"2026-11-22T04:07:41Z\", \"sequence_number\": %llu, \"full_snapshot\": %s, "
               "\"hostname\": \"%s\", \"fqdn\": null, \"agent_version\": \"0.3.0\", \"platform\": \"linux\", \"platform_release\": "
               "\"6.1.0\", \"metadata\": {\"runtime\": \"python-stdlib\", \"delta_mode\": \"set-diff\"}, \"addresses\": [], \"neighbors\": [",
               a->name, (unsigned long long)(i + 1), i == 0 ? "true" : "false", a->name);
    for (uint32_t r = n_conn; r < s->n_rows; r++)
        buf_printf(out,
                   "%s{\"interface\": \"eth0\", \"ip_address\": \"192.0.2.%u\", \"mac_address\": \"02:00:00:00:00:%02x\", \"state\": \"%s\"}",
                   r > n_conn ? ", " : "", r % 250 + 1, r % 256, (i + r) % 2 ? "reachable" : "stale");
    buf_printf(out, "], \"connections\": [");
    for (uint32_t r = 0; r < n_conn; r++)
        buf_printf(out,
                   "%s{\"local_ip\": \"192.0.2.5\", \"local_port\": %u, \"pid\": %llu, \"process_name\": \"java\", \"protocol\": \"tcp\", "
                   "\"remote_ip\": \"198.51.100.%u\", \"remote_port\": %u, \"state\": \"established\"}",
                   r ? ", " : "", 8000 + r, (unsigned long long)(900 + (i * 7 + r) % 30000), r % 250 + 1, 40000 + r);
    buf_printf(out, "], \"routes\": []}");
}

static void put_request(const struct sim *s, const struct agent *a, const char *path, const char *headers, struct str body,
                        struct request *ret)
{
    AUTO(buf_done) struct buf b = BUF(2 * BODY_MAX);

    (void)a;
    buf_printf(&b, "POST %s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\n%scontent-length: %zu\r\n\r\n", path, s->host, headers,
               body.len);
    (void)buf_str(&b, body);
    ret->len = (uint32_t)b.len;
    ret->bytes = xmalloc(b.len);
    memcpy(ret->bytes, b.ptr, b.len);
}

static void make_request(const struct sim *s, const struct agent *a, uint64_t i, struct request *ret)
{
    AUTO(buf_done) struct buf body = BUF(BODY_MAX);
    char headers[256];

    if (!s->is_grapheon) {
        sigma_body(a, i, false, &body);
        (void)snprintf(headers, sizeof(headers), "x-api-key: %s\r\n", s->key);
        put_request(s, a, "/api/agent/heartbeat", headers, buf_as_str(&body), ret);
        return;
    }
    AUTO(buf_done) struct buf packed = BUF(BODY_MAX);

    grapheon_body(s, a, i, &body);
    if (gzip_deflate(buf_as_str(&body), &packed) < 0)
        die("gzip");
    (void)snprintf(headers, sizeof(headers), "x-agent-api-key: %s\r\ncontent-encoding: gzip\r\n", a->key);
    put_request(s, a, "/api/agents/check-in", headers, buf_as_str(&packed), ret);
}

/* -- connections */

static void dial(struct sim *s, struct agent *a)
{
    int one = 1;

    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&s->to, sizeof(s->to)) < 0)
        die("connect");
    (void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A whole reply in @a->in: its length, and status and body; 0: not yet. */
static uint32_t reply_len(const struct agent *a, int *ret_status, struct str *ret_body)
{
    struct str in = str_bytes(a->in, a->n_in), head;
    ptrdiff_t end = str_find(in, STR("\r\n\r\n")), at;
    uint64_t n = 0;

    if (end < 0)
        return 0;
    head = str_sub(in, 0, (size_t)end);
    at = str_find(head, STR("ontent-Length: "));
    if (at < 0)
        at = str_find(head, STR("ontent-length: "));
    if (at >= 0)
        n = strtoull(head.ptr + at + 15, NULL, 10);
    if (in.len < (size_t)end + 4 + n)
        return 0;
    *ret_status = (int)strtol(in.ptr + 9, NULL, 10);
    *ret_body = str_sub(in, (size_t)end + 4, n);
    return (uint32_t)((size_t)end + 4 + n);
}

/* One exchange, waiting: registration. */
static void exchange(struct sim *s, struct agent *a, const struct request *rq)
{
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    struct str body = STR_NONE;
    struct node *n;
    int status = 0;

    for (uint32_t sent = 0; sent < rq->len;) {
        ssize_t w = send(a->fd, rq->bytes + sent, rq->len - sent, MSG_NOSIGNAL);
        if (w <= 0)
            die("send");
        sent += (uint32_t)w;
    }
    while (reply_len(a, &status, &body) == 0) {
        ssize_t r = recv(a->fd, a->in + a->n_in, sizeof(a->in) - a->n_in, 0);
        if (r <= 0)
            die("recv");
        a->n_in += (uint32_t)r;
    }
    if (status != 200) {
        (void)fprintf(stderr, "accentsim: register answered %d: %.*s\n", status, STR_FMT(str_sub(body, 0, 200)));
        exit(1);
    }
    if (s->is_grapheon) {
        const struct node *key;

        if (json_parse(arena, body, REPLY_MAX, &n, NULL) < 0 || !(key = node_get(n, "api_key")) || key->type != NODE_STR)
            die("no api_key in the answer");
        (void)str_copy(key->s, a->key, sizeof(a->key));
    }
    a->n_in = 0;
}

static void register_all(struct sim *s)
{
    for (uint32_t i = 0; i < s->n_agents; i++) {
        AUTO(buf_done) struct buf body = BUF(BODY_MAX);
        struct agent *a = &s->agents[i];
        struct request rq;
        char headers[160];

        (void)snprintf(a->name, sizeof(a->name), "bench-%d-%05u", (int)getpid(), i);
        dial(s, a);
        if (s->is_grapheon) {
            grapheon_register_body(s, a, &body);
            put_request(s, a, "/api/agents/register", "", buf_as_str(&body), &rq);
        } else {
            sigma_body(a, 0, true, &body);
            (void)snprintf(headers, sizeof(headers), "x-api-key: %s\r\n", s->key);
            put_request(s, a, "/api/agent/register", headers, buf_as_str(&body), &rq);
        }
        exchange(s, a, &rq);
        free(rq.bytes);
        if (fcntl(a->fd, F_SETFL, O_NONBLOCK) < 0)
            die("fcntl");
        struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, a->fd, &ev) < 0)
            die("epoll");
    }
}

/* -- the run */

static struct request *current(struct sim *s, struct agent *a)
{
    uint64_t i = a->n_sent * s->n_agents + (uint64_t)(a - s->agents);

    return i < s->count ? &s->requests[i] : NULL;
}

/* Sends what is left of the request that is out. A full socket is rare: the next turn tries again. */
static void push(struct sim *s, struct agent *a)
{
    struct request *rq = current(s, a);
    ssize_t w;

    while (a->sent_bytes < rq->len) {
        w = send(a->fd, rq->bytes + a->sent_bytes, rq->len - a->sent_bytes, MSG_NOSIGNAL);
        if (w < 0 && errno != EAGAIN)
            die("send");
        if (w <= 0)
            return;
        a->sent_bytes += (uint32_t)w;
    }
}

static void begin(struct sim *s, struct agent *a, usec_t now)
{
    struct request *rq = current(s, a);

    if (!rq || a->is_out)
        return;
    if (!s->rate)
        rq->due = now;
    a->is_out = true;
    a->sent_bytes = 0;
    push(s, a);
}

static void on_reply(struct sim *s, struct agent *a, usec_t now, int status, struct str body)
{
    struct request *rq = current(s, a);

    s->latency_us[s->done++] = (uint32_t)(now - rq->due);
    if (status != 200) {
        s->failed++;
        if (!s->first_bad) {
            s->first_bad = status;
            (void)snprintf(s->bad_text, sizeof(s->bad_text), "%.*s", STR_FMT(str_sub(body, 0, 200)));
        }
    }
    free(rq->bytes);
    rq->bytes = NULL;
    a->is_out = false;
    a->n_sent++;
    if (!s->rate || (current(s, a) && current(s, a)->due <= now))
        begin(s, a, now);
}

static void on_readable(struct sim *s, struct agent *a)
{
    struct str body;
    uint32_t n;
    int status;
    ssize_t r = recv(a->fd, a->in + a->n_in, sizeof(a->in) - a->n_in, 0);

    if (r < 0 && errno == EAGAIN)
        return;
    if (r <= 0) {
        errno = r == 0 ? ECONNRESET : errno;
        die("the server hung up");
    }
    a->n_in += (uint32_t)r;
    while (a->is_out && (n = reply_len(a, &status, &body)) > 0) {
        on_reply(s, a, clock_mono(&clock_real), status, body);
        memmove(a->in, a->in + n, a->n_in - n);
        a->n_in -= n;
    }
}

static usec_t run(struct sim *s)
{
    usec_t start = clock_mono(&clock_real), now = start;
    struct epoll_event ev[256];

    for (uint64_t i = 0; s->rate && i < s->count; i++)
        s->requests[i].due = start + i * USEC_PER_SEC / s->rate;
    for (uint32_t i = 0; !s->rate && i < s->n_agents; i++)
        begin(s, &s->agents[i], now);
    while (s->done < s->count) {
        int n;

        now = clock_mono(&clock_real);
        while (s->rate && s->next_due < s->count && s->requests[s->next_due].due <= now) {
            begin(s, &s->agents[s->next_due % s->n_agents], now); /* busy: it follows when the answer is there */
            s->next_due++;
        }
        n = epoll_wait(s->epoll, ev, 256, s->rate ? 1 : 1000);
        for (int i = 0; i < n; i++)
            on_readable(s, &s->agents[ev[i].data.u32]);
        for (uint32_t i = 0; n == 0 && i < s->n_agents; i++)
            if (s->agents[i].is_out && current(s, &s->agents[i]) && s->agents[i].sent_bytes < current(s, &s->agents[i])->len)
                push(s, &s->agents[i]);
    }
    return clock_mono(&clock_real) - start;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void prepare(struct sim *s)
{
    s->requests = xcalloc(s->count, sizeof(*s->requests));
    s->latency_us = xcalloc(s->count, sizeof(*s->latency_us));
    for (uint64_t i = 0; i < s->count; i++)
        make_request(s, &s->agents[i % s->n_agents], i / s->n_agents, &s->requests[i]);
}

static void take_address(struct sim *s, const char *text)
{
    const char *colon = strrchr(text, ':');
    char addr[64];

    if (!colon || str_copy(str_bytes(text, (size_t)(colon - text)), addr, sizeof(addr)) < 0 ||
        inet_pton(AF_INET, addr, &s->to.sin_addr) != 1) {
        (void)fprintf(stderr, "accentsim: --http takes an IPv4 ADDR:PORT\n");
        exit(2);
    }
    s->to.sin_family = AF_INET;
    s->to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    (void)snprintf(s->host, sizeof(s->host), "%s", text);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "http", 1, NULL, 'h' },  { "accent", 1, NULL, 'a' }, { "key", 1, NULL, 'k' },  { "agents", 1, NULL, 'n' },
        { "count", 1, NULL, 'c' }, { "rate", 1, NULL, 'r' },   { "rows", 1, NULL, 'w' }, { NULL, 0, NULL, 0 },
    };
    struct sim s = { .n_agents = 500, .n_rows = 40, .count = 20000, .key = "" };
    usec_t took;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'h': take_address(&s, optarg); break;
        case 'a': s.is_grapheon = strcmp(optarg, "grapheon") == 0; break;
        case 'k': s.key = optarg; break;
        case 'n': s.n_agents = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'c': s.count = strtoull(optarg, NULL, 10); break;
        case 'r': s.rate = strtoull(optarg, NULL, 10); break;
        case 'w': s.n_rows = (uint32_t)strtoul(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (!s.host[0] || s.n_agents == 0 || s.count < s.n_agents || s.n_rows > 200) {
        (void)fprintf(stderr, "accentsim: see the head of bench/accentsim.c for its options\n");
        return 2;
    }
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    s.agents = xcalloc(s.n_agents, sizeof(*s.agents));
    register_all(&s);
    prepare(&s);
    took = run(&s);
    qsort(s.latency_us, s.done, sizeof(*s.latency_us), by_value);
    (void)printf("{\"per_s\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"failed\": %llu, \"first_bad\": %d}\n",
                 (double)s.done * 1e6 / (double)took, s.latency_us[s.done / 2] / 1e3, s.latency_us[s.done * 99 / 100] / 1e3,
                 s.latency_us[s.done - 1] / 1e3, (unsigned long long)s.failed, s.first_bad);
    if (s.failed)
        (void)fprintf(stderr, "accentsim: %llu refused, first %d: %s\n", (unsigned long long)s.failed, s.first_bad, s.bad_text);
    return s.failed ? 1 : 0;
}
