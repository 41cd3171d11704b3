/* fuzz: net
 * tests/fuzz/fuzz_ws.c - net/ws.h: frames of anybody behind a good upgrade. The first byte says where they are cut. */
#include "base/mem.h"
#include "fuzz_net_conn.h"
#include "net/http_server.h"
#include "net/ws_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_open(void *ctx, uint64_t ws, const struct http_req *req, void **ret_user)
{
    (void)ctx, (void)ws, (void)req, (void)ret_user;
    return 0;
}

static void on_message(void *ctx, uint64_t ws, void *user, struct str msg, bool is_text)
{
    (void)ctx, (void)user;
    if (is_text)
        ws_send_text(ws, msg);
    else
        ws_send_binary(ws, msg);
    if (msg.len == 7)
        ws_close(ws, 1000, "seven");
}

static const struct ws_server_ops ops = { on_open, on_message, NULL, NULL };

static void on_request(void *ctx, uint64_t x, const struct http_req *req)
{
    (void)ctx;
    ws__listen_request(&ops, x, req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_server_ops http = { .request = on_request };
    static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct conn *c;

    if (size < 1 || !(c = fuzz_conn()))
        return 0;
    http_conn_start(c, &http, 0);
    conn_feed(c, (const uint8_t *)upgrade, sizeof(upgrade) - 1);
    fuzz_run(c, str_bytes(data + 1, size - 1), data[0] ? data[0] : SIZE_MAX);
    return 0;
}
