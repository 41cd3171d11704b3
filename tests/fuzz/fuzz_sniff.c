/* fuzz: net
 * tests/fuzz/fuzz_sniff.c - net/listen.h and net/tls.h: the first bytes of a connection to the gRPC port. A first byte of the input
 * below 128 puts a TLS record header in front, so that the handshake is reached. */
#include <assert.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pki.h"
#include "net/listen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_open(void *ctx, uint64_t call, const struct grpc_call_info *info, void **ret_user, const char **ret_message)
{
    (void)ctx, (void)call, (void)info, (void)ret_user, (void)ret_message;
    return 0;
}

static void on_message(void *ctx, uint64_t call, void *user, struct str msg)
{
    (void)ctx, (void)call, (void)user, (void)msg;
}

static struct loop *l;
static struct listener *li;
static struct sockaddr_un un = { .sun_family = AF_UNIX };

static void set_up(void)
{
    static const char *const alpn[] = { "h2", NULL };
    static const struct grpc_server_ops ops = { .open = on_open, .message = on_message };
    usec_t now = clock_wall(&clock_real);
    struct err err = { 0 };
    AUTO_FREE char *ca_key = pki_key_p256(), *key = pki_key_p256();
    AUTO_FREE char *ca = pki_ca_new(ca_key, "fuzz", now, USEC_PER_DAY, &err);
    struct pki_issue is = { .ca_cert_pem = ca, .ca_key_pem = ca_key, .common_name = "fuzz", .uri = "spiffe://fuzz/server",
                            .not_before = now - USEC_PER_HOUR, .not_after = now + USEC_PER_DAY, .is_server = true };
    AUTO_FREE char *cert = pki_issue_key(&is, key, &err);
    struct tls_server_conf conf = { .cert_pem = cert, .key_pem = key, .ca_pem = ca,
                                    .ask_client_cert = true, .alpn = alpn };
    struct listen_conf lc = { .unix_path = un.sun_path, .tls = tls_server_new(&conf, &err) };

    snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/fuzz-sniff-%d.sock", (int)getpid());
    l = loop_new();
    assert(lc.tls && listen_grpc(l, &lc, &ops, &li, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t wire[5 + 16000] = { 0x16, 3, 1 };
    size_t n = size < 16000 ? size : 16000, skip = 0;
    int fd;

    if (size < 1)
        return 0;
    if (!l)
        set_up();
    if (data[0] < 128) {
        wire[3] = (uint8_t)((n - 1) >> 8);
        wire[4] = (uint8_t)(n - 1);
        skip = 5;
    }
    memcpy(wire + skip, data + 1, n - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
        if (send(fd, wire, skip + n - 1, MSG_NOSIGNAL) > 0)
            loop_poll(l);
        loop_poll(l);
        close(fd);
        for (int i = 0; i < 20 && listener_conns(li) > 0; i++)
            loop_poll(l);
    } else {
        close(fd);
    }
    return 0;
}
