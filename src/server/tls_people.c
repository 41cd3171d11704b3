/* server/tls_people.c - see tls_people.h. */
#include "server/tls_people.h"

#include "base/buf.h"
#include "base/fd.h"

enum { PEM_MAX = 1 << 20 };

static int read_pem(const char *path, struct buf *b, struct err *err)
{
    int r = fd_read_file(path, b);

    return r < 0 ? err_set(err, r, "tls.read", "%s: %m", path) : 0;
}

struct tls_ctx *tls_people_new(const struct options *o, const struct tls_server_conf *conf, struct err *err)
{
    AUTO(buf_done) struct buf cert = BUF(PEM_MAX);
    AUTO(buf_done_secret) struct buf key = BUF(PEM_MAX);
    struct tls_server_conf own = *conf;
    struct tls_ctx *t;

    if (!o->tls_cert)
        return tls_server_new(conf, err);
    if (read_pem(o->tls_cert, &cert, err) < 0 || read_pem(o->tls_key, &key, err) < 0)
        return NULL;
    own.cert_pem = buf_as_cstr(&cert);
    own.key_pem = buf_as_cstr(&key);
    t = tls_server_new(&own, err);
    if (!t)
        err_prefix(err, "%s with %s", o->tls_cert, o->tls_key);
    return t;
}
