/* fuzz: net
 * tests/fuzz/fuzz_http_server.c - net/http.h: a whole connection of requests by anybody, upgrades included. */
#include "base/mem.h"
#include "fuzz_net_conn.h"
#include "net/http_server.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_message(void *ctx, uint64_t ws, void *user, struct str msg, bool is_text)
{
    (void)ctx, (void)user, (void)is_text;
    ws_send_text(ws, msg);
}

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    static const struct ws_server_ops ws = { .message = on_message };
    struct http_res res = { .status = 200, .body = req->body };
    uint64_t id;

    (void)ctx;
    if (ws_upgrade(x, &ws, NULL, &id) == 0)
        return;
    if (req->path.len == 2) {
        http_stream_begin(x, &res);
        http_stream_end(x);
    } else {
        http_reply(x, &res);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_server_ops ops = { .request = on_request };
    struct conn *c;

    if (size < 1 || !(c = fuzz_conn()))
        return 0;
    http_conn_start(c, &ops, 0);
    fuzz_run(c, str_bytes(data + 1, size - 1), data[0] ? data[0] : SIZE_MAX);
    return 0;
}
