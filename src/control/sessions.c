/* control/sessions.c - people who logged in through an accent: the key their tokens are signed with, and which of them are still good. Loop
 * thread.
 *
 * The token is the api's and is kept nowhere. It carries its user's mark: a random number, drawn anew with each new password, another role
 * and whenever the user is disabled. So what was made before ends, whatever the clock says and however soon it was. The mark is an object
 * by the user's id. One that was logged out is remembered by its number until its time is over. That is all that is stored of sessions. */
#include "base/rand.h"
#include "base/text.h"

#include "control/accent.h"
#include "control/noun.h"

enum { SESSION_KEY_LEN = 32, SWEEP_EVERY_S = 60 };

struct session_mark {
    uint64_t user_id, mark; /* 0: none was drawn yet */
    UT_hash_handle hh;      /* not in the record */
};
static const struct field session_mark_fields[] = {
    F_U64(struct session_mark, user_id, "user_id"),
    F_U64(struct session_mark, mark, "mark"),
};
static const struct record session_mark_record = RECORD(session_mark, session_mark_fields);

struct session_ended {
    uint64_t number;
    usec_t expires_at;
    UT_hash_handle hh; /* not in the record */
};
static const struct field session_ended_fields[] = {
    F_U64(struct session_ended, number, "number"),
    F_TIME(struct session_ended, expires_at, "expires_at"),
};
static const struct record session_ended_record = RECORD(session_ended, session_ended_fields);

struct session_book {
    struct session_mark *marks;
    struct session_ended *ended;
    usec_t swept; /* mono */
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

static struct session_mark *mark_of(const struct control *c, uint64_t user_id)
{
    struct session_mark *m = NULL;
    HASH_FIND(hh, book(c)->marks, &user_id, sizeof(user_id), m);
    return m;
}

static struct session_mark *mark_add(struct control *c, uint64_t user_id)
{
    struct session_mark *m = xnew0(struct session_mark);
    m->user_id = user_id;
    HASH_ADD(hh, book(c)->marks, user_id, sizeof(m->user_id), m);
    return m;
}

uint64_t session__mark(const struct control *c, uint64_t user_id)
{
    const struct session_mark *m = mark_of(c, user_id);
    return m ? m->mark : 0;
}

void session__end_all(struct control *c, uint64_t user_id)
{
    struct session_mark *m = mark_of(c, user_id);
    if (!m)
        m = mark_add(c, user_id);
    rand_bytes(&m->mark, sizeof(m->mark));
    store_put_object(c->store, OBJECT_PASSWORD, user_id, 0, &session_mark_record, m);
}

/* -- one that was logged out */
static struct session_ended *ended_of(const struct control *c, uint64_t number)
{
    struct session_ended *e = NULL;
    HASH_FIND(hh, book(c)->ended, &number, sizeof(number), e);
    return e;
}

static struct session_ended *ended_add(struct control *c, uint64_t number)
{
    struct session_ended *e = xnew0(struct session_ended);
    e->number = number;
    HASH_ADD(hh, book(c)->ended, number, sizeof(e->number), e);
    return e;
}

/* Those whose tokens are too old by now anyway. */
static void sweep(struct control *c)
{
    struct session_book *b = book(c);
    struct session_ended *e, *next;
    usec_t now = control__wall(c);
    b->swept = control__mono(c);
    HASH_ITER(hh, b->ended, e, next)
    {
        if (e->expires_at > now)
            continue;
        store_del_object(c->store, OBJECT_SESSION_ENDED, e->number);
        HASH_DEL(b->ended, e);
        free(e);
    }
}

bool session_is_ended(const struct control *c, uint64_t number)
{
    return ended_of(c, number) != NULL;
}

void session_end(struct control *c, const struct principal *p, const char *peer, uint64_t number, usec_t expires_at)
{
    struct details d = { 0 };
    if (session_is_ended(c, number))
        return;
    if (HASH_COUNT(book(c)->ended) >= SESSIONS_ENDED_MAX)
        sweep(c);
    if (HASH_COUNT(book(c)->ended) >= SESSIONS_ENDED_MAX) {
        session__end_all(c, p->user_id);
    } else {
        struct session_ended *e = ended_add(c, number);
        e->expires_at = expires_at;
        store_put_object(c->store, OBJECT_SESSION_ENDED, number, 0, &session_ended_record, e);
    }
    audit__row(c, p->name, peer, "auth.logout", str_of(p->name), "ok", NULL, &d);
}

static int refuse(struct control *c, const struct peer_info *peer, const char *who, const char *slug, const char *text, struct err *err)
{
    err_set(err, -EACCES, slug, "%s", text);
    struct details d = { 0 };
    c->stats.logins_failed++;
    refusal__row(c, REFUSED_CALLER, who, peer->addr, "auth.session", STR_NONE, "denied", slug, details_str(&d, "why", str_of(text)));
    return -EACCES;
}

int authn_session(struct control *c, uint64_t user_id, uint64_t mark, const struct peer_info *peer, struct principal *ret, struct err *err)
{
    const struct user *u = user__by_id(c, user_id);
    *ret = (struct principal){ 0 };
    if (!u)
        return refuse(c, peer, "", "auth.bad_credential", "the user of this session is not known here", err);
    if (u->is_disabled)
        return refuse(c, peer, u->name, "auth.disabled", "this user is disabled", err);
    if (mark != session__mark(c, user_id))
        return refuse(c, peer, u->name, "auth.bad_credential", "this user's password or rights were changed since: log in again", err);
    *ret = (struct principal){ .kind = PRINCIPAL_SESSION, .role = u->role, .user_id = u->id, .session_mark = mark };
    snprintf(ret->name, sizeof(ret->name), "%s", u->name);
    return 0;
}

/* -- the noun */
static void load_mark(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    mark_add(ctx, id)->mark = ((const struct session_mark *)obj)->mark;
}

static void load_ended(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    ended_add(ctx, id)->expires_at = ((const struct session_ended *)obj)->expires_at;
}

static void tick(struct control *c, usec_t mono)
{
    if (mono - book(c)->swept >= SWEEP_EVERY_S * USEC_PER_SEC)
        sweep(c);
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
    r = store_load_objects(c->store, OBJECT_PASSWORD, &session_mark_record, load_mark, c, err);
    return r < 0 ? r : store_load_objects(c->store, OBJECT_SESSION_ENDED, &session_ended_record, load_ended, c, err);
}

static void free_all(struct control *c)
{
    struct session_book *b = book(c);
    struct session_mark *m, *next;
    struct session_ended *e, *e_next;
    if (!b)
        return;
    HASH_ITER(hh, b->ended, e, e_next)
    {
        HASH_DEL(b->ended, e);
        free(e);
    }
    HASH_ITER(hh, b->marks, m, next)
    {
        HASH_DEL(b->marks, m);
        free(m);
    }
    secret_wipe(b, sizeof(*b));
    free(b);
    c->noun[NOUN_SESSIONS] = NULL;
}

const struct noun noun_sessions = { .name = "sessions", .load = load, .free = free_all, .tick = tick };
