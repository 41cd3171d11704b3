/* net/static.c - what a program without shared libraries has in place of them. Only in muster-agent-static.
 *
 * A static program can load no plug-in that was made for another libc than its own, and should not try: a name service or an OpenSSL
 * provider of the host would bring the host's libc into the process beside ours. So it looks names up in files and by DNS (both are
 * inside libc), and reads no openssl.cnf. It offers no WebSocket: Debian has no libwslay.a, and an agent's listener is asked for
 * metrics and ports only. */
#include <nss.h>
#include <openssl/crypto.h>

#include "net/ws_priv.h"

/* Before main(), as nothing may have looked a name up before. On failure the host's nsswitch.conf decides, as without us. */
__attribute__((constructor)) static void stand_alone(void)
{
    static const char *const from_files[] = { "passwd", "group", "initgroups", "shadow", "services", "protocols", "networks" };

    (void)__nss_configure_lookup("hosts", "files dns");
    for (size_t i = 0; i < ARRAY_SIZE(from_files); i++)
        (void)__nss_configure_lookup(from_files[i], "files");
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

const struct conn_ops ws_conn_ops;

int64_t ws__listen_head(const struct http_req *req)
{
    (void)req;
    return 0;
}

void ws__listen_request(const struct ws_server_ops *ops, uint64_t exchange, const struct http_req *req)
{
    struct http_res res = { .status = 501, .content_type = "text/plain; charset=utf-8", .body = STR("no WebSocket here\n") };

    (void)ops, (void)req;
    http_reply(exchange, &res);
}

void ws_conn_drain(struct conn *c)
{
    conn_close(c, NULL);
}
