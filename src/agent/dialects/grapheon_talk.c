/* agent/dialects/grapheon_talk.c - POST JSON, read JSON; again when the network or a busy server is to blame. */
#include <errno.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/personality.h"
#include "base/rand.h"

enum { ANSWER_MAX = 8 << 20, SHOWN = 300 };
#define RETRY_AFTER_MAX (60 * USEC_PER_SEC) /* a longer wait is the next run's business */

int talk__init(struct talk *t, const struct grapheon_options *o, struct arena *a, struct err *err)
{
    usec_t timeout = (usec_t)o->request_timeout_s * USEC_PER_SEC;
    struct outbound_conf conf = {
        .base_url = o->server_url,
        .ca_file = o->ca_file,
        .cert_file = o->client_cert,
        .key_file = o->client_key,
        .insecure_skip_verify = o->insecure_skip_verify,
        .allow_http = o->allow_http,
        .connect_timeout = timeout,
        .total_timeout = 2 * timeout,
        .max_body = ANSWER_MAX,
    };

    *t = (struct talk){ .arena = a,
                        .retries = (unsigned)o->retries,
                        .key_header = o->api_key_header ? o->api_key_header : "X-Agent-Api-Key" };
    t->loop = conf.loop = loop_new();
    int r = outbound_new(&conf, &t->out, err);

    if (r == -EPERM && strcmp(err->slug, "url.insecure") == 0) {
        struct err why = *err;

        (void)err_set(err, r, why.slug, "%s with --allow-http (GRAPHEON_AGENT_ALLOW_HTTP=true)", why.text);
    }
    if (r == 0 && o->client_cert && strncmp(outbound_origin(t->out), "https:", 6) != 0)
        grapheon__say(SAY_WARNING, "The client certificate is not shown to %s: only https:// has them", outbound_origin(t->out));
    return r;
}

void talk__done(struct talk *t)
{
    outbound_free(t->out);
    if (t->loop)
        loop_free(t->loop);
    *t = (struct talk){ 0 };
}

/* What the server says of itself, for the log. */
static struct str detail_of(const struct node *json, struct str body)
{
    const struct node *d = json && json->type == NODE_MAP ? node_get(json, "detail") : NULL;

    if (!d && json && json->type == NODE_MAP)
        d = node_get(json, "error");
    return str_sub(d && d->type == NODE_STR ? d->s : body, 0, SHOWN);
}

static bool never_arrived(const struct err *err)
{
    return strcmp(err->slug, "net.refused") == 0 || strcmp(err->slug, "net.dns") == 0 ||
           strcmp(err->slug, "net.unreachable") == 0 || strcmp(err->slug, "net.tls") == 0 || strcmp(err->slug, "net.proxy") == 0;
}

static void attempt(struct talk *t, const struct outbound_req *rq, struct answer *ret, usec_t *ret_after)
{
    AUTO(buf_done) struct buf body = BUF(ANSWER_MAX);
    struct err bad = { 0 };
    struct node *json = NULL;
    int r = outbound_call(t->out, rq, &body, ret_after, &ret->err);

    ret->status = r > 0 ? r : 0;
    ret->json = NULL;
    ret->is_network = r < 0;
    if (r < 0)
        return;
    ret->body = arena_str(t->arena, buf_as_str(&body));
    if (json_parse(t->arena, ret->body, ANSWER_MAX, &json, &bad) == 0)
        ret->json = json;
    if (r >= 300) {
        (void)err_set(&ret->err, -EACCES, "grapheon.refused", "%s failed: HTTP %d: %.*s", rq->path, r,
                      STR_FMT(detail_of(json, ret->body)));
    } else if (!json) {
        ret->is_network = true;
        (void)err_set(&ret->err, -EBADMSG, "grapheon.answer", "%s: the answer is not JSON: %s", rq->path, bad.text);
    } else if (json->type != NODE_MAP) {
        ret->is_network = true;
        (void)err_set(&ret->err, -EBADMSG, "grapheon.answer", "%s: the answer is not a JSON object", rq->path);
    } else {
        err_reset(&ret->err);
    }
}

static void pause_for(usec_t t)
{
    struct timespec ts = { (time_t)(t / USEC_PER_SEC), (long)(t % USEC_PER_SEC * 1000) };

    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

bool talk__post(struct talk *t, const char *path, struct str body, bool gzipped, const char *key, struct answer *ret)
{
    struct kv headers[4] = { { STR("Accept"), STR("application/json") }, { STR("Content-Type"), STR("application/json") } };
    struct outbound_req rq = { .method = "POST", .path = path, .headers = headers, .n_headers = 2, .body = body };

    if (gzipped)
        headers[rq.n_headers++] = (struct kv){ STR("Content-Encoding"), STR("gzip") };
    if (key)
        headers[rq.n_headers++] = (struct kv){ str_of(t->key_header), str_of(key) };
    *ret = (struct answer){ 0 };
    for (unsigned n = 1;; n++) {
        usec_t after = 0, wait;

        attempt(t, &rq, ret, &after);
        if (!err_is(&ret->err))
            return true;
        if (n > t->retries || !grapheon__is_retryable(ret->status) || after > RETRY_AFTER_MAX)
            return false;
        if ((ret->status == 0 && !never_arrived(&ret->err)) || ret->status >= 502)
            ret->maybe_delivered = true;
        wait = grapheon__backoff(n, after, rand_u64());
        grapheon__say(SAY_WARNING, "%s; trying again in %.1f s", ret->err.text, (double)wait / 1e6);
        pause_for(wait);
    }
}
