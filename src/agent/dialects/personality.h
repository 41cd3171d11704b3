/* agent/dialects/personality.h - muster-agent in a foreign accent: `muster-agent sigma ...`, or called by its foreign name.
 *
 * A personality has its own command line, files and exit codes (its spec's), over the collectors, the exec code and the outbound
 * client that are ours. It never enrols natively. */
#ifndef MUSTER_AGENT_PERSONALITY_H
#define MUSTER_AGENT_PERSONALITY_H

#include "base/clock.h"
#include "base/err.h"
#include "net/client.h"
#include "net/loop.h"

struct personality {
    const char *name;    /* "sigma": the word after muster-agent */
    const char *argv0;   /* "sigma-agent": the name of the link */
    const char *summary; /* for muster-agent --help */
    /* argv[0] is the name people used: the link's, or the word; returns the exit code. */
    int (*main)(int argc, char **argv);
};
extern const struct personality *const personality_table[]; /* NULL-terminated */
extern const struct personality personality_sigma, personality_grapheon, personality_argus, personality_argus_report;
/* By basename(argv[0]) or by argv[1] (then *@ret_shift is 1: drop that word); NULL: none. */
const struct personality *personality_find(int argc, char **argv, int *ret_shift);

/* -- outbound.c: requests to a foreign server. HTTP/1.1 keep-alive over net/client; TLS verified against the system's CAs or a file; never
 * follows a redirect (3xx is handed on as it is). Loop thread. */
struct outbound;
struct outbound_conf {
    struct loop *loop;
    const char *base_url;       /* http[s]://host[:port][/prefix]; trailing slashes are cut */
    const char *ca_file;        /* NULL: the system's */
    const char *cert_file, *key_file; /* client certificate, and its key where that is another file (0600); NULL: none */
    bool insecure_skip_verify;
    bool allow_http;            /* plain http to other than loopback; else "url.insecure" */
    usec_t connect_timeout, total_timeout;
    size_t max_body;            /* of a reply; 1 MiB when 0 */
};
/* 0; -EINVAL url.bad; -EPERM url.insecure; -errno of the CA file (tls.ca), the client
 * certificate (tls.cert) or its key (file.*), or tls.config when they are no pair. Proxy variables of the environment are honoured for http and https
 * (CONNECT) unless the host is in no_proxy. insecure_skip_verify wins over ca_file; a certificate without key_file brings its key along. */
int outbound_new(const struct outbound_conf *conf, struct outbound **ret, struct err *err);
void outbound_free(struct outbound *o);
DEFINE_AUTO(struct outbound *, outbound_free)
/* What came back: @status 0 and @err when nothing did ("net.refused", "net.unreachable", "net.timeout", "net.tls", "net.dns", "net.closed",
 * "net.proxy", or of the answer "http.bad_reply", "http.too_large"). Body and headers (names lower-cased) are lent. */
struct outbound_reply {
    int status;
    const struct err *err;
    struct str body;
    const struct kv_list *headers;
    usec_t retry_after;         /* of a 429 or 503 that says so; 0: not said */
};
typedef void (*outbound_fn)(void *ctx, const struct outbound_reply *r);
struct outbound_req {
    const char *method, *path;  /* path behind the base URL's prefix, with query */
    const struct kv *headers;   /* secrets in here are never logged */
    size_t n_headers;
    struct str body;            /* copied */
    usec_t timeout;             /* 0: the conf's total_timeout */
    outbound_fn done;
    void *ctx;
};
/* Queues it (one at a time, in order; its timeout begins when its turn comes). Returns its number. @done comes later, never from inside;
 * @o may be freed in it. A header with a control character in it is left out. */
uint64_t outbound_send(struct outbound *o, const struct outbound_req *rq);
void outbound_cancel(struct outbound *o, uint64_t number);
/* "scheme://host:port" of the base URL, for comparing origins. */
const char *outbound_origin(const struct outbound *o);
/* Sends and runs the loop until the answer or a stop signal: one-shot programs. @ret_body is appended to. Status, or -errno and @err
 * (-EINTR "net.interrupted": somebody stopped the loop). */
int outbound_call(struct outbound *o, const struct outbound_req *rq, struct buf *ret_body, usec_t *ret_retry_after, struct err *err);

/* A file with a secret: made 0600 from the start (O_EXCL temporary, fsync, rename, fsync of the directory). 0 or -errno and @err. */
int secret_file_write(const char *path, struct str text, struct err *err);
/* Room on the disk for what is about to become a file with a secret: taken before a server is asked for one it says only once. */
struct secret_room {
    int fd;
    char *path, *tmp;
    size_t bytes;
};
/* Writes @bytes beside @path. 0; or -errno and @err, as secret_file_write(), and there is nothing to release. -EBUSY ("file.busy"): another
 * process has taken it and is not done. */
int secret_room_take(const char *path, size_t bytes, struct secret_room *ret, struct err *err);
/* As secret_file_write(), into the room, which is used up. -ENOBUFS: it is too small. */
int secret_room_fill(struct secret_room *room, struct str text, struct err *err);
/* Gives back what was not used; all zero is none. */
void secret_room_done(struct secret_room *room);
DEFINE_AUTO_VALUE(struct secret_room, secret_room_done)
/* Reads it; refused when group or others may read or it is not ours ("file.mode", "file.owner"). 0 or -errno. Text trimmed. */
int secret_file_read(const char *path, size_t max, struct buf *out, struct err *err);

#endif
