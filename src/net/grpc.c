/* net/grpc.c - calls: what the user of grpc.h sees of a stream. Loop thread. */
#include "net/grpc.h"

#include <assert.h>
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/http2.h"
#include "net/listen.h"

/* -- life of a call */
static void on_call_deadline(struct wheel_entry *e)
{
    struct call *call = (struct call *)((char *)e - offsetof(struct call, deadline));

    if (call->is_over)
        return;
    if (call->h2->is_client) {
        call->status = GRPC_DEADLINE_EXCEEDED;
        nghttp2_submit_rst_stream(call->h2->ng, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
        conn_dirty(call->h2->c);
    } else {
        grpc_finish(call->id, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
    }
}

struct call *grpc__call_new(struct h2 *h, int32_t stream_id)
{
    struct call *call = xnew0(struct call);

    call->h2 = h;
    call->stream_id = stream_id;
    call->status = -1;
    call->deadline.fire = on_call_deadline;
    call->id = slots_add(net__ids(NET_CALL), call);
    call->next = h->calls;
    call->pprev = &h->calls;
    if (call->next)
        call->next->pprev = &call->next;
    h->calls = call;
    h->n_calls++;
    return call;
}

void grpc__call_free(struct call *call)
{
    struct h2 *h = call->h2;

    slots_del(net__ids(NET_CALL), call->id);
    wheel_del(h->c->loop, &call->deadline);
    *call->pprev = call->next;
    if (call->next)
        call->next->pprev = call->pprev;
    if (--h->n_calls == 0)
        h->quiet_since = loop_now(h->c->loop);
    h->partial -= call->reader.cap;
    grpc_reader_done(&call->reader);
    outq_done(&call->out);
    free(call->message);
    free(call);
}

static struct call *find(uint64_t id)
{
    struct call *call = slots_get(net__ids(NET_CALL), id);

    return call && !call->is_over && call->h2->c->state != CONN_CLOSED ? call : NULL;
}

#define NV(n, v, len)                                                                                        \
    { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, (len),                            \
      NGHTTP2_NV_FLAG_NO_COPY_NAME }

static ssize_t on_read(nghttp2_session *ng, int32_t stream_id, uint8_t *dst, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    bool is_end = false;
    size_t n = grpc__read(source->ptr, dst, room, &is_end);

    (void)ng, (void)stream_id, (void)user;
    if (is_end)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    if (is_end && !((struct call *)source->ptr)->h2->is_client)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM; /* the trailers end it */
    return (ssize_t)n;
}

/* grpc-status and grpc-message, as trailers or as the whole answer. */
static size_t status_headers(struct call *call, nghttp2_nv *nv, char digits[8], struct buf *message)
{
    size_t n = 0;
    int len = snprintf(digits, 8, "%d", call->status < 0 ? GRPC_UNKNOWN : call->status);

    nv[n++] = (nghttp2_nv)NV("grpc-status", digits, (size_t)len);
    if (call->message && grpc_percent_encode(message, str_of(call->message)) == 0)
        nv[n++] = (nghttp2_nv)NV("grpc-message", message->ptr, message->len);
    return n;
}

enum { MESSAGE_MAX = 1024 };

size_t grpc__read(struct call *call, uint8_t *dst, size_t room, bool *ret_end)
{
    size_t n = outq_take(&call->out, dst, room);

    *ret_end = call->out.len == 0 && call->is_ending;
    call->is_deferred = n == 0 && !*ret_end;
    if (*ret_end && !call->h2->is_client) {
        AUTO(buf_done) struct buf message = BUF(MESSAGE_MAX * 3 + 1);
        char digits[8];
        nghttp2_nv nv[2];
        size_t n_nv = status_headers(call, nv, digits, &message);

        nghttp2_submit_trailer(call->h2->ng, call->stream_id, nv, n_nv);
    }
    if (call->drain && call->out.len < LIMIT_WRITE_LOW)
        conn_kick(call->h2->c);
    return n;
}

static void wake_stream(struct call *call)
{
    if (call->is_deferred) {
        call->is_deferred = false;
        nghttp2_session_resume_data(call->h2->ng, call->stream_id);
    }
    conn_dirty(call->h2->c);
}

static void start_response(struct call *call)
{
    nghttp2_nv nv[] = {
        NV(":status", "200", 3),
        NV("content-type", "application/grpc", 16),
        NV("grpc-accept-encoding", "identity", 8),
    };
    nghttp2_data_provider prd = { .source.ptr = call, .read_callback = on_read };

    call->is_started = true;
    nghttp2_submit_response(call->h2->ng, call->stream_id, nv, ARRAY_SIZE(nv), &prd);
    conn_dirty(call->h2->c);
}

/* An answer without messages: "Trailers-Only". */
static void answer_status(struct call *call)
{
    AUTO(buf_done) struct buf message = BUF(MESSAGE_MAX * 3 + 1);
    char digits[8];
    nghttp2_nv nv[4] = { NV(":status", "200", 3), NV("content-type", "application/grpc", 16) };
    size_t n = 2 + status_headers(call, nv + 2, digits, &message);

    call->is_started = true;
    nghttp2_submit_response(call->h2->ng, call->stream_id, nv, n, NULL);
    conn_dirty(call->h2->c);
}

static void answer_http(struct h2 *h, int32_t stream_id, const char *status)
{
    nghttp2_nv nv[] = { NV(":status", status, 3) };

    net_stats.protocol_errors++;
    nghttp2_submit_response(h->ng, stream_id, nv, 1, NULL);
    conn_dirty(h->c);
}

/* -- what the session tells us: server */
static struct str header(const struct kv_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_is(list->v[i].key, name))
            return list->v[i].value;
    return STR_NONE;
}

/* "application/grpc", "application/grpc+proto", "application/grpc;charset=..." */
static bool is_grpc_type(struct str type)
{
    return str_starts(type, STR("application/grpc")) && (type.len == 16 || type.ptr[16] == '+' || type.ptr[16] == ';');
}

/* Headers without the pseudo ones, in place: those come first (RFC 9113 section 8.3). */
static struct kv_list metadata_of(const struct kv_list *list)
{
    size_t i = 0;

    while (i < list->n && str_starts(list->v[i].key, STR(":")))
        i++;
    return (struct kv_list){ list->v + i, list->n - i };
}

static void server_head(struct h2 *h, int32_t stream_id, const struct kv_list *list, bool is_too_big)
{
    struct str timeout = header(list, "grpc-timeout");
    struct grpc_call_info info = { .path = header(list, ":path"), .metadata = metadata_of(list), .peer = &h->c->peer,
                                   .tls = conn_tls_peer(h->c), .deadline = USEC_NEVER };
    const char *message = NULL;
    struct call *call;
    void *user = NULL;
    usec_t after = 0;
    int status;

    if (is_too_big) {
        answer_http(h, stream_id, "431");
        return;
    }
    if (!str_is(header(list, ":method"), "POST")) {
        answer_http(h, stream_id, "405");
        return;
    }
    if (!is_grpc_type(header(list, "content-type"))) {
        answer_http(h, stream_id, "415");
        return;
    }
    call = grpc__call_new(h, stream_id);
    nghttp2_session_set_stream_user_data(h->ng, stream_id, call);
    net_stats.grpc_calls++;
    if (h->is_draining) {
        call->status = GRPC_UNAVAILABLE;
        message = "the server is about to stop";
    } else if (timeout.ptr && grpc_timeout_parse(timeout, &after) < 0) {
        call->status = GRPC_INVALID_ARGUMENT;
        message = "grpc-timeout cannot be read";
    } else {
        if (timeout.ptr)
            info.deadline = loop_now(h->c->loop) + after;
        /* Opened before the callback: it may send, finish or pause at once. */
        call->is_opened = true;
        status = h->ops->open(h->ops->ctx, call->id, &info, &user, &message);
        call->user = user;
        if (status == 0) {
            if (info.deadline != USEC_NEVER && !call->is_ending)
                wheel_set(h->c->loop, &call->deadline, info.deadline);
            return;
        }
        call->is_opened = false;
        call->status = (int16_t)status;
    }
    call->is_ending = call->is_over = true;
    call->message = message ? xstrndup(message, MESSAGE_MAX) : NULL;
    if (!call->is_started)
        answer_status(call);
    else
        wake_stream(call);
}

/* -- client */
static void client_head(struct call *call, const struct kv_list *list)
{
    struct str status = header(list, ":status"), grpc = header(list, "grpc-status"), msg = header(list, "grpc-message");
    uint64_t n;

    if (status.ptr && str_to_u64(status, &n) == 0 && n < 1000)
        call->http_status = (int16_t)n;
    if (grpc.ptr && call->status < 0)
        call->status = str_to_u64(grpc, &n) == 0 && n <= 16 ? (int16_t)n : GRPC_UNKNOWN;
    if (msg.ptr && !call->message) {
        AUTO(buf_done) struct buf text = BUF(H2_HEADER_LIST_MAX);

        if (grpc_percent_decode(&text, msg) == 0)
            call->message = xstrdup(buf_as_cstr(&text));
    }
}

void grpc__head(struct h2 *h, int32_t stream_id, const struct kv_list *headers, bool is_too_big)
{
    struct call *call = nghttp2_session_get_stream_user_data(h->ng, stream_id);

    if (!h->is_client) {
        if (!call) /* else trailers of the client, which say nothing in gRPC */
            server_head(h, stream_id, headers, is_too_big);
        return;
    }
    if (!call)
        return;
    if (is_too_big) {
        call->status = GRPC_RESOURCE_EXHAUSTED;
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL);
        return;
    }
    client_head(call, headers);
}

/* -- messages */
static bool on_message(void *ctx, struct str msg)
{
    struct call *call = ctx;
    struct h2 *h = call->h2;

    if (h->is_client)
        call->cops->message(call->cops->ctx, call->id, msg);
    else
        h->ops->message(h->ops->ctx, call->id, call->user, msg);
    /* The call itself stays until the stream closes; whether it still wants messages is another matter. */
    return !call->is_over && h->c->state != CONN_CLOSED && (h->is_client || !call->is_ending);
}

/* The peer broke a rule of the call: ends it with @status. */
static void refuse(struct call *call, enum grpc_status status, const char *message)
{
    struct h2 *h = call->h2;

    net_stats.protocol_errors++;
    if (!h->is_client) {
        outq_done(&call->out);
        grpc_finish(call->id, status, message);
        return;
    }
    call->status = (int16_t)status;
    free(call->message);
    call->message = xstrdup(message);
    nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
    conn_dirty(h->c);
}

void grpc__data(struct call *call, struct str data)
{
    struct h2 *h = call->h2;
    size_t before = call->reader.cap;
    int outcome;

    if (call->is_over || (!h->is_client && call->is_ending))
        return;
    if (h->is_client && call->http_status != 200)
        return; /* the text of somebody's error page */
    outcome = grpc_reader_feed(&call->reader, LIMIT_GRPC_MESSAGE < h->partial_max ? LIMIT_GRPC_MESSAGE : h->partial_max,
                               data, on_message, call);
    if (outcome != GRPC_FRAME_OK)
        grpc_reader_done(&call->reader);
    h->partial = h->partial - before + call->reader.cap;
    if (outcome == GRPC_FRAME_TOO_BIG)
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "message larger than this server takes");
    else if (outcome == GRPC_FRAME_COMPRESSED)
        refuse(call, GRPC_UNIMPLEMENTED, "compressed messages are not supported");
    else if (h->partial > h->partial_max)
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "too much unfinished data on this connection");
}

void grpc__peer_end(struct call *call)
{
    struct h2 *h = call->h2;

    if (call->is_over || call->is_ending || h->is_client)
        return;
    if (!grpc_reader_is_empty(&call->reader)) {
        refuse(call, GRPC_INTERNAL, "the stream ends inside a message");
        return;
    }
    if (h->ops->half_close)
        h->ops->half_close(h->ops->ctx, call->id, call->user);
}

static int status_of_http(int http)
{
    switch (http) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

static int status_of_reset(uint32_t code)
{
    switch (code) {
    case NGHTTP2_CONNECT_ERROR: /* ours: the connection is gone */
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

static void client_closed(struct call *call, uint32_t code)
{
    struct h2 *h = call->h2;
    int status = call->status;
    char text[64] = "";

    if (!h->client)
        return; /* freed: no callbacks any more */
    if (status < 0 && call->http_status != 0 && call->http_status != 200) {
        status = status_of_http(call->http_status);
        snprintf(text, sizeof(text), "HTTP status %d", call->http_status);
    } else if (status < 0) {
        status = code == NGHTTP2_NO_ERROR ? GRPC_UNKNOWN : status_of_reset(code);
        snprintf(text, sizeof(text), "%s", code == NGHTTP2_CONNECT_ERROR ? "connection lost" : nghttp2_http2_strerror(code));
    } else if (status == GRPC_DEADLINE_EXCEEDED && !call->message) {
        snprintf(text, sizeof(text), "deadline exceeded");
    }
    call->cops->finished(call->cops->ctx, call->id, status, str_of(call->message ? call->message : text));
}

/* For the server's side: whose end this is, if it was not asked for. */
static void server_closed(struct call *call, uint32_t code)
{
    struct h2 *h = call->h2;
    struct err err = { 0 };

    if (h->why)
        err = *h->why;
    else if (code != NGHTTP2_NO_ERROR)
        (void)err_set(&err, -ECONNRESET, "net.cancelled", "the peer cancelled the call (%s)", nghttp2_http2_strerror(code));
    h->ops->closed(h->ops->ctx, call->id, call->user, &err);
}

void grpc__closed(struct call *call, uint32_t code)
{
    struct h2 *h = call->h2;

    call->is_over = true;
    loop__wake(h->c->loop); /* what the callback changes may need this turn's hooks once more */
    if (h->is_client)
        client_closed(call, code);
    else if (call->is_opened && h->ops->closed)
        server_closed(call, code);
    free((void *)(uintptr_t)(h->is_client ? call->cops : NULL));
    grpc__call_free(call);
}

/* -- what the user tells us */
int grpc_accept(uint64_t id)
{
    struct call *call = find(id);

    if (!call || call->h2->is_client)
        return -ENOTCONN;
    if (!call->is_started)
        start_response(call);
    return 0;
}

int64_t grpc_send(uint64_t id, struct str msg)
{
    struct call *call = find(id);
    uint8_t prefix[GRPC_PREFIX_LEN];

    if (!call || call->is_ending)
        return -ENOTCONN;
    grpc_prefix(prefix, msg.len);
    outq_bytes(&call->out, prefix, sizeof(prefix));
    outq_bytes(&call->out, msg.ptr, msg.len);
    if (!call->is_started)
        start_response(call);
    wake_stream(call);
    return (int64_t)call->out.len;
}

int64_t grpc_queued(uint64_t id)
{
    struct call *call = find(id);

    return call ? (int64_t)call->out.len : -ENOTCONN;
}

int grpc_on_drain(uint64_t id, void (*fn)(void *ctx, uint64_t call), void *ctx)
{
    struct call *call = find(id);

    if (!call)
        return -ENOTCONN;
    call->drain = fn;
    call->drain_ctx = ctx;
    if (call->out.len < LIMIT_WRITE_LOW)
        conn_kick(call->h2->c);
    return 0;
}

int grpc_finish(uint64_t id, enum grpc_status status, const char *message)
{
    struct call *call = find(id);

    if (!call || call->h2->is_client || call->is_ending)
        return -ENOTCONN;
    call->is_ending = true;
    call->status = (int16_t)status;
    call->message = message ? xstrndup(message, MESSAGE_MAX) : NULL;
    if (!call->is_started)
        answer_status(call);
    else
        wake_stream(call);
    return 0;
}

int grpc_pause(uint64_t id, bool paused)
{
    struct call *call = find(id);

    if (!call)
        return -ENOTCONN;
    call->is_paused = paused;
    if (!paused && call->unconsumed > 0) {
        nghttp2_session_consume_stream(call->h2->ng, call->stream_id, call->unconsumed);
        call->unconsumed = 0;
        conn_dirty(call->h2->c);
    }
    return 0;
}

int grpc_half_close(uint64_t id)
{
    struct call *call = find(id);

    if (!call || !call->h2->is_client)
        return -ENOTCONN;
    if (!call->is_ending) {
        call->is_ending = true;
        wake_stream(call);
    }
    return 0;
}

int grpc_cancel(uint64_t id)
{
    struct call *call = find(id);

    if (!call)
        return -ENOTCONN;
    outq_done(&call->out);
    if (call->status < 0)
        call->status = GRPC_CANCELLED;
    nghttp2_submit_rst_stream(call->h2->ng, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
    conn_dirty(call->h2->c);
    return 0;
}

/* -- opening a call, client */
enum { METADATA_MAX = 32 };

struct call *grpc__open(struct h2 *h, const char *authority, const char *path, const struct kv_list *metadata,
                        usec_t timeout, const struct grpc_client_call_ops *ops)
{
    struct call *call;
    char text[GRPC_TIMEOUT_MAX];
    nghttp2_nv nv[8 + METADATA_MAX] = {
        NV(":method", "POST", 4),
        NV(":scheme", "https", 5),
        NV(":path", path, strlen(path)),
        NV(":authority", authority, strlen(authority)),
        NV("te", "trailers", 8),
        NV("content-type", "application/grpc", 16),
        NV("user-agent", "muster/" MUSTER_VERSION, sizeof("muster/" MUSTER_VERSION) - 1),
    };
    size_t n = 7;

    if (!conn_tls_peer(h->c)->is_tls) {
        nv[1].value = (uint8_t *)(uintptr_t) "http";
        nv[1].valuelen = 4;
    }
    if (timeout) {
        grpc_timeout_format(timeout, text);
        nv[n++] = (nghttp2_nv)NV("grpc-timeout", text, strlen(text));
    }
    for (size_t i = 0; metadata && i < metadata->n; i++) {
        const struct kv *kv = &metadata->v[i];

        assert(n < ARRAY_SIZE(nv));
        nv[n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)kv->key.ptr, (uint8_t *)(uintptr_t)kv->value.ptr, kv->key.len,
                                kv->value.len, NGHTTP2_NV_FLAG_NONE };
    }
    call = grpc__call_new(h, 0);
    call->cops = xmemdup(ops, sizeof(*ops));
    call->is_opened = call->is_started = true;
    nghttp2_data_provider prd = { .source.ptr = call, .read_callback = on_read };

    call->stream_id = nghttp2_submit_request(h->ng, NULL, nv, n, &prd, call);
    if (call->stream_id < 0) { /* stream ids used up, or GOAWAY */
        free((void *)(uintptr_t)call->cops);
        grpc__call_free(call);
        return NULL;
    }
    if (timeout)
        wheel_set(h->c->loop, &call->deadline, loop_now(h->c->loop) + timeout);
    conn_dirty(h->c);
    return call;
}
