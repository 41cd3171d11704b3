/* control/accent_link.c - two rows are one machine, an operator says: what belongs to one goes to the other (docs/internals/accents.md).
 * Loop thread. */
#include <stdio.h>

#include "control/accent.h"
#include "control/noun.h"

static int may_link(struct control *c, const struct principal *p, struct str host, struct str other, struct host **ret_h,
                    struct host **ret_o, struct err *err)
{
    int r = authz(c, p, VERB_HOST_LINK, host, err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    struct host *h = *ret_h = host__find(c, host, err), *o = NULL;
    if (h)
        o = *ret_o = host__find(c, other, err);
    if (!h || !o)
        r = -ENOENT;
    else if (h == o)
        r = err_set(err, -EINVAL, "host.linked", "%s cannot be linked to itself", h->name);
    else if (!o->accent || strcmp(o->dialect, "native") == 0)
        r = err_set(err, -EINVAL, "host.linked", "%s has a key of its own: link the other way round", o->name);
    else if (h->state != HOST_APPROVED)
        r = err_set(err, -EINVAL, "host.state", "%s is %s: only an approved host takes another in", h->name,
                    name_of(host_state_names, h->state));
    else if (o->state == HOST_REVOKED || o->state == HOST_REJECTED) /* linking would let it in again, unsaid */
        r = err_set(err, -EINVAL, "host.state", "%s is %s: what it was refused for would be forgotten (muster forget it, if that is meant)",
                    o->name, name_of(host_state_names, o->state));
    return r < 0 ? audit__refused(c, p, VERB_HOST_LINK, host, r, err) : 0;
}

int host_link(struct control *c, const struct principal *p, struct str host, struct str other, struct err *err)
{
    struct host *h = NULL, *o = NULL;
    struct details d = { 0 };
    int r = may_link(c, p, host, other, &h, &o, err);
    if (r < 0)
        return r;
    char name[LIMIT_NAME + 1], uuid[37], dialect[32];
    snprintf(name, sizeof(name), "%s", o->name);
    snprintf(dialect, sizeof(dialect), "%s", o->dialect);
    memcpy(uuid, o->uuid, sizeof(uuid));
    inventory__move(c, h, o, reporter__is_newer(c, h->id, o->id)); /* by the names each has now */
    accent__move(c, h, o);
    noun__host_linked(c, h->id, o->id);
    if (o->last_seen > h->last_seen) {
        h->last_seen = o->last_seen;
        h->seen_mono = o->seen_mono > h->seen_mono ? o->seen_mono : h->seen_mono;
        host__seen_dirty(c, h);
    }
    event__host(c, "host.forgotten", o, details_str(&d, "reason", STR("it was linked to another host")));
    host__remove(c, o, "host.unknown", "an operator linked this host to another");
    presence__judge(c, h);
    host__timer(c, h);

    d = (struct details){ 0 };
    details_str(details_str(&d, "other", str_of(uuid)), "name", str_of(name));
    audit__ok(c, p, VERB_HOST_LINK, str_of(h->uuid), details_str(&d, "dialect", str_of(dialect)));
    event__host(c, "host.linked", h, details_str(&d, "by", str_of(p->name)));
    return 0;
}
