/* cli/api.h - calls to the server's REST surface (docs/wire/native.md): one request to its end, paged lists,
 * and event streams that come back after a break. Loop thread; the plain calls run the loop until the answer
 * is there. */
#ifndef MUSTER_CLI_API_H
#define MUSTER_CLI_API_H

#include "base/arena.h"
#include "cli/cmd.h"
#include "codec/json.h"

enum {
    REPLY_MAX = 64 << 20, /* bytes of one answer */
    ARENA_MAX = 1 << 30,  /* a list of a large fleet, as a tree */
};

struct reply {
    int status;
    struct buf body;
};
void reply_done(struct reply *r);
DEFINE_AUTO_VALUE(struct reply, reply_done)

/* Decides the server (once) and opens what is needed to talk to it. RC_OK, or an exit code with cli->err. */
int api_connect(struct cli *cli);
/* The second half of it, when cli->target has been filled by hand (login). */
int api_open(struct cli *cli);
/* A client of its own for the same server; free with http_client_free(). @reply_timeout 0: the usual. */
struct http_client *api_client(struct cli *cli, usec_t reply_timeout);

/* One call; @body may be empty. RC_OK with @ret (status 2xx), or an exit code with cli->err written: from the
 * server's error body, or from the failed transport. */
int api_call(struct cli *cli, const char *method, const char *target, struct str body, struct reply *ret);
/* As api_call, the answer as a tree in @a (@ret_root may be NULL). */
int api_json(struct cli *cli, struct arena *a, const char *method, const char *target, struct str body,
             const struct node **ret_root);
/* GETs all pages of a list. @target may have a query; @key is the member that holds the array; @limit 0:
 * everything, else about that many. The items are in @a. With @raw (may be NULL) the answer's own text: of
 * the only page as the server sent it, of several pages joined under @key. */
struct node_list {
    const struct node **v;
    size_t n, cap;
};
int api_list(struct cli *cli, struct arena *a, const char *target, const char *key, size_t limit,
             struct node_list *ret, struct buf *raw);
void node_list_done(struct node_list *l);
DEFINE_AUTO_VALUE(struct node_list, node_list_done)

/* Reads an error answer: fills @err with slug, sentence and, of a denial, who lacks which role (made safe for a terminal)
 * and returns the exit code for @status. Pure. */
int api_error(int status, struct str body, struct err *err);
/* Exit code for a transport error. Pure. */
int api_transport_rc(const struct err *err);
/* Headers every request carries; lent until the next call. */
size_t api_headers(struct cli *cli, const struct kv **ret);

/* Path pieces: appends "/api/v1", then each word percent-encoded after a '/', until NULL. */
void api_path(struct buf *out, ...) __attribute__((sentinel));
/* Appends '?' or '&', key '=' value, the value percent-encoded; nothing for an empty value. */
void api_query(struct buf *target, const char *key, struct str value);

/* Members of a tree, forgiving: "" and 0 when absent or of another type (a number may travel as text). Lent.
 */
struct str node_text(const struct node *map, const char *key);
uint64_t node_u64(const struct node *map, const char *key);
bool node_true(const struct node *map, const char *key);

/* -- event streams */
struct stream_request {
    const char *method; /* default GET */
    struct buf target;
    struct str body;     /* lent by the owner until the next prepare */
    struct str idem_key; /* Idempotency-Key, or empty; lent likewise */
};
struct stream_ops {
    /* Before each connection: what to ask for. @again: it is not the first one. */
    void (*prepare)(void *ctx, struct stream_request *rq, bool again);
    void (*event)(void *ctx, const char *event, const char *id, struct str data);
    /* The stream is over and will not come back: @rc RC_OK when stream_stop() was called, else cli->err says
     * why. */
    void (*over)(void *ctx, int rc);
    void (*broken)(void *ctx); /* lost the connection, coming back; may be NULL */
    void *ctx;
};
struct stream;
/* Connects in the next turn. After a break it comes back with 0.5 s to 5 s between tries, for up to @patience
 * (counted from the break); a server that never answered is not waited for. */
struct stream *stream_open(struct cli *cli, const struct stream_ops *ops, usec_t patience);
/* No more events, no over(). */
void stream_free(struct stream *s);
DEFINE_AUTO(struct stream *, stream_free)
/* Ends it: over(RC_OK) in the next turn. */
void stream_stop(struct stream *s);
/* Drops this connection and comes back at once, to be shown stored output again. */
void stream_again(struct stream *s);

#endif
