/* control/asset_keys.c - keys of the accent that lists machines: who may have one, who made it. Loop thread. */
#include "control/assets_priv.h"

static const char *const scopes[] = { "admin", "operator", "agent", "readonly" };

const struct credential *asset_key_create(struct control *c, const struct principal *p, struct str name, struct str scope,
                                          bool bind_hostname, char ret_text[SECRET_TEXT_MAX], struct err *err)
{
    const struct credential *cr;
    struct details d = { 0 };
    bool is_known = false;

    if (authz(c, p, VERB_FOREIGN_KEY, name, err) < 0)
        return NULL;
    if (control_refuses_writes(c, err))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(scopes); i++)
        is_known |= str_is(scope, scopes[i]);
    if (!is_known)
        err_set(err, -EINVAL, "field.enum", "role: must be admin, operator, agent or readonly");
    else if (str_trim(name).len == 0)
        err_set(err, -EINVAL, "field.required", "name: must be there and not blank");
    else if (bind_hostname && !str_is(scope, "agent"))
        err_set(err, -EINVAL, "field.invalid", "bind_hostname: only keys of the role agent are bound to a host name");
    if (err_is(err)) {
        (void)audit__refused(c, p, VERB_FOREIGN_KEY, name, err->code, err);
        return NULL;
    }
    const struct credential_wish w = { .kind = SECRET_SIGMA_KEY,
                                       .name = name,
                                       .scope = scope,
                                       .bind_hostname = bind_hostname,
                                       .created_by = str_of(p->name) };
    cr = credential_make(c, &w, ret_text);
    if (!cr) {
        err_set(err, -EBUSY, "server.overloaded", "too many keys are alive: revoke some");
        (void)audit__refused(c, p, VERB_FOREIGN_KEY, name, -EBUSY, err);
        return NULL;
    }
    details_str(details_str(details_str(&d, "did", STR("key.create")), "name", cr->name), "role", cr->scope);
    audit__ok(c, p, VERB_FOREIGN_KEY, cr->hint, details_u64(&d, "id", cr->id));
    return cr;
}

const struct credential *asset_key_find(struct control *c, uint64_t id, struct err *err)
{
    const struct credential *cr = credential_by_id(c, id);

    if (cr && cr->kind == SECRET_SIGMA_KEY)
        return cr;
    err_set(err, -ENOENT, "foreign_key.unknown", "no such API key");
    return NULL;
}

int asset_key_delete(struct control *c, const struct principal *p, uint64_t id, struct err *err)
{
    const struct credential *cr;
    struct details d = { 0 };
    int r = authz(c, p, VERB_FOREIGN_KEY, STR("sigma key"), err);

    if (r == 0 && control_refuses_writes(c, err))
        r = -EAGAIN;
    if (r < 0)
        return r;
    cr = asset_key_find(c, id, err);
    if (!cr)
        return audit__refused(c, p, VERB_FOREIGN_KEY, STR("sigma key"), -ENOENT, err);
    details_str(details_str(details_str(&d, "did", STR("key.delete")), "name", cr->name), "role", cr->scope);
    audit__ok(c, p, VERB_FOREIGN_KEY, cr->hint, details_u64(&d, "id", id));
    credential_forget(c, id);
    return 0;
}
