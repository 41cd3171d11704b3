/* control/tokens.c - install tokens: who may enrol without waiting at the door. Loop thread. The code itself
 * is shown once; its SHA-256 is kept. */
#include "base/rand.h"

#include "control/core.h"

static void put(struct control *c, const struct token *t)
{
    struct token_row row = {
        .t = t->t,
        .labels = *t->labels,
        .created_by = str_of(t->created_by),
        .note = str_of(t->note),
        .created_at = t->created_at,
    };
    memcpy(row.code_hash, t->code_hash, SHA256_LEN);
    store_put_token(c->store, &row);
}

static void file(struct control *c, struct token *t)
{
    HASH_ADD(hh, c->tokens, code_hash, SHA256_LEN, t);
    HASH_ADD(hh_id, c->token_ids, t.id, sizeof(t->t.id), t);
}

struct token *token__by_code(struct control *c, struct str code)
{
    uint8_t hash[SHA256_LEN];
    struct token *t;
    sha256(code, hash);
    HASH_FIND(hh, c->tokens, hash, SHA256_LEN, t);
    return t;
}

static struct token *by_id(struct control *c, uint64_t id)
{
    struct token *t;
    HASH_FIND(hh_id, c->token_ids, &id, sizeof(id), t);
    return t;
}

/* A token decides in the stead of who made it, and no longer than he might himself. Who is no user (the local socket) always may. */
bool token__may_approve(const struct control *c, const struct token *t)
{
    const struct user *u = user__by_name(c, str_of(t->created_by));
    return t->t.auto_approve && (!u || (!u->is_disabled && policy_allows(u->role, VERB_HOST_APPROVE)));
}

void token__use(struct control *c, struct token *t)
{
    t->t.n_uses++;
    put(c, t);
}

static void load_one(void *ctx, const struct token_row *r)
{
    struct control *c = ctx;
    struct token *t = xnew0(struct token);
    arena_reset(c->scratch);
    t->t = r->t;
    memcpy(t->code_hash, r->code_hash, SHA256_LEN);
    t->labels = kv__pack(&r->labels, c->scratch);
    t->created_by = str_dup(r->created_by);
    t->note = str_dup(r->note);
    t->created_at = r->created_at;
    file(c, t);
}

int token__load(struct control *c, struct err *err)
{
    return store_load_tokens(c->store, load_one, c, err);
}

void token__free_all(struct control *c)
{
    struct token *t, *next;
    HASH_CLEAR(hh_id, c->token_ids);
    HASH_ITER(hh, c->tokens, t, next)
    {
        HASH_DEL(c->tokens, t);
        free(t->labels);
        free(t->created_by);
        free(t->note);
        free(t);
    }
}

static int check_wish(const struct token_wish *w, struct err *err)
{
    if (w->labels.n > LIMIT_LABELS)
        return err_set(err, -E2BIG, "label.bad", "a token has at most %d labels", LIMIT_LABELS);
    for (size_t i = 0; i < w->labels.n; i++) {
        int r = label_check(w->labels.v[i].key, w->labels.v[i].value, err);
        if (r < 0) {
            err_path(err, "labels");
            return r;
        }
    }
    if (w->note.len > 512)
        return err_set(err, -EINVAL, "field.too_long", "a note has at most 512 bytes");
    return 0;
}

int token_create(struct control *c, const struct principal *p, const struct token_wish *w, char ret_text[128],
                 uint64_t *ret_id, struct err *err)
{
    uint8_t random[13];
    char code[21];
    struct details d = { 0 };
    int r = authz(c, p, VERB_INSTALL_TOKEN, STR_NONE, err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    r = check_wish(w, err);
    if (r < 0)
        return audit__refused(c, p, VERB_INSTALL_TOKEN, STR_NONE, r, err);

    struct token *t = xnew0(struct token);
    rand_bytes(random, sizeof(random));
    install_code_make(random, code);
    sha256(str_of(code), t->code_hash);
    t->t = (struct install_token){
        .id = c->next.token++,
        .max_uses = w->uses,
        .expires_at = w->ttl ? control__wall(c) + w->ttl : 0,
        .auto_approve = w->auto_approve,
    };
    arena_reset(c->scratch);
    t->labels = kv__pack(&w->labels, c->scratch);
    t->note = str_dup(text__clean(c->scratch, w->note, 512));
    t->created_by = xstrdup(p->name);
    t->created_at = control__wall(c);
    file(c, t);
    put(c, t);

    details_u64(details_u64(&d, "token", t->t.id), "uses", w->uses);
    details_str(&d, "auto_approve", w->auto_approve ? STR("true") : STR("false"));
    audit__ok(c, p, VERB_INSTALL_TOKEN, STR("create"), &d);
    snprintf(ret_text, 128, "%s@%s", code, c->identity.pin_text);
    secret_wipe(code, sizeof(code));
    *ret_id = t->t.id;
    return 0;
}

int token_revoke(struct control *c, const struct principal *p, uint64_t id, struct err *err)
{
    struct details d = { 0 };
    int r = authz(c, p, VERB_INSTALL_TOKEN, STR("revoke"), err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    details_u64(&d, "token", id);
    struct token *t = by_id(c, id);
    if (!t) {
        err_set(err, -ENOENT, "install_token.unknown", "there is no install token %llu",
                (unsigned long long)id);
        audit_emit(c, p, NULL, VERB_INSTALL_TOKEN, STR("revoke"), "failed", "install_token.unknown", &d.list);
        return -ENOENT;
    }
    if (!t->t.is_revoked) {
        t->t.is_revoked = true;
        put(c, t);
    }
    audit__ok(c, p, VERB_INSTALL_TOKEN, STR("revoke"), &d);
    return 0;
}

static int by_id_order(struct token *a, struct token *b)
{
    return a->t.id < b->t.id ? -1 : a->t.id > b->t.id;
}

void token_list(struct control *c, void (*fn)(void *ctx, const struct token_view *t), void *ctx)
{
    HASH_SRT(hh_id, c->token_ids, by_id_order);
    for (struct token *t = c->token_ids; t; t = t->hh_id.next) {
        const struct token_view view = {
            .id = t->t.id,
            .t = t->t,
            .labels = t->labels,
            .created_by = str_of(t->created_by),
            .note = str_of(t->note),
            .created_at = t->created_at,
        };
        fn(ctx, &view);
    }
}
