/* cli/pump.c - see pump.h.
 *
 * At most one piece is under way, and nothing is read while one is: a slow host slows our reader down through
 * us. The server names the offset it wants by refusing others, so a piece whose answer was lost is sent again
 * unharmed. */
#include "cli/pump.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define PUMP_RETRY (200 * USEC_PER_MS)
enum { PUMP_TRIES = 150 }; /* 30 s of a server that does not answer */

struct pump {
    struct cli *cli;
    struct http_client *client;
    struct watch *watch; /* NULL: a regular file is always ready */
    struct timer *retry;
    struct buf data; /* read, not yet accepted */
    uint64_t job_id, offset;
    size_t under_way; /* bytes of the piece being sent */
    int fd, tries;
    bool is_end, is_sending, sent_end, is_off;
};

int pump_read_ahead(int fd, int wait_ms, struct buf *ret)
{
    while (ret->len < ret->max) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r = poll(&p, 1, wait_ms);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0)
            return 0;
        size_t want = ret->max - ret->len;
        uint8_t *lend;
        if (buf_reserve(ret, want < PUMP_PIECE ? want : PUMP_PIECE, &lend) < 0)
            return -ENOBUFS;
        ssize_t n = read(fd, lend, want < PUMP_PIECE ? want : PUMP_PIECE);
        if (n == 0)
            return 1;
        if (n > 0)
            buf_commit(ret, (size_t)n);
        else if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return 0;
}

static void pump_step(struct pump *p);

static void off(struct pump *p, const struct err *why)
{
    p->is_off = true;
    if (p->watch)
        watch_set(p->watch, 0);
    if (why)
        cli_note(p->cli, "standard input is no longer sent: %s", why->text);
}

static void on_sent(void *ctx, const struct err *err, int status, struct str body)
{
    struct pump *p = ctx;
    struct err why = { 0 };
    p->is_sending = false;
    if (err && err_is(err))
        why = *err;
    else if (status < 200 || status > 299)
        (void)api_error(status, body, &why);
    if (!err_is(&why)) {
        p->tries = 0;
        p->sent_end |= p->is_end && p->under_way == p->data.len;
        buf_consume(&p->data, p->under_way);
        p->offset += p->under_way;
        pump_step(p);
        return;
    }
    bool is_finished = strcmp(why.slug, "job.finished") == 0 || status == 404;
    if (is_finished) {
        off(p, NULL); /* it did not want the rest */
    } else if ((err && err_is(err)) || status == 409 || status == 429 || status >= 500) {
        if (++p->tries > PUMP_TRIES)
            off(p, &why);
        else
            timer_start(p->retry, PUMP_RETRY, 0);
    } else {
        off(p, &why);
    }
}

static void send_piece(struct pump *p)
{
    AUTO(buf_done) struct buf target = BUF(256);
    p->under_way = p->data.len < PUMP_PIECE ? p->data.len : PUMP_PIECE;
    bool is_last = p->is_end && p->under_way == p->data.len;
    buf_printf(&target, "/api/v1/jobs/%llu/stdin?offset=%llu%s", (unsigned long long)p->job_id,
               (unsigned long long)p->offset, is_last ? "&eof=true" : "");
    struct http_client_req req = { .method = "POST",
                                   .target = buf_as_cstr(&target),
                                   .body = str_sub(buf_as_str(&p->data), 0, p->under_way),
                                   .done = on_sent,
                                   .ctx = p };
    req.n_headers = api_headers(p->cli, &req.headers);
    p->is_sending = true;
    http_client_send(p->client, &req);
}

static void read_some(struct pump *p)
{
    uint8_t *lend;
    if (buf_reserve(&p->data, PUMP_PIECE, &lend) < 0)
        return;
    ssize_t n = read(p->fd, lend, PUMP_PIECE);
    if (n > 0)
        buf_commit(&p->data, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        p->is_end = true;
}

static void pump_step(struct pump *p)
{
    if (p->is_off || p->is_sending || p->sent_end || timer_is_running(p->retry))
        return;
    if (!p->watch && !p->is_end && p->data.len == 0)
        read_some(p);
    if (p->data.len || p->is_end)
        send_piece(p);
    if (p->watch)
        watch_set(p->watch, !p->is_end && !p->is_sending ? LOOP_READABLE : 0);
}

static void on_readable(void *ctx, int events)
{
    struct pump *p = ctx;
    (void)events;
    read_some(p);
    pump_step(p);
}

static void on_retry(void *ctx)
{
    pump_step(ctx);
}

struct pump *pump_new(struct cli *cli, int fd, struct buf *first)
{
    struct pump *p = xnew0(struct pump);
    *p = (struct pump){ .cli = cli, .fd = fd, .data = BUF(PUMP_INLINE + 2 * PUMP_PIECE) };
    (void)buf_str(&p->data, buf_as_str(first));
    buf_done(first);
    return p;
}

void pump_start(struct pump *p, uint64_t job_id)
{
    struct stat st;
    if (p->client)
        return;
    p->job_id = job_id;
    p->client = api_client(p->cli, 0);
    p->retry = timer_new(p->cli->loop, on_retry, p);
    /* epoll refuses regular files: those are read when there is room */
    if (fstat(p->fd, &st) == 0 && !S_ISREG(st.st_mode))
        p->watch = watch_new(p->cli->loop, p->fd, on_readable, p);
    pump_step(p);
}

void pump_free(struct pump *p)
{
    if (!p)
        return;
    watch_free(p->watch);
    timer_free(p->retry);
    http_client_free(p->client);
    buf_done(&p->data);
    free(p);
}
