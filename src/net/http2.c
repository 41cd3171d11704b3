/* net/http2.c - nghttp2 as bytes in, bytes out on a connection. Loop thread.
 *
 * Memory: a stock session holds a 16 KB frame buffer for life. It is filled and handed out within one call of
 * nghttp2_session_mem_send(), and we copy what that returns before anything else runs, so all sessions of a thread share
 * one. Why that is safe: only mem_send writes to or reads from the buffer's bytes; a session keeps nothing in it across
 * two calls but a frame that was returned and copied already (after which it only looks at the buffer's *pointers*);
 * header blocks of ours are far below one buffer, so none is split over two. HPACK tables are 0 both ways. */
#include "net/http2.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listen_priv.h"

/* -- memory for nghttp2 */
enum { FRAMEBUF_MIN = 16 << 10, FRAMEBUF_MAX = 20 << 10 };
static _Thread_local struct {
    uint8_t *shared;
    bool is_born; /* a session is being made: its frame buffer is the one large allocation */
} framebuf;

/* A session's two HPACK rings (1 KiB each) are allocated and, with tables of size 0, never written: only a peer that fills
 * the table before it has seen our SETTINGS touches one. On the heap they would sit between things in use and be resident
 * with them; here they are addresses without memory. Blocks come back through a list that is kept elsewhere, so that being
 * free does not touch them either. */
enum { RING_BYTES = 1024, RINGS_MAX = 256 << 10 };
static _Thread_local struct {
    uint8_t *base; /* reserved once, never given back; MAP_FAILED: there is none */
    size_t used;
    VEC(uint8_t *) free;
} rings;

static void *ring_alloc(void)
{
    if (rings.free.n > 0)
        return rings.free.v[--rings.free.n];
    if (!rings.base)
        rings.base = mmap(NULL, (size_t)RING_BYTES * RINGS_MAX, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rings.base == MAP_FAILED || rings.used == RINGS_MAX)
        return NULL;
    return rings.base + RING_BYTES * rings.used++;
}

static bool is_ring(const void *p)
{
    return rings.base && rings.base != MAP_FAILED && (const uint8_t *)p >= rings.base &&
           (const uint8_t *)p < rings.base + (size_t)RING_BYTES * RINGS_MAX;
}

static void *mem_malloc(size_t n, void *ctx)
{
    void *p = framebuf.is_born && n == RING_BYTES ? ring_alloc() : NULL;

    (void)ctx;
    return p ? p : xmalloc(n ? n : 1);
}

static void mem_free(void *p, void *ctx)
{
    (void)ctx;
    if (is_ring(p))
        *vec_add(&rings.free) = p;
    else if (p != framebuf.shared || !p)
        free(p);
}

static void *mem_calloc(size_t n, size_t size, void *ctx)
{
    (void)ctx;
    return xcalloc(n ? n : 1, size ? size : 1);
}

static void *mem_realloc(void *p, size_t n, void *ctx)
{
    (void)ctx;
    if (!p && framebuf.is_born && n >= FRAMEBUF_MIN && n <= FRAMEBUF_MAX) {
        if (!framebuf.shared)
            framebuf.shared = xmalloc(FRAMEBUF_MAX);
        return framebuf.shared;
    }
    /* A session that wants a larger one gets its own; the content is dead by then. */
    if (p && p == framebuf.shared)
        return xmalloc(n);
    return xrealloc(p, n ? n : 1);
}

/* -- limits on what costs us and carries nothing */
static bool count_frame(struct h2 *h, uint32_t *counter, uint32_t max)
{
    usec_t now = loop_now(h->c->loop);

    if (now - h->rate_start > H2_RATE_WINDOW_MS * USEC_PER_MS) {
        h->rate_start = now;
        h->n_resets = h->n_noise = 0;
    }
    if (++*counter <= max)
        return true;
    net_stats.protocol_errors++;
    h2_terminate(h, NGHTTP2_ENHANCE_YOUR_CALM);
    return false;
}

void h2_terminate(struct h2 *h, uint32_t code)
{
    if (h->is_dead)
        return;
    h->is_dead = true;
    nghttp2_session_terminate_session(h->ng, code);
    conn_finish(h->c);
}

void h2_drain(struct h2 *h)
{
    if (h->is_draining || h->is_dead)
        return;
    h->is_draining = true;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
                          NULL, 0);
    conn_dirty(h->c);
    if (h->n_calls == 0)
        conn_finish(h->c);
}

/* -- header blocks */
static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    (void)ng, (void)frame;
    if (!h->head)
        h->head = xnew0(struct h2_head);
    buf_done(&h->head->bytes);
    *h->head = (struct h2_head){ .bytes = BUF(H2_HEADER_LIST_MAX) };
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2 *h = user;
    struct h2_head *head = h->head;

    (void)ng, (void)frame, (void)flags;
    if (!head || head->is_too_big)
        return 0;
    head->total += name_len + value_len + 32;
    if (head->total > H2_HEADER_LIST_MAX || head->n == H2_HEADERS_MAX) {
        head->is_too_big = true;
        return 0;
    }
    /* Offsets, as the bytes may move. */
    struct kv *kv = &head->kv[head->n++];

    *kv = (struct kv){ { NULL, name_len }, { NULL, value_len } };
    buf_append(&head->bytes, name, name_len);
    buf_append(&head->bytes, value, value_len);
    return 0;
}

static void head_complete(struct h2 *h, int32_t stream_id)
{
    struct h2_head *head = TAKE(h->head);
    const char *p;

    if (!head)
        return;
    p = (const char *)head->bytes.ptr;
    for (size_t i = 0; i < head->n; i++) {
        head->kv[i].key.ptr = p;
        p += head->kv[i].key.len;
        head->kv[i].value.ptr = p;
        p += head->kv[i].value.len;
    }
    struct kv_list list = { head->kv, head->n };

    grpc__head(h, stream_id, &list, head->is_too_big);
    buf_done(&head->bytes);
    free(head);
}

/* -- frames */
static struct call *call_of(struct h2 *h, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(h->ng, stream_id);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    struct call *call;

    (void)ng;
    if (h->is_dead)
        return 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        head_complete(h, frame->hd.stream_id);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            count_frame(h, &h->n_noise, H2_NOISE_MAX);
        break;
    case NGHTTP2_RST_STREAM:
        if (!h->is_client)
            count_frame(h, &h->n_resets, LIMIT_H2_RESETS);
        return 0;
    case NGHTTP2_SETTINGS:
        count_frame(h, &h->n_noise, H2_NOISE_MAX);
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) && !h->has_settings) {
            h->has_settings = true;
            if (h->client)
                grpc__client_ready(h->client);
        }
        return 0;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            count_frame(h, &h->n_noise, H2_NOISE_MAX);
        return 0;
    case NGHTTP2_GOAWAY:
        h->is_draining = true;
        if (h->n_calls == 0)
            conn_finish(h->c);
        return 0;
    case NGHTTP2_WINDOW_UPDATE:
        return 0; /* as many as we send data */
    default:
        count_frame(h, &h->n_noise, H2_NOISE_MAX);
        return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && (call = call_of(h, frame->hd.stream_id)))
        grpc__peer_end(call);
    return 0;
}

/* A stream error is ours to send but theirs to cause: it counts like a reset (rapid reset by other means). */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *user)
{
    struct h2 *h = user;

    (void)ng, (void)frame, (void)code;
    if (!h->is_dead && !h->is_client)
        count_frame(h, &h->n_resets, LIMIT_H2_RESETS);
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t n, void *user)
{
    struct h2 *h = user;
    struct call *call = call_of(h, stream_id);

    (void)flags;
    /* The connection's window is always refilled: one paused call must not stop its neighbours. */
    nghttp2_session_consume_connection(ng, n);
    if (call && call->is_paused)
        call->unconsumed += n;
    else
        nghttp2_session_consume_stream(ng, stream_id, n);
    if (call && !h->is_dead)
        grpc__data(call, str_bytes(data, n));
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t code, void *user)
{
    struct h2 *h = user;
    struct call *call = call_of(h, stream_id);

    (void)ng;
    if (call) {
        nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
        grpc__closed(call, code);
    }
    if (h->is_draining && h->n_calls == 0)
        conn_finish(h->c);
    return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    /* Our answer is complete but the client still talks: it may stop (RFC 9113 section 8.1). */
    if (!h->is_client && frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* -- the session */
static nghttp2_session_callbacks *callbacks(void)
{
    static nghttp2_session_callbacks *cbs; /* never freed: one for the process */

    if (!cbs) {
        nghttp2_session_callbacks *n;

        nghttp2_session_callbacks_new(&n);
        nghttp2_session_callbacks_set_on_begin_headers_callback(n, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(n, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(n, on_frame_recv);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(n, on_invalid_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(n, on_data_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(n, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(n, on_frame_send);
        cbs = n;
    }
    return cbs;
}

static nghttp2_option *options(void)
{
    static nghttp2_option *opt;

    if (!opt) {
        nghttp2_option *n;

        nghttp2_option_new(&n);
        nghttp2_option_set_no_auto_window_update(n, 1);
        nghttp2_option_set_max_deflate_dynamic_table_size(n, 0);
        nghttp2_option_set_no_closed_streams(n, 1);
        nghttp2_option_set_max_outbound_ack(n, 256);
        nghttp2_option_set_max_settings(n, 32);
        nghttp2_option_set_peer_max_concurrent_streams(n, LIMIT_H2_STREAMS);
        nghttp2_option_set_max_reserved_remote_streams(n, 0);
        opt = n;
    }
    return opt;
}

enum { WINDOW_AUTH = 256 << 10, WINDOW_NOAUTH = 65535 };

static struct h2 *h2_new(struct conn *c, bool is_client)
{
    struct h2 *h = xnew0(struct h2);
    nghttp2_mem mem = { NULL, mem_malloc, mem_free, mem_calloc, mem_realloc };
    const struct tls_peer *peer = conn_tls_peer(c);
    bool trusted = is_client || peer->has_cert || !peer->is_tls;
    uint32_t window = trusted ? WINDOW_AUTH : WINDOW_NOAUTH;
    int r;

    h->c = c;
    h->is_client = is_client;
    h->partial_max = trusted ? H2_PARTIAL_MAX : H2_PARTIAL_NOAUTH_MAX;
    h->quiet_since = h->rate_start = loop_now(c->loop);
    framebuf.is_born = true;
    r = is_client ? nghttp2_session_client_new3(&h->ng, callbacks(), h, options(), &mem)
                  : nghttp2_session_server_new3(&h->ng, callbacks(), h, options(), &mem);
    framebuf.is_born = false;
    assert(r == 0);
    if (is_client) {
        /* A client session is born with its preface in the frame buffer, the one time something waits there: taken out
         * before another session can write over it, and sent by us. */
        const uint8_t *magic;
        ssize_t n = nghttp2_session_mem_send(h->ng, &magic);

        assert(n == NGHTTP2_CLIENT_MAGIC_LEN && memcmp(magic, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) == 0);
        (void)n;
        h->owes_magic = true;
    }
    nghttp2_settings_entry iv[] = {
        { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, is_client ? 0 : LIMIT_H2_STREAMS },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_LIST_MAX },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
    };
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, ARRAY_SIZE(iv) - (is_client ? 0 : 1));
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, WINDOW_AUTH);
    c->ops = &h2_conn_ops;
    c->proto = h;
    conn_dirty(c);
    return h;
}

struct h2 *h2_new_server(struct conn *c, const struct grpc_server_ops *ops)
{
    struct h2 *h = h2_new(c, false);

    h->ops = ops;
    h->may_plain = !conn_tls_peer(c)->is_tls;
    h->ping_every = H2_PING_EVERY_MS * USEC_PER_MS;
    h->ping_timeout = H2_PING_TIMEOUT_MS * USEC_PER_MS;
    conn_deadline(c, loop_now(c->loop) + h->ping_every);
    return h;
}

struct h2 *h2_new_client(struct conn *c, struct grpc_client *client)
{
    struct h2 *h = h2_new(c, true);

    h->client = client;
    return h;
}

static void on_input(struct conn *c, struct str plain)
{
    struct h2 *h = c->proto;
    ssize_t n;

    h->ping_at = 0; /* whatever came: the other side lives */
    if (h->is_dead)
        return;
    n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)plain.ptr, plain.len);
    if (c->state == CONN_CLOSED)
        return;
    if (n < 0) {
        net_stats.protocol_errors++;
        h->is_dead = true;
        h->is_bad_magic = n == NGHTTP2_ERR_BAD_CLIENT_MAGIC;
        conn_finish(c);
        return;
    }
    if (nghttp2_session_want_write(h->ng))
        conn_dirty(c);
    else if (!nghttp2_session_want_read(h->ng))
        conn_finish(c);
}

static size_t on_output(struct conn *c, uint8_t *dst, size_t room)
{
    static const char not_h2[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                                 "Content-Length: 42\r\n\r\nthis port speaks gRPC over HTTP/2, no more\n";
    struct h2 *h = c->proto;
    size_t done = 0;

    if (h->is_bad_magic) {
        if (!h->may_plain)
            return 0;
        h->may_plain = false;
        memcpy(dst, not_h2, sizeof(not_h2) - 1);
        return sizeof(not_h2) - 1;
    }
    if (h->owes_magic) {
        memcpy(dst, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        done = NGHTTP2_CLIENT_MAGIC_LEN;
        h->owes_magic = false;
    }
    /* A frame is at most 16 KiB and a header, and is always copied whole. */
    while (room - done > FRAMEBUF_MAX) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->ng, &p);

        if (n < 0) {
            conn_close(c, NULL);
            return 0;
        }
        if (c->state == CONN_CLOSED || n == 0)
            break;
        assert((size_t)n <= room - done);
        memcpy(dst + done, p, (size_t)n);
        done += (size_t)n;
    }
    if (done == 0 && !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
        conn_finish(c);
    return done;
}

static void on_deadline(struct conn *c)
{
    struct h2 *h = c->proto;
    usec_t now = loop_now(c->loop), next;
    struct err err = { 0 };

    if (conn_is_paused(c)) {
        /* We do not listen, so silence proves nothing. */
        h->ping_at = 0;
        conn_deadline(c, now + h->ping_every);
        return;
    }
    if (conn_is_stalled(c) || (h->ping_at && now >= h->ping_at + h->ping_timeout)) {
        err_set(&err, -ETIMEDOUT, "net.timeout", "the peer does not answer");
        conn_close(c, &err);
        return;
    }
    if (!h->is_client && h->n_calls == 0 &&
        now - h->quiet_since >= (conn_tls_peer(c)->has_cert ? H2_IDLE_MS : H2_IDLE_NOAUTH_MS) * USEC_PER_MS) {
        h2_drain(h);
        return;
    }
    if (h->ping_at) {
        next = h->ping_at + h->ping_timeout;
    } else if (now >= c->last_rx + h->ping_every) {
        nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
        h->ping_at = now;
        next = now + h->ping_timeout;
        conn_dirty(c);
    } else {
        next = c->last_rx + h->ping_every;
    }
    conn_deadline(c, next);
}

static void on_kick(struct conn *c)
{
    struct h2 *h = c->proto;

    for (struct call *call = h->calls, *next; call; call = next) {
        next = call->next;
        if (call->drain && call->out.len < LIMIT_WRITE_LOW) {
            void (*fn)(void *, uint64_t) = call->drain;

            call->drain = NULL;
            fn(call->drain_ctx, call->id);
            if (c->state == CONN_CLOSED)
                return;
        }
    }
}

static void on_closed(struct conn *c, const struct err *why)
{
    struct h2 *h = c->proto;
    struct grpc_client *client;

    h->is_dead = true;
    h->why = why;
    while (h->calls)
        grpc__closed(h->calls, NGHTTP2_CONNECT_ERROR);
    nghttp2_session_del(h->ng);
    if (h->head) {
        buf_done(&h->head->bytes);
        free(h->head);
    }
    client = h->client;
    free(h);
    c->proto = NULL;
    if (client)
        grpc__client_gone(client, why);
}

const struct conn_ops h2_conn_ops = {
    .input = on_input,
    .output = on_output,
    .deadline = on_deadline,
    .kick = on_kick,
    .closed = on_closed,
};
