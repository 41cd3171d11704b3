/* api/dialects/sigma_ports.c - free ports of a machine: control says how its agent is asked, this file asks and answers. */
#include <errno.h>

#include <utlist.h>

#include "api/dialects/sigma.h"
#include "api/state.h"
#include "base/limits.h"
#include "base/mem.h"

struct allocation {
    struct call *call; /* held */
    struct sigma_dialing *dialing;
    struct ports_wish wish;
    char uuid[37], owner[LIMIT_NAME + 1];
};

static void allocation_free(struct allocation *al)
{
    al->call->on_gone = NULL;
    call_unref(al->call);
    free(al);
}

static void reply_ports(struct call *c, const struct ports_answer *a)
{
    struct jw *w = call_json(c);
    char text[CLOCK_TEXT_MAX];

    jw_map(w);
    jw_key(w, "ports");
    jw_list(w);
    for (uint32_t i = 0; i < a->n; i++)
        jw_u64(w, a->ports[i]);
    jw_end_list(w);
    if (a->lease.len) {
        jw_key(w, "lease");
        jw_str(w, a->lease);
    }
    if (a->expires_at) {
        clock_format(a->expires_at, 0, text);
        jw_key(w, "expires_at");
        jw_cstr(w, text);
    }
    jw_end_map(w);
    reply_parked(c, 200);
}

/* What waited for the agent, or for a link, is a gateway's fault here; a count out of range is the caller's. */
static void reply_refusal(struct call *c, const struct err *in)
{
    static const struct {
        const char *slug, *as;
    } names[] = { { "ports.count", "field.range" },
                  { "host.offline", "agent.unreachable" },
                  { "host.timeout", "agent.unreachable" },
                  { NULL, NULL } };
    struct err err = *in;

    for (size_t i = 0; names[i].slug; i++)
        if (strcmp(err.slug, names[i].slug) == 0)
            (void)err_set(&err, in->code, names[i].as, "%s", in->text);
    reply_error_parked(c, &err);
}

/* -- by question */

static void on_answer(void *ctx, int result, const struct err *err, const struct ports_answer *a)
{
    AUTO(call_unref) struct call *c = ctx;
    struct err refusal = { 0 };

    if (call_is_gone(c) || !c->api->control)
        return;
    if (result < 0) {
        reply_refusal(c, err);
    } else if (a->error.slug.len) {
        char slug[ERR_SLUG_MAX];

        (void)str_copy(str_sub(a->error.slug, 0, sizeof(slug) - 1), slug, sizeof(slug));
        (void)err_set(&refusal, -EIO, slug, "%s%.*s", strcmp(slug, "ports.disabled") == 0 ? "port scan disabled: " : "",
                      STR_FMT(str_sub(a->error.text, 0, 256)));
        reply_refusal(c, &refusal);
    } else {
        reply_ports(c, a);
    }
}

/* -- by dialling */

static void on_dialled(void *ctx, const struct ports_answer *a, const struct err *err)
{
    struct allocation *al = ctx;
    struct call *c = al->call;

    al->dialing = NULL;
    if (!call_is_gone(c) && c->api->control) {
        asset_ports_told(c->api->control, &c->who, str_of(al->uuid), &al->wish, a, err);
        if (err)
            reply_refusal(c, err);
        else
            reply_ports(c, a);
    }
    allocation_free(al);
}

static void on_caller_gone(void *ctx)
{
    struct allocation *al = ctx;

    sigma_dial_cancel(al->dialing);
    allocation_free(al);
}

static void dial(struct call *c, struct str uuid, const struct ports_wish *w, const struct asset_dial *places)
{
    struct allocation *al;
    struct asset_view v;
    struct err err = { 0 };

    if (asset_find(c->control, uuid, &v, &err) < 0) { /* it was there a moment ago */
        reply_error_parked(c, &err);
        return;
    }
    al = xnew0(struct allocation);
    al->call = call_ref(c);
    al->wish = *w;
    (void)str_copy(w->owner, al->owner, sizeof(al->owner));
    al->wish.owner = str_of(al->owner);
    (void)str_copy(uuid, al->uuid, sizeof(al->uuid));
    c->on_gone = on_caller_gone;
    c->on_gone_ctx = al;
    al->dialing = sigma_dial(c->api, v.asset, places, &al->wish, on_dialled, al);
}

static void on_allocate(struct call *c)
{
    const struct ports_wish *w;
    const struct node *count;
    struct asset_dial_rules rules;
    struct asset_dial places;
    struct node *root;
    struct str uuid;
    struct err err = { 0 };
    int r;

    if (!sigma_uuid(c, &uuid) || !(w = sigma_body(c, &ports_wish_record, &root)))
        return;
    count = node_get(root, "count");
    if (!count || count->type != NODE_INT) { /* 2.0 is a number, but no count */
        (void)err_set(&err, -EINVAL, "field.type", "count: must be a whole number");
        reply_error(c, &err);
        return;
    }
    sigma_dial_rules(c->api, c->arena, &rules);
    call_ref(c);
    r = asset_ports(c->control, &c->who, uuid, w, &rules, on_answer, c, &places, &err);
    if (r == ASSET_PORTS_ASK)
        return; /* the reference is on_answer()'s */
    if (r < 0)
        reply_error_parked(c, &err);
    else
        dial(c, uuid, w, &places);
    call_unref(c);
}

/* -- `muster ports`: the same way, asked for by host */

struct pulled {
    struct api *a;
    struct sigma_dialing *dialing;
    uint64_t host_id, request_id;
    struct pulled *prev, *next;
};

static void on_pulled(void *ctx, const struct ports_answer *a, const struct err *err)
{
    struct pulled *p = ctx;
    struct ports_answer refusal = { 0 };

    if (err) {
        refusal.error.slug = str_of(err->slug);
        refusal.error.text = str_of(err->text);
    }
    DL_DELETE(p->a->sigma_pulls, p);
    if (p->a->control)
        (void)ports_answered(p->a->control, p->host_id, p->request_id, err ? &refusal : a);
    free(p);
}

static bool pull(void *ctx, uint64_t host_id, uint64_t request_id, const struct ports_wish *w)
{
    AUTO(arena_free) struct arena *scratch = arena_new(16 << 10);
    struct api *a = ctx;
    struct asset_dial_rules rules;
    struct asset_dial places;
    struct asset_view v;
    struct err err = { 0 };
    char uuid[129];
    struct pulled *p;

    if (ports_reachable(a->control, host_id) || !accent_name_of(a->control, host_id, "sigma", uuid) ||
        asset_find(a->control, str_of(uuid), &v, &err) < 0)
        return false;
    sigma_dial_rules(a, scratch, &rules);
    p = xnew0(struct pulled);
    *p = (struct pulled){ .a = a, .host_id = host_id, .request_id = request_id };
    DL_APPEND(a->sigma_pulls, p);
    if (asset_dial(v.asset, v.state, &rules, &places, &err) < 0)
        on_pulled(p, NULL, &err);
    else
        p->dialing = sigma_dial(a, v.asset, &places, w, on_pulled, p);
    return true;
}

void sigma_start(struct api *a)
{
    ports_puller(a->control, "sigma", pull, a);
}

void sigma_stop(struct api *a)
{
    struct pulled *p, *next;

    DL_FOREACH_SAFE(a->sigma_pulls, p, next)
    {
        DL_DELETE(a->sigma_pulls, p);
        sigma_dial_cancel(p->dialing);
        free(p);
    }
}

static const struct route rows[] = {
    { HTTP_POST, "/api/vps/{id}/allocate-ports", AUTH_OPERATOR, VERB_PORTS, .cap = SIGMA_BODY_MAX, .handler = on_allocate,
      .flags = ROUTE_RAW_BODY | ROUTE_MUTATES, .dialect = &dialect_sigma, .summary = "Free ports of a machine, from its agent." },
};
const struct route_table sigma_ports_table = { rows, ARRAY_SIZE(rows) };
