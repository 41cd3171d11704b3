/* fuzz: net
 * tests/fuzz/fuzz_http2.c - net/http2.h and grpc.h: a server connection fed by anybody. The first byte says where it is cut. */
#include "fuzz_net_conn.h"
#include "net/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx, (void)call, (void)ret_user, (void)ret_message;
    return info->path.len % 7 == 6 ? GRPC_UNIMPLEMENTED : 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx, (void)user;
    grpc_send(call, msg);
    if (msg.len == 3)
        grpc_finish(call, GRPC_OK, "three");
}

static void on_half_close(void *ctx, uint64_t call, void *user)
{
    (void)ctx, (void)user;
    grpc_finish(call, GRPC_OK, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct grpc_server_ops ops = { .open = on_open, .message = on_message, .half_close = on_half_close };
    static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct conn *c;

    if (size < 1 || !(c = fuzz_conn()))
        return 0;
    h2_new_server(c, &ops);
    conn_feed(c, (const uint8_t *)magic, sizeof(magic) - 1);
    fuzz_run(c, str_bytes(data + 1, size - 1), data[0] ? data[0] : SIZE_MAX);
    return 0;
}
