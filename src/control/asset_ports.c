/* control/asset_ports.c - free ports of a machine: whom to ask and how. Loop thread. */
#include "control/assets_priv.h"

/* A host an operator shut out is not dialled either. */
static int check_host(struct control *c, struct asset_entry *e, struct host **ret, struct err *err)
{
    struct host *h = host__by_id(c, asset__host(c, e));

    *ret = h;
    if (h && h->state == HOST_REVOKED)
        return err_set(err, -EACCES, "host.revoked", "%s was revoked", h->name);
    if (h && h->state == HOST_REJECTED)
        return err_set(err, -EACCES, "host.rejected", "%s was rejected", h->name);
    return 0;
}

static int check_wish(const struct asset_entry *e, const struct ports_wish *w, struct err *err)
{
    uint32_t max = e->state->ports_max ? e->state->ports_max : ASSET_PORTS_MAX;

    if (w->count < 1 || w->count > max)
        return err_set(err, -EINVAL, "field.range", "count: must be between 1 and %u", max);
    return ports__check_lease(w, err);
}

int asset_ports(struct control *c, const struct principal *p, struct str uuid, const struct ports_wish *w,
                const struct asset_dial_rules *rules, ports_fn done, void *ctx, struct asset_dial *ret_dial, struct err *err)
{
    struct asset_entry *e;
    struct host *h = NULL;
    int r = authz(c, p, VERB_PORTS, uuid, err);

    if (r < 0)
        return r;
    e = asset__by_uuid(c, uuid);
    if (!e || e->asset->status == ASSET_DELETED)
        r = err_set(err, -ENOENT, "asset.unknown", "Not found: no VPS %.*s", STR_FMT(str_sub(uuid, 0, 64)));
    if (r == 0)
        r = check_host(c, e, &h, err);
    if (r == 0)
        r = check_wish(e, w, err);
    if (r == 0 && h && ports_reachable(c, h->id)) {
        ports_ask(c, p, str_of(h->uuid), w, done, ctx);
        return ASSET_PORTS_ASK;
    }
    if (r == 0)
        r = asset_dial(e->asset, e->state, rules, ret_dial, err);
    if (r < 0)
        return audit__refused(c, p, VERB_PORTS, uuid, r, err);
    return ASSET_PORTS_DIAL;
}

void asset_ports_told(struct control *c, const struct principal *p, struct str uuid, const struct ports_wish *w,
                      const struct ports_answer *a, const struct err *err)
{
    char text[256] = "";
    size_t n = 0;
    struct details d = { 0 };

    if (err) {
        (void)audit__refused(c, p, VERB_PORTS, uuid, err->code, err);
        return;
    }
    for (uint32_t i = 0; i < a->n && n < sizeof(text) - 8; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u", i ? " " : "", a->ports[i]);
    details_str(details_u64(&d, "count", w->count), "owner", w->owner);
    details_str(details_str(&d, "ports", str_of(text)), "lease", a->lease);
    audit__ok(c, p, VERB_PORTS, uuid, details_str(&d, "by", STR("dialling")));
}
