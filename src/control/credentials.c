/* control/credentials.c - foreign secrets: found by the SHA-256 of their text, never kept. Loop thread.
 *
 * A revoked one stays as a tombstone, so that its holder hears "revoked" and not "unknown". When the book is full the oldest
 * dead one makes room; the living are never dropped. */
#include "base/rand.h"
#include "base/text.h"

#include "control/accent.h"
#include "control/noun.h"

enum { CREDENTIALS_MAX = 200000 };

struct secret {
    struct credential c; /* its texts are owned here */
    uint8_t hash[SHA256_LEN];
    char hash_text[SHA256_HEX_MAX];
    usec_t used_mono; /* last_used was written then */
    UT_hash_handle hh, hh_id;
};
struct secret_book {
    struct secret *by_hash, *by_id; /* by_id is in id order */
};

static struct secret_book *book(const struct control *c)
{
    return c->noun[NOUN_CREDENTIALS];
}

static struct secret *by_id(const struct control *c, uint64_t id)
{
    struct secret *s = NULL;
    HASH_FIND(hh_id, book(c)->by_id, &id, sizeof(id), s);
    return s;
}

static void put(struct control *c, const struct secret *s)
{
    store_put_object(c->store, OBJECT_CREDENTIAL, s->c.id, s->c.host_id, &credential_record, &s->c);
}

static void own(struct str *text)
{
    *text = text->len ? (struct str){ str_dup(*text), text->len } : STR_NONE;
}

static void set_text(struct str *text, struct str value)
{
    free((char *)(uintptr_t)text->ptr);
    *text = value;
    own(text);
}

static struct secret *file(struct control *c, const struct credential *row, const uint8_t hash[SHA256_LEN])
{
    struct secret *s = xnew0(struct secret);
    s->c = *row;
    memcpy(s->hash, hash, SHA256_LEN);
    hex_encode(hash, SHA256_LEN, s->hash_text);
    s->c.hash = str_of(s->hash_text);
    own(&s->c.hint);
    own(&s->c.name);
    own(&s->c.scope);
    own(&s->c.bound_hostname);
    own(&s->c.created_by);
    own(&s->c.last_peer);
    HASH_ADD(hh, book(c)->by_hash, hash, SHA256_LEN, s);
    HASH_ADD(hh_id, book(c)->by_id, c.id, sizeof(s->c.id), s);
    return s;
}

static void drop(struct control *c, struct secret *s)
{
    struct str *texts[] = { &s->c.hint,           &s->c.name,       &s->c.scope,
                            &s->c.bound_hostname, &s->c.created_by, &s->c.last_peer };
    HASH_DEL(book(c)->by_hash, s);
    HASH_DELETE(hh_id, book(c)->by_id, s);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free((char *)(uintptr_t)texts[i]->ptr);
    free(s);
}

static bool is_expired(const struct control *c, const struct secret *s)
{
    return s->c.expires_at && s->c.expires_at <= control__wall(c);
}

/* -- making */
static bool make_room(struct control *c)
{
    struct secret *s, *next;
    if (HASH_CNT(hh_id, book(c)->by_id) < CREDENTIALS_MAX)
        return true;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if (s->c.revoked_at || is_expired(c, s)) {
        credential_forget(c, s->c.id);
        return true;
    }
    return false;
}

const struct credential *credential_make(struct control *c, const struct credential_wish *w, char ret_text[SECRET_TEXT_MAX])
{
    uint8_t random[32], hash[SHA256_LEN];
    char hint[SECRET_HINT_MAX];
    if (!make_room(c))
        return NULL;
    rand_bytes(random, sizeof(random));
    secret_make(w->kind, random, ret_text);
    secret_wipe(random, sizeof(random));
    secret_hash(str_of(ret_text), hash);
    secret_hint(w->kind, str_of(ret_text), hint);
    arena_reset(c->scratch);
    const struct credential row = {
        .id = object__next(c, OBJECT_CREDENTIAL),
        .kind = (uint32_t)w->kind,
        .hint = str_of(hint),
        .name = text__clean(c->scratch, w->name, LIMIT_NAME),
        .scope = text__clean(c->scratch, w->scope, 32),
        .host_id = w->host_id,
        .user_id = w->user_id,
        .parent_id = w->parent_id,
        .bind_hostname = w->bind_hostname,
        .created_by = text__clean(c->scratch, w->created_by, 192),
        .created_at = control__wall(c),
        .expires_at = w->expires_at,
    };
    struct secret *s = file(c, &row, hash);
    put(c, s);
    return &s->c;
}

/* -- checking */
static void take_use(struct control *c, struct secret *s, const char *peer)
{
    usec_t now = control__mono(c);
    s->c.last_used = control__wall(c);
    if (now - s->used_mono < USEC_PER_MIN)
        return;
    s->used_mono = now;
    if (peer && !str_is(s->c.last_peer, peer))
        set_text(&s->c.last_peer, str_sub(str_of(peer), 0, 64));
    put(c, s);
}

int credential_check(struct control *c, enum secret_kind k, struct str text, const char *peer, const struct credential **ret,
                     struct err *err)
{
    uint8_t hash[SHA256_LEN];
    struct secret *s = NULL;
    *ret = NULL;
    if (secret_has_shape(k, text)) {
        secret_hash(text, hash);
        HASH_FIND(hh, book(c)->by_hash, hash, SHA256_LEN, s);
    }
    if (!s || s->c.kind != (uint32_t)k)
        return err_set(err, -EACCES, "auth.bad_credential", "this key is not known here");
    *ret = &s->c;
    if (s->c.revoked_at)
        return err_set(err, -EACCES, "auth.revoked", "this key was revoked");
    if (is_expired(c, s))
        return err_set(err, -EACCES, "auth.expired", "this key has expired");
    take_use(c, s, peer);
    return 0;
}

int credential_refused(struct control *c, const char *who, const char *peer, const struct err *err)
{
    struct details d = { 0 };
    c->stats.logins_failed++;
    refusal__row(c, REFUSED_CALLER, who, peer, "auth.key", STR_NONE, "denied", err->slug, details_str(&d, "why", str_of(err->text)));
    return err->code;
}

bool credential__still_holds(const struct control *c, uint64_t id)
{
    const struct secret *s = by_id(c, id);
    return s && !s->c.revoked_at && !is_expired(c, s);
}

void principal_of_credential(const struct credential *cr, const char *name, struct principal *ret)
{
    int role = str_is(cr->scope, "readonly") ? ROLE_VIEWER : name_value(role_level_names, cr->scope);
    *ret = (struct principal){
        .kind = PRINCIPAL_KEY,
        .role = role > ROLE_NONE ? (enum role_level)role : ROLE_NONE,
        .user_id = cr->user_id,
        .token_id = cr->id,
        .host_id = cr->host_id,
    };
    snprintf(ret->name, sizeof(ret->name), "%s", name);
}

/* -- keeping */
const struct credential *credential_by_id(struct control *c, uint64_t id)
{
    const struct secret *s = by_id(c, id);
    return s ? &s->c : NULL;
}

void credential_list(struct control *c, enum secret_kind k, bool (*fn)(void *ctx, const struct credential *cr), void *ctx)
{
    struct secret *s, *next;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if ((!k || s->c.kind == (uint32_t)k) && !fn(ctx, &s->c))
        return;
}

static void revoke(struct control *c, struct secret *s)
{
    if (s->c.revoked_at)
        return;
    s->c.revoked_at = control__wall(c);
    put(c, s);
}

void credential_revoke(struct control *c, uint64_t id, bool and_children)
{
    struct secret *s = by_id(c, id), *next;
    if (s)
        revoke(c, s);
    if (!s || !and_children)
        return;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if (s->c.parent_id == id)
        revoke(c, s);
}

void credential_forget(struct control *c, uint64_t id)
{
    struct secret *s = by_id(c, id);
    if (!s)
        return;
    store_del_object(c->store, OBJECT_CREDENTIAL, id);
    drop(c, s);
}

void credential_bind(struct control *c, uint64_t id, struct str hostname)
{
    struct secret *s = by_id(c, id);
    if (!s || str_eq(s->c.bound_hostname, hostname))
        return;
    arena_reset(c->scratch);
    set_text(&s->c.bound_hostname, text__clean(c->scratch, hostname, LIMIT_HOSTNAME));
    put(c, s);
}

void credential_set_expiry(struct control *c, uint64_t id, usec_t expires_at)
{
    struct secret *s = by_id(c, id);
    if (!s || s->c.expires_at == expires_at)
        return;
    s->c.expires_at = expires_at;
    put(c, s);
}

/* -- the noun */
static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    struct credential row = *(const struct credential *)obj;
    uint8_t hash[SHA256_LEN];
    struct secret *s = NULL;
    bool is_hash = hex_decode(row.hash, hash, sizeof(hash)) == 0;
    (void)parent;
    row.id = id;
    if (is_hash)
        HASH_FIND(hh, book(c)->by_hash, hash, SHA256_LEN, s);
    if (!is_hash || s || row.kind == 0 || row.kind >= SECRET_KINDS) {
        log_error("credential.unreadable", "a stored credential makes no sense: left out", LOG_U64("id", id));
        return;
    }
    file(c, &row, hash);
}

static int load(struct control *c, struct err *err)
{
    c->noun[NOUN_CREDENTIALS] = xnew0(struct secret_book);
    return store_load_objects(c->store, OBJECT_CREDENTIAL, &credential_record, load_one, c, err);
}

static void free_all(struct control *c)
{
    if (!book(c))
        return;
    while (book(c)->by_id)
        drop(c, book(c)->by_id);
    free(book(c));
    c->noun[NOUN_CREDENTIALS] = NULL;
}

static void host_gone(struct control *c, uint64_t host_id)
{
    struct secret *s, *next;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if (s->c.host_id == host_id)
        credential_forget(c, s->c.id);
}

/* A revoked host never comes back as itself; a rejected one may. */
static void host_decided(struct control *c, uint64_t host_id)
{
    const struct host *h = host__by_id(c, host_id);
    struct secret *s, *next;
    if (!h || h->state != HOST_REVOKED)
        return;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if (s->c.host_id == host_id)
        revoke(c, s);
}

static void host_linked(struct control *c, uint64_t host_id, uint64_t other_id)
{
    struct secret *s, *next;
    HASH_ITER(hh_id, book(c)->by_id, s, next)
    if (s->c.host_id == other_id) {
        s->c.host_id = host_id;
        put(c, s);
    }
}

const struct noun noun_credentials = {
    .name = "credentials",
    .load = load,
    .free = free_all,
    .host_gone = host_gone,
    .host_decided = host_decided,
    .host_linked = host_linked,
};
