/* control/sessions.c - people who logged in through an accent: the key their tokens are signed with, and since when a
 * token is good. Loop thread.
 *
 * The token is the api's and is kept nowhere. A new password ends the sessions made before it: the time of the change is
 * an object by the user's id, which is all that is stored of sessions. */
#include "base/rand.h"
#include "base/text.h"

#include "control/accent.h"
#include "control/noun.h"

enum { SESSION_KEY_LEN = 32 };

struct password_age {
    uint64_t user_id;
    usec_t changed_at;
    UT_hash_handle hh; /* not in the record */
};
static const struct field password_age_fields[] = {
    F_U64(struct password_age, user_id, "user_id"),
    F_U64(struct password_age, changed_at, "changed_at_us"),
};
static const struct record password_age_record = RECORD(password_age, password_age_fields);

struct session_book {
    struct password_age *ages;
    bool has_key;
    uint8_t key[SESSION_KEY_LEN];
};

static struct session_book *book(const struct control *c)
{
    return c->noun[NOUN_SESSIONS];
}

const uint8_t *session_key(struct control *c)
{
    struct session_book *b = book(c);
    char text[2 * SESSION_KEY_LEN + 1];
    if (b->has_key)
        return b->key;
    rand_bytes(b->key, sizeof(b->key));
    hex_encode(b->key, sizeof(b->key), text);
    store_put_meta(c->store, "session_key", str_of(text));
    secret_wipe(text, sizeof(text));
    b->has_key = true;
    return b->key;
}

static struct password_age *age_of(const struct control *c, uint64_t user_id)
{
    struct password_age *a = NULL;
    HASH_FIND(hh, book(c)->ages, &user_id, sizeof(user_id), a);
    return a;
}

static struct password_age *age_add(struct control *c, uint64_t user_id)
{
    struct password_age *a = xnew0(struct password_age);
    a->user_id = user_id;
    HASH_ADD(hh, book(c)->ages, user_id, sizeof(a->user_id), a);
    return a;
}

void session__password_changed(struct control *c, uint64_t user_id)
{
    struct password_age *a = age_of(c, user_id);
    if (!a)
        a = age_add(c, user_id);
    a->changed_at = control__wall(c);
    store_put_object(c->store, OBJECT_PASSWORD, user_id, 0, &password_age_record, a);
}

static bool is_older(const struct password_age *a, usec_t issued_at)
{
    if (!a)
        return false;
    bool has_seconds_only = issued_at % USEC_PER_SEC == 0;
    return issued_at < (has_seconds_only ? a->changed_at / USEC_PER_SEC * USEC_PER_SEC : a->changed_at);
}

static int refuse(struct control *c, const struct peer_info *peer, const char *who, const char *slug, const char *text, struct err *err)
{
    err_set(err, -EACCES, slug, "%s", text);
    struct details d = { 0 };
    c->stats.logins_failed++;
    if (admission_take(c->admission, 'f', str_of(peer->addr), &c->conf.admission.auth_failure, control__mono(c), NULL))
        audit__row(c, who, peer->addr, "auth.session", STR_NONE, "denied", slug, details_str(&d, "why", str_of(text)));
    return -EACCES;
}

int authn_session(struct control *c, uint64_t user_id, usec_t issued_at, const struct peer_info *peer, struct principal *ret, struct err *err)
{
    const struct user *u = user__by_id(c, user_id);
    *ret = (struct principal){ 0 };
    if (!u)
        return refuse(c, peer, "", "auth.bad_credential", "the user of this session is not known here", err);
    if (u->is_disabled)
        return refuse(c, peer, u->name, "auth.disabled", "this user is disabled", err);
    if (is_older(age_of(c, user_id), issued_at))
        return refuse(c, peer, u->name, "auth.bad_credential", "the password was changed since: log in again", err);
    *ret = (struct principal){ .kind = PRINCIPAL_SESSION, .role = u->role, .user_id = u->id };
    snprintf(ret->name, sizeof(ret->name), "%s", u->name);
    return 0;
}

/* -- the noun */
static void load_age(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    age_add(ctx, id)->changed_at = ((const struct password_age *)obj)->changed_at;
}

static int load(struct control *c, struct err *err)
{
    struct session_book *b = c->noun[NOUN_SESSIONS] = xnew0(struct session_book);
    AUTO(buf_done_secret) struct buf text = BUF(4 * SESSION_KEY_LEN);
    int r = store_load_meta(c->store, "session_key", &text, err);
    if (r < 0)
        return r;
    if (r == 1 && hex_decode(buf_as_str(&text), b->key, sizeof(b->key)) < 0)
        return err_set(err, -EBADMSG, "store.corrupt", "the key of sessions in the database cannot be read: restore a backup");
    b->has_key = r == 1;
    return store_load_objects(c->store, OBJECT_PASSWORD, &password_age_record, load_age, c, err);
}

static void free_all(struct control *c)
{
    struct session_book *b = book(c);
    struct password_age *a, *next;
    if (!b)
        return;
    HASH_ITER(hh, b->ages, a, next)
    {
        HASH_DEL(b->ages, a);
        free(a);
    }
    secret_wipe(b, sizeof(*b));
    free(b);
    c->noun[NOUN_SESSIONS] = NULL;
}

const struct noun noun_sessions = { .name = "sessions", .load = load, .free = free_all };
