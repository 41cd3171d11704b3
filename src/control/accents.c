/* control/accents.c - hosts known through a foreign accent: found by their name there, made, seen. Two rows that are one
 * machine: accent_link.c. Loop thread.
 *
 *   (dialect, external id) ── alias ── host ── accent (its aliases, how often it comes)
 *
 * Such a host is a row like any other. Its key is SHA-256("muster.alias" NUL dialect NUL external id): unique as keys are, and
 * nobody's certificate ever has it. A host keeps its key when the name is taken off it (accent__part()): who comes under that name later
 * has the number of the alias in its key, too. A host known natively only has no struct accent at all. */
#include "base/text.h"

#include "control/accent.h"
#include "control/noun.h"
#include "control/tell.h"

enum {
    EXTERNAL_ID_MAX = 128,
    ALIASES_MAX = 500000,   /* what holders of one good key could make */
    EVERY_UNKNOWN_S = 60,   /* who never said how often it comes */
    EVERY_LEAST_S = 15,     /* online for 30 s at least */
    EVERY_MOST_S = 30 * 24 * 3600,
    SAVE_EVERY_S = 30,
};

struct alias_entry {
    uint64_t id;
    struct host *host;
    struct alias_entry *next; /* of the host: newest first */
    const char *dialect;      /* interned */
    usec_t since;
    UT_hash_handle hh;
    uint32_t len, dialect_len; /* of the key; of the dialect in it */
    char key[];                /* dialect NUL external id NUL */
};
struct accent {
    struct alias_entry *aliases;
    usec_t every, asked_at;
};
struct accent_book {
    struct alias_entry *by_key;
};

static struct accent_book *book(const struct control *c)
{
    return c->noun[NOUN_ACCENTS];
}

/* -- aliases */
struct alias_key {
    size_t len;
    char text[32 + EXTERNAL_ID_MAX + 2];
};

static bool make_key(struct str dialect, struct str external_id, struct alias_key *ret)
{
    if (dialect.len == 0 || dialect.len > 31 || external_id.len == 0 || external_id.len > EXTERNAL_ID_MAX)
        return false;
    memcpy(ret->text, dialect.ptr, dialect.len);
    ret->text[dialect.len] = '\0';
    memcpy(ret->text + dialect.len + 1, external_id.ptr, external_id.len);
    ret->len = dialect.len + 1 + external_id.len;
    return true;
}

static struct alias_entry *find(const struct control *c, struct str dialect, struct str external_id)
{
    struct alias_key key;
    struct alias_entry *a = NULL;
    if (make_key(dialect, external_id, &key))
        HASH_FIND(hh, book(c)->by_key, key.text, key.len, a);
    return a;
}

static struct str external_of(const struct alias_entry *a)
{
    return (struct str){ a->key + a->dialect_len + 1, a->len - a->dialect_len - 1 };
}

static void put(struct control *c, const struct alias_entry *a)
{
    const struct alias row = {
        .host_id = a->host->id,
        .dialect = str_of(a->dialect),
        .external_id = external_of(a),
        .since = a->since,
        .every = a->host->accent->every,
        .asked_at = a->host->accent->asked_at,
    };
    store_put_object(c->store, OBJECT_ALIAS, a->id, a->host->id, &alias_record, &row);
}

/* Newest first: ids grow. */
static void attach(struct host *h, struct alias_entry *a)
{
    if (!h->accent)
        h->accent = xnew0(struct accent);
    struct alias_entry **at = &h->accent->aliases;
    while (*at && (*at)->id > a->id)
        at = &(*at)->next;
    a->next = *at;
    *at = a;
    a->host = h;
}

static struct alias_entry *file(struct control *c, struct host *h, uint64_t id, struct str dialect,
                                const struct alias_key *key, usec_t since)
{
    struct alias_entry *a = xcalloc(1, sizeof(*a) + key->len + 1);
    a->id = id;
    a->dialect = intern__get(c, dialect);
    a->dialect_len = (uint32_t)dialect.len;
    a->since = since;
    a->len = (uint32_t)key->len;
    memcpy(a->key, key->text, key->len);
    HASH_ADD_KEYPTR(hh, book(c)->by_key, a->key, a->len, a);
    attach(h, a);
    return a;
}

static void alias_free(struct control *c, struct alias_entry *a)
{
    HASH_DEL(book(c)->by_key, a);
    intern__put(c, a->dialect);
    free(a);
}

static void accent_free(struct control *c, struct host *h)
{
    while (h->accent && h->accent->aliases) {
        struct alias_entry *a = h->accent->aliases;
        h->accent->aliases = a->next;
        alias_free(c, a);
    }
    free(h->accent);
    h->accent = NULL;
}

/* -- what the rest of control asks */
bool accent__can(const struct host *h, enum capability what)
{
    uint32_t can = capabilities_of(str_of(h->dialect));
    for (const struct alias_entry *a = h->accent ? h->accent->aliases : NULL; a; a = a->next)
        can |= capabilities_of(str_of(a->dialect));
    return (can & what) != 0;
}

bool accent__is_all(const struct host *h, const char *dialect, struct str external_id)
{
    const struct alias_entry *a = h->accent ? h->accent->aliases : NULL;
    return strcmp(h->dialect, "native") != 0 && a && !a->next && strcmp(a->dialect, dialect) == 0 &&
           str_eq(external_of(a), external_id);
}

/* The agent that said how it is may be gone: then the newest of the others does. */
static void find_voice(struct control *c, struct host *h)
{
    const char *old = h->dialect;
    for (const struct alias_entry *a = h->accent->aliases; a; a = a->next)
        if (strcmp(a->dialect, old) == 0)
            return;
    h->dialect = intern__get(c, str_of(h->accent->aliases->dialect));
    intern__put(c, old);
    host__put(c, h);
}

void accent__part(struct control *c, struct host *h, const char *dialect, struct str external_id)
{
    struct alias_entry *gone = find(c, str_of(dialect), external_id);
    struct tell_ranks had;
    if (!gone || gone->host != h)
        return;
    tell__ranks(c, h, &had);
    asset__tell_again(c, h->id);
    struct alias_entry **at = &h->accent->aliases;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    store_del_object(c->store, OBJECT_ALIAS, gone->id);
    alias_free(c, gone);
    if (!h->accent->aliases)
        accent_free(c, h);
    else if (strcmp(h->dialect, "native") != 0)
        find_voice(c, h);
    tell__fell(c, h, &had);
    host__timer(c, h);
}

int accent__let_go(struct control *c, const struct principal *p, struct host *h, const char *dialect, struct str external_id,
                   const char *why, struct err *err)
{
    struct details d = { 0 };
    int r = enroll__may_leave(c, p, h, err);
    if (r < 0)
        return r;
    if (!accent__is_all(h, dialect, external_id)) { /* linked: it stays, under its other names */
        accent__part(c, h, dialect, external_id);
        return 0;
    }
    details_str(details_str(&d, "name", str_of(h->name)), "by", str_of(p->name));
    event__host(c, "host.forgotten", h, details_str(&d, "why", str_of(why)));
    audit__ok(c, p, VERB_HOST_FORGET, str_of(h->uuid), &d);
    host__remove(c, h, "host.unknown", why);
    return ACCENT_HOST_GONE;
}

void accent__move(struct control *c, struct host *to, struct host *from)
{
    usec_t every = from->accent->every;
    while (from->accent->aliases) {
        struct alias_entry *a = from->accent->aliases;
        from->accent->aliases = a->next;
        attach(to, a);
        if (!to->accent->every)
            to->accent->every = every;
        put(c, a);
    }
    asset__tell_again(c, to->id); /* who was alone may be one of two now */
}

bool accent__rules(const struct host *h, struct presence_rules *ret)
{
    if (!h->accent)
        return false;
    usec_t every = h->accent->every ? h->accent->every : EVERY_UNKNOWN_S * USEC_PER_SEC;
    if (every < EVERY_LEAST_S * USEC_PER_SEC)
        every = EVERY_LEAST_S * USEC_PER_SEC;
    *ret = presence_rules_for(every);
    return true;
}

usec_t accent__asked_at(const struct host *h)
{
    return h->accent && h->accent->asked_at > h->created_at ? h->accent->asked_at : h->created_at;
}

/* True if it changed. */
static bool take_every(struct host *h, usec_t every)
{
    if (every > EVERY_MOST_S * USEC_PER_SEC)
        every = EVERY_MOST_S * USEC_PER_SEC;
    if (every == 0 || every == h->accent->every)
        return false;
    h->accent->every = every;
    return true;
}

/* -- becoming known */
static int check(const struct sighting *s, struct alias_key *ret_key, struct err *err)
{
    if (!utf8_is_valid(s->external_id) || str_has_nul(s->external_id) ||
        !make_key(str_of(s->dialect), s->external_id, ret_key))
        return err_set(err, -EINVAL, "field.invalid", "a host's id is 1 to %d bytes of UTF-8", EXTERNAL_ID_MAX);
    return 0;
}

static void take_peer(struct host *h, const char *peer)
{
    if (!peer || (h->peer && strcmp(h->peer, peer) == 0))
        return;
    free(h->peer);
    h->peer = xstrdup(peer);
}

static void approve(struct control *c, struct host *h, const char *by, const char *peer)
{
    struct details d = { 0 };
    enroll__decide(c, h, HOST_APPROVED, by);
    details_str(details_str(&d, "name", str_of(h->name)), "dialect", str_of(h->dialect));
    audit__row(c, by, peer, "host.approve", str_of(h->uuid), "ok", NULL, &d);
    d = (struct details){ 0 };
    event__host(c, "host.approved", h, details_str(&d, "by", str_of(by)));
}

static void print_of(const struct control *c, const struct alias_key *key, uint64_t alias_id, uint8_t ret[SHA256_LEN])
{
    const struct str parts[] = { str_bytes("muster.alias", sizeof("muster.alias")), { key->text, key->len }, str_bytes("", 1),
                                 str_bytes(&alias_id, sizeof(alias_id)) };
    for (size_t n = 2; n <= ARRAY_SIZE(parts); n += 2) {
        struct sha256_state *st = sha256_new();
        for (size_t i = 0; i < n; i++)
            sha256_add(st, parts[i]);
        sha256_finish(st, ret);
        sha256_free(st);
        if (!host__by_key(c, ret))
            return;
    }
}

static struct host *make_host(struct control *c, const struct sighting *s, const struct alias_key *key)
{
    const uint64_t alias_id = object__next(c, OBJECT_ALIAS);
    uint8_t print[SHA256_LEN];
    struct details d = { 0 };
    print_of(c, key, alias_id, print);

    struct host *h = host__add(c, print, s->name.len ? s->name : s->claims.hostname);
    intern__put(c, h->dialect);
    h->dialect = intern__get(c, str_of(s->dialect));
    h->state = HOST_PENDING;
    c->n_pending++;
    file(c, h, alias_id, str_of(s->dialect), key, h->created_at);
    h->accent->asked_at = h->created_at;
    take_every(h, s->every);
    host__take_claims(c, h, &s->claims);
    h->peer = xstrdup(s->peer_addr ? s->peer_addr : "");
    details_str(details_str(&d, "name", str_of(h->name)), "peer", str_of(h->peer));
    details_str(details_str(&d, "dialect", str_of(h->dialect)), "external_id", s->external_id);
    audit__row(c, s->approved_by ? s->approved_by : "", s->peer_addr, "host.enroll", str_of(h->uuid), "ok", NULL, &d);
    event__host(c, "agent.registered", h, &d);
    if (s->approved_by)
        approve(c, h, s->approved_by, s->peer_addr);
    else
        event__host(c, "host.pending", h, &d);
    host__timer(c, h);
    host__put(c, h);
    put(c, h->accent->aliases);
    return h;
}

/* It is there already: what it says of itself now. Of a linked host the one that was there first says how it is, or each of two agents
 * would write over the other. */
static void meet_again(struct control *c, const struct sighting *s, struct alias_entry *a)
{
    struct host *h = a->host;
    bool is_changed = strcmp(h->dialect, s->dialect) == 0 && host__take_claims(c, h, &s->claims), is_alias_changed = take_every(h, s->every);
    usec_t now = control__wall(c);
    take_peer(h, s->peer_addr);
    if (h->state == HOST_PENDING && s->approved_by) {
        approve(c, h, s->approved_by, s->peer_addr);
        is_changed = true;
    }
    /* It waits anew; written seldom: an eighth of the time more or less is nothing. */
    if (h->state == HOST_PENDING && now - h->accent->asked_at >= c->conf.pending_ttl / 8) {
        h->accent->asked_at = now;
        is_alias_changed = true;
        host__timer(c, h);
    }
    if (is_changed)
        host__put(c, h);
    if (is_alias_changed)
        put(c, a);
}

int accent_meet(struct control *c, const struct sighting *s, uint64_t *ret_id, bool *ret_is_new, struct err *err)
{
    struct alias_key key;
    int r = check(s, &key, err);
    *ret_id = 0;
    *ret_is_new = false;
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    struct alias_entry *a = find(c, str_of(s->dialect), s->external_id);
    if (a && a->host->state == HOST_PENDING &&
        enroll_is_expired(accent__asked_at(a->host), c->conf.pending_ttl, control__wall(c))) {
        enroll__pending_due(c, a->host);
        a = NULL;
    }
    if (a) {
        *ret_id = a->host->id;
        r = a->host->state == HOST_PENDING ? 0 : host__may_speak(a->host, err);
        if (r == 0)
            meet_again(c, s, a);
        return r;
    }
    if ((!s->approved_by && c->n_pending >= LIMIT_PENDING_HOSTS) || HASH_COUNT(book(c)->by_key) >= ALIASES_MAX) {
        c->stats.enroll_refused++;
        return err_set(err, -EBUSY, "enroll.full", "too many hosts are known or wait for an operator already");
    }
    *ret_id = make_host(c, s, &key)->id;
    *ret_is_new = true;
    return 0;
}

int accent_find(struct control *c, const char *dialect, struct str external_id, uint64_t *ret_id, struct err *err)
{
    const struct alias_entry *a = find(c, str_of(dialect), external_id);
    if (!a)
        return err_set(err, -ENOENT, "host.unknown", "no %s host has the id %.*s", dialect,
                       STR_FMT(str_sub(external_id, 0, EXTERNAL_ID_MAX)));
    *ret_id = a->host->id;
    return 0;
}

/* -- staying known */
int accent_seen(struct control *c, uint64_t host_id, const char *peer, const struct heartbeat *beat, usec_t every, struct err *err)
{
    struct host *h = host__by_id(c, host_id);
    if (!h || !h->accent)
        return err_set(err, -ENOENT, "host.unknown", "this host is not known here (any more)");
    int r = host__may_speak(h, err);
    if (r < 0)
        return r;
    if (take_every(h, every))
        put(c, h->accent->aliases);
    take_peer(h, peer);
    presence__seen(c, h);
    if (beat) {
        h->beat = heartbeat_checked(beat);
        h->has_beat = true;
        h->last_beat = h->last_seen;
        c->stats.heartbeats++;
    }
    usec_t now = control__mono(c), save_at = h->saved_mono + SAVE_EVERY_S * USEC_PER_SEC;
    if (now >= save_at && store_health(c->store, NULL) == 0)
        host__seen_dirty(c, h);
    else if (!h->timer.place || h->timer.at > save_at)
        host__timer(c, h);
    return 0;
}

bool accent_name_of(struct control *c, uint64_t host_id, const char *dialect, char ret[129])
{
    const struct host *h = host__by_id(c, host_id);
    for (const struct alias_entry *a = h && h->accent ? h->accent->aliases : NULL; a; a = a->next)
        if (strcmp(a->dialect, dialect) == 0)
            return str_copy(external_of(a), ret, EXTERNAL_ID_MAX + 1) == 0;
    return false;
}

void accent_aliases(struct control *c, uint64_t host_id, void (*fn)(void *ctx, const struct alias *a), void *ctx)
{
    const struct host *h = host__by_id(c, host_id);
    for (const struct alias_entry *a = h && h->accent ? h->accent->aliases : NULL; a; a = a->next)
        fn(ctx, &(struct alias){ .host_id = host_id,
                                 .dialect = str_of(a->dialect),
                                 .external_id = external_of(a),
                                 .since = a->since,
                                 .every = h->accent->every,
                                 .asked_at = h->accent->asked_at });
}

/* -- facts */
static struct host *with_accent(struct control *c, uint64_t host_id)
{
    struct host *h = host__by_id(c, host_id);
    return h && h->accent ? h : NULL;
}

int accent_facts(struct control *c, uint64_t host_id, const struct section_delta *d, bool is_blind, struct err *err)
{
    struct host *h = with_accent(c, host_id);
    if (!h)
        return err_set(err, -ENOENT, "host.unknown", "this host is not known here (any more)");
    int r = host__may_speak(h, err);
    if (r < 0)
        return r;
    r = inventory__take(c, h, d, is_blind);
    if (r == -ENOENT)
        err_set(err, -ENOENT, "section.unknown", "there is no section %.*s", STR_FMT(str_sub(d->name, 0, 64)));
    return r;
}

static const struct section_mark *mark_of(struct control *c, uint64_t host_id, struct str section)
{
    const struct host *h = host__by_id(c, host_id);
    int s = name_value(section_names, section);
    return h && s >= 0 ? inventory__mark(h, (uint8_t)s) : NULL;
}

bool accent_section(struct control *c, uint64_t host_id, struct str section, enum section_status *ret_status,
                    struct fact_digest *ret_digest)
{
    const struct section_mark *m = mark_of(c, host_id, section);
    if (!m)
        return false;
    *ret_status = (enum section_status)m->status;
    *ret_digest = (struct fact_digest){ 0 };
    memcpy(ret_digest->b, m->digest, MARK_LEN);
    return true;
}

bool accent_section_is(struct control *c, uint64_t host_id, struct str section, const struct fact_digest *digest)
{
    const struct section_mark *m = mark_of(c, host_id, section);
    return m && memcmp(m->digest, digest->b, MARK_LEN) == 0;
}

/* -- the noun */
static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    const struct alias *row = obj;
    struct alias_key key;
    struct host *h = host__by_id(c, row->host_id);
    (void)parent;
    if (!h || !make_key(row->dialect, row->external_id, &key)) {
        log_error("alias.orphan", "an alias names no host: left out", LOG_U64("alias", id));
        return;
    }
    file(c, h, id, row->dialect, &key, row->since);
    if (row->every)
        h->accent->every = row->every;
    if (row->asked_at > h->accent->asked_at)
        h->accent->asked_at = row->asked_at;
}

static int load(struct control *c, struct err *err)
{
    c->noun[NOUN_ACCENTS] = xnew0(struct accent_book);
    return store_load_objects(c->store, OBJECT_ALIAS, &alias_record, load_one, c, err);
}

static void free_all(struct control *c)
{
    if (!book(c))
        return;
    for (size_t i = 0; i < c->hosts.n; i++)
        accent_free(c, c->hosts.v[i]);
    free(book(c));
    c->noun[NOUN_ACCENTS] = NULL;
}

static void host_gone(struct control *c, uint64_t host_id)
{
    struct host *h = with_accent(c, host_id);
    if (!h)
        return;
    for (const struct alias_entry *a = h->accent->aliases; a; a = a->next)
        store_del_object(c->store, OBJECT_ALIAS, a->id);
    accent_free(c, h);
}

const struct noun noun_accents = { .name = "accents", .load = load, .free = free_all, .host_gone = host_gone };
