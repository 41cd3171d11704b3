/* control/hosts.c - who is known: the table, its indexes, and what operators do to a host. Loop thread. */
#include "base/text.h"
#include "base/uuid.h"

#include "control/noun.h"

/* -- indexes */
static size_t position(const struct control *c, uint64_t id)
{
    size_t lo = 0, hi = c->hosts.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->hosts.v[mid]->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct host *host__by_id(const struct control *c, uint64_t id)
{
    size_t i = position(c, id);
    return i < c->hosts.n && c->hosts.v[i]->id == id ? c->hosts.v[i] : NULL;
}

struct host *host__by_uuid(const struct control *c, struct str uuid)
{
    struct host *h = NULL;
    char text[UUID_TEXT_MAX];
    struct uuid u;
    if (uuid.len != UUID_TEXT_LEN || uuid_parse(uuid, &u) < 0)
        return NULL;
    uuid_format(&u, text);
    HASH_FIND(hh_uuid, c->host_uuids, text, UUID_TEXT_LEN, h);
    return h;
}

struct host *host__by_key(const struct control *c, const uint8_t key[SHA256_LEN])
{
    struct host *h = NULL;
    HASH_FIND(hh_key, c->host_keys, key, SHA256_LEN, h);
    return h;
}

struct host *host__by_name(const struct control *c, struct str name)
{
    struct host *h = NULL;
    if (name.len)
        HASH_FIND(hh_name, c->host_names, name.ptr, name.len, h);
    return h;
}

/* What reads as an id is one, and never a name: a newcomer chooses what it is called, and must not catch what is meant for the host
 * of that id, or for one that is gone. */
static bool reads_as_id(struct str s)
{
    struct uuid u;
    return uuid_parse(s, &u) == 0;
}

struct host *host__find(struct control *c, struct str name_or_uuid, struct err *err)
{
    bool is_id = reads_as_id(name_or_uuid);
    struct host *h = is_id ? host__by_uuid(c, name_or_uuid) : host__by_name(c, name_or_uuid);
    if (!h)
        err_set(err, -ENOENT, "host.unknown", "no host %s %.*s", is_id ? "has the id" : "named",
                STR_FMT(str_sub(name_or_uuid, 0, 200)));
    return h;
}

/* @wanted made fit for a name: what people type and selectors match. */
static struct str fit_name(struct str wanted, char room[LIMIT_NAME + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < wanted.len && n < LIMIT_NAME - 8; i++) {
        char ch = wanted.ptr[i];
        bool is_plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                        (n > 0 && (ch == '-' || ch == '_' || ch == '.'));
        if (is_plain)
            room[n++] = ch;
    }
    room[n] = '\0';
    return (struct str){ room, n };
}

void host__unique_name(struct control *c, struct str wanted, const char *uuid, char ret[LIMIT_NAME + 1])
{
    char room[LIMIT_NAME + 1];
    struct str base = fit_name(wanted, room);
    if (base.len == 0 || reads_as_id(base)) {
        snprintf(room, sizeof(room), "host-%.8s", uuid);
        base = str_of(room);
    }
    /* Hosts of one image come by the thousand: a few readable numbers, then a piece of the id, which is not
     * searched for. */
    snprintf(ret, LIMIT_NAME + 1, "%s", room);
    for (unsigned i = 2; i <= 99 && host__by_name(c, str_of(ret)); i++)
        snprintf(ret, LIMIT_NAME + 1, "%.*s-%u", (int)base.len, room, i);
    if (host__by_name(c, str_of(ret)))
        snprintf(ret, LIMIT_NAME + 1, "%.*s-%s", (int)(base.len > 80 ? 80 : base.len), room, uuid);
}

int host__check_name(const struct control *c, const struct host *h, struct str name, struct err *err)
{
    char room[LIMIT_NAME + 1];
    const struct host *other = host__by_name(c, name);
    int r = 0;
    if (name.len == 0 || name.len > LIMIT_NAME - 8 || !str_eq(fit_name(name, room), name))
        r = err_set(err, -EINVAL, "field.invalid",
                    "a name has letters, digits, '-', '_' and '.', at most %d of them", LIMIT_NAME - 8);
    else if (reads_as_id(name))
        r = err_set(err, -EINVAL, "field.invalid",
                    "a name cannot have the form of a host's id: what has that form always means the host of that id");
    else if (other && other != h)
        r = err_set(err, -EEXIST, "host.name_taken", "another host is named %.*s", STR_FMT(name));
    if (r < 0)
        err_path(err, "name");
    return r;
}

static void index_name(struct control *c, struct host *h)
{
    HASH_ADD_KEYPTR(hh_name, c->host_names, h->name, strlen(h->name), h);
    c->by_name_is_stale = true;
}

void host__set_name(struct control *c, struct host *h, struct str name)
{
    HASH_DELETE(hh_name, c->host_names, h);
    free(h->name);
    h->name = str_dup(name);
    index_name(c, h);
}

/* Ids grow, so a new one goes last; a loaded one nearly always too. */
static void file(struct control *c, struct host *h)
{
    size_t i = position(c, h->id);
    vec_add(&c->hosts);
    memmove(&c->hosts.v[i + 1], &c->hosts.v[i], (c->hosts.n - 1 - i) * sizeof(*c->hosts.v));
    c->hosts.v[i] = h;
    HASH_ADD(hh_uuid, c->host_uuids, uuid, UUID_TEXT_LEN, h);
    HASH_ADD(hh_key, c->host_keys, fingerprint, SHA256_LEN, h);
    index_name(c, h);
}

static struct host *host_new(void)
{
    struct host *h = xnew0(struct host);
    h->timer.kind = TIMER_HOST;
    return h;
}

struct host *host__add(struct control *c, const uint8_t key[SHA256_LEN], struct str wanted)
{
    char name[LIMIT_NAME + 1];
    struct host *h = host_new();
    struct uuid u = uuid_v7(control__wall(c));
    uuid_format(&u, h->uuid);
    h->id = c->next.host++;
    memcpy(h->fingerprint, key, SHA256_LEN);
    h->dialect = intern__get(c, STR("native"));
    h->created_at = control__wall(c);
    host__unique_name(c, wanted, h->uuid, name);
    h->name = xstrdup(name);
    h->labels = kv__pack(NULL, c->scratch);
    h->claims = claims__pack(c, &(struct host_claims){ 0 });
    file(c, h);
    return h;
}

/* -- store */
void host__put(struct control *c, const struct host *h)
{
    struct host_row row = {
        .id = h->id,
        .state = (enum host_state)h->state,
        .name = str_of(h->name),
        .dialect = str_of(h->dialect),
        .claims = *h->claims,
        .labels = *h->labels,
        .created_at = h->created_at,
        .decided_at = h->decided_at,
        .decided_by = str_of(h->decided_by),
        .decided_why = str_of(h->decided_why),
        .cert_serial = str_of(h->cert_serial),
        .cert_not_after = h->cert_not_after,
        .token_id = h->token_id,
        .clone_note = str_of(h->clone_note),
    };
    memcpy(row.uuid, h->uuid, sizeof(row.uuid));
    memcpy(row.fingerprint, h->fingerprint, SHA256_LEN);
    store_put_host(c->store, &row);
}

static void load_one(void *ctx, const struct host_row *r, const struct seen_row *seen)
{
    struct control *c = ctx;
    struct host *h = host_new();
    h->id = r->id;
    memcpy(h->uuid, r->uuid, sizeof(h->uuid));
    h->uuid[36] = '\0';
    memcpy(h->fingerprint, r->fingerprint, SHA256_LEN);
    h->state = (uint8_t)r->state;
    h->name = str_dup(r->name);
    h->dialect = intern__get(c, r->dialect);
    h->claims = claims__pack(c, &r->claims);
    arena_reset(c->scratch);
    h->labels = kv__pack(&r->labels, c->scratch);
    h->created_at = r->created_at;
    h->decided_at = r->decided_at;
    h->decided_by = r->decided_by.len ? intern__get(c, r->decided_by) : NULL;
    h->decided_why = text__dup_or_null(r->decided_why);
    h->cert_serial = text__dup_or_null(r->cert_serial);
    h->cert_not_after = r->cert_not_after;
    h->token_id = r->token_id;
    h->clone_note = text__dup_or_null(r->clone_note);
    if (seen) {
        h->spool_epoch = seen->spool_epoch;
        h->acked_seq = seen->acked_seq;
        h->last_seen = seen->last_seen;
    }
    c->n_pending += h->state == HOST_PENDING;
    file(c, h);
}

/* -- the address, over a restart: seldom another one, so it is no part of what is written with every sign of life */
struct host_peer {
    struct str address;
};
static const struct field host_peer_fields[] = {
    F_STR(struct host_peer, address, "address", 64),
};
static const struct record host_peer_record = RECORD(host_peer, host_peer_fields);

static uint32_t mark_of_peer(const char *peer)
{
    return crc32c(str_of(peer)) | 1;
}

void host__save_peer(struct control *c, struct host *h)
{
    if (!h->peer || !h->peer[0] || h->peer_mark == mark_of_peer(h->peer))
        return;
    h->peer_mark = mark_of_peer(h->peer);
    const struct host_peer row = { str_sub(str_of(h->peer), 0, 64) };
    store_put_object_often(c->store, OBJECT_HOST_PEER, h->id, 0, &host_peer_record, &row);
}

static void load_peer(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    const struct host_peer *row = obj;
    struct host *h = host__by_id(ctx, id);
    (void)parent;
    if (!h)
        return;
    h->peer = str_dup(row->address);
    h->peer_mark = mark_of_peer(h->peer);
}

int host__may_speak(const struct host *h, struct err *err)
{
    switch ((enum host_state)h->state) {
    case HOST_REVOKED:
        return err_set(err, -EACCES, "host.revoked", "this host was revoked");
    case HOST_REJECTED:
        return err_set(err, -EACCES, "host.rejected", "this host was rejected");
    case HOST_PENDING:
        return err_set(err, -EACCES, "host.pending", "this host waits for an operator");
    case HOST_APPROVED:
        break;
    }
    return 0;
}

int host__load(struct control *c, struct err *err)
{
    int r = store_load_hosts(c->store, load_one, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_HOST_PEER, &host_peer_record, load_peer, c, err);
    return r < 0 ? r : presence__load(c, err);
}

static void host_free(struct control *c, struct host *h)
{
    claims__free(c, h->claims);
    intern__put(c, h->dialect);
    free(h->labels);
    free(h->name);
    intern__put(c, h->decided_by);
    intern__put(c, h->roles);
    free(h->decided_why);
    free(h->clone_note);
    free(h->peer);
    free(h->cert_serial);
    free(h->sections);
    free(h);
}

void host__free_all(struct control *c)
{
    HASH_CLEAR(hh_uuid, c->host_uuids);
    HASH_CLEAR(hh_key, c->host_keys);
    HASH_CLEAR(hh_name, c->host_names);
    for (size_t i = 0; i < c->hosts.n; i++)
        host_free(c, c->hosts.v[i]);
    vec_done(&c->hosts);
    vec_done(&c->by_name);
}

/* Tasks end first (their rows name the host), then the link, then the host itself. */
static void end_tasks(struct control *c, struct host *h, const char *why)
{
    struct task *t, *next;
    DL_FOREACH_SAFE(h->tasks, t, next)
    task__input(c, t, TASK_IN_HOST_GONE, why);
}

void host__remove(struct control *c, struct host *h, const char *slug, const char *why)
{
    end_tasks(c, h, why);
    control__flush(c); /* rows and acks that name it */
    for (size_t i = 0; i < c->jobs.n; i++)
        for (uint32_t k = 0; k < c->jobs.v[i]->n_tasks; k++)
            if (c->jobs.v[i]->tasks[k].host == h)
                c->jobs.v[i]->tasks[k].host = NULL;
    if (h->link)
        link__cut(c, h->link, slug, why, true);
    noun__host_gone(c, h->id);
    presence__back(c, h);
    if (h->peer_mark)
        store_del_object(c->store, OBJECT_HOST_PEER, h->id);
    timers_drop(&c->timers, &h->timer);
    c->n_pending -= h->state == HOST_PENDING;
    HASH_DELETE(hh_uuid, c->host_uuids, h);
    HASH_DELETE(hh_key, c->host_keys, h);
    HASH_DELETE(hh_name, c->host_names, h);
    c->by_name_is_stale = true;
    size_t at = position(c, h->id);
    vec_del(&c->hosts, at);
    store_del_host(c->store, h->id);
    host_free(c, h);
}

/* -- views */
/* A host that may not speak is not there, however fresh its last beat. */
static const char *status_of(const struct host *h)
{
    return presence_status(h->state == HOST_APPROVED ? (enum presence)h->presence : PRESENCE_LOST,
                           h->n_active);
}

void host__view(struct control *c, struct host *h, struct host_view *ret)
{
    char *fingerprint = c->fingerprints[c->fingerprint_turn++ % ARRAY_SIZE(c->fingerprints)];
    memcpy(fingerprint, "sha256:", 7);
    hex_encode(h->fingerprint, SHA256_LEN, fingerprint + 7);
    *ret = (struct host_view){
        .id = { h->id },
        .uuid = h->uuid,
        .name = str_of(h->name),
        .dialect = str_of(h->dialect),
        .state = (enum host_state)h->state,
        .presence = (enum presence)h->presence,
        .status = status_of(h),
        .claims = *h->claims,
        .labels = h->labels,
        .fingerprint = str_of(fingerprint),
        .clone_note = str_of(h->clone_note),
        .decided_by = str_of(h->decided_by),
        .decided_why = str_of(h->decided_why),
        .peer = str_of(h->peer),
        .created_at = h->created_at,
        .decided_at = h->decided_at,
        .last_seen = h->last_seen,
        .connected_at = h->link ? h->link->since : 0,
        .last_beat = h->last_beat,
        .cert_not_after = h->cert_not_after,
        .pending_expires_at = h->state == HOST_PENDING ? accent__asked_at(h) + c->conf.pending_ttl : 0,
        .has_beat = h->has_beat,
        .beat = h->beat,
        .roles = str_of(h->roles),
        .active_tasks = h->n_active,
        .link = { h->link ? h->link->id : 0 },
    };
}

int host_find(struct control *c, struct str name_or_uuid, struct host_view *ret, struct err *err)
{
    struct host *h = host__find(c, name_or_uuid, err);
    if (!h)
        return -ENOENT;
    host__view(c, h, ret);
    return 0;
}

bool host_view_of(struct control *c, struct host_id id, struct host_view *ret)
{
    struct host *h = host__by_id(c, id.v);
    if (!h)
        return false;
    host__view(c, h, ret);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct host *x = *(struct host *const *)a, *y = *(struct host *const *)b;
    return strcmp(x->name, y->name);
}

static void sort_names(struct control *c)
{
    if (!c->by_name_is_stale)
        return;
    c->by_name.n = 0;
    for (size_t i = 0; i < c->hosts.n; i++)
        *vec_add(&c->by_name) = c->hosts.v[i];
    if (c->by_name.n)
        qsort(c->by_name.v, c->by_name.n, sizeof(*c->by_name.v), compare_names);
    c->by_name_is_stale = false;
}

void host_list(struct control *c, enum host_state state, const struct selector *sel,
               bool (*fn)(void *ctx, const struct host_view *h), void *ctx)
{
    sort_names(c);
    for (size_t i = 0; i < c->by_name.n; i++) {
        struct host *h = c->by_name.v[i];
        if (state && h->state != state)
            continue;
        const struct selectable s = {
            .uuid = str_of(h->uuid),
            .name = str_of(h->name),
            .status = str_of(status_of(h)),
            .labels = h->labels,
        };
        if (sel && !selector_match(sel, &s))
            continue;
        struct host_view view;
        host__view(c, h, &view);
        if (!fn(ctx, &view))
            break;
    }
}

void fleet_count(struct control *c, struct fleet_counts *ret)
{
    *ret = (struct fleet_counts){ .pending = c->n_pending, .connected = HASH_COUNT(c->all_links) };
    for (size_t i = 0; i < c->hosts.n; i++) {
        const struct host *h = c->hosts.v[i];
        if (h->state != HOST_APPROVED)
            continue;
        ret->total++;
        switch ((enum presence)h->presence) {
        case PRESENCE_ONLINE:
            *(h->n_active ? &ret->busy : &ret->ready) += 1;
            break;
        case PRESENCE_LATE:
            ret->stale++;
            break;
        case PRESENCE_NEVER:
        case PRESENCE_LOST:
            ret->disconnected++;
            break;
        }
    }
    for (size_t i = 0; i < c->jobs.n; i++) {
        const struct job *j = c->jobs.v[i];
        if (j->is_ended)
            continue;
        ret->open_jobs++;
        ret->running_tasks += j->counts.running + j->counts.accepted;
        ret->queued_tasks += j->counts.queued + j->counts.offered;
    }
}

/* -- verbs. The start of each: may they, is the store there, which host. */
static struct host *begin(struct control *c, const struct principal *p, enum verb v, struct str name,
                          int *ret_r, struct err *err)
{
    *ret_r = authz(c, p, v, name, err);
    if (*ret_r < 0)
        return NULL;
    if (control_refuses_writes(c, err)) {
        *ret_r = -EAGAIN;
        return NULL;
    }
    struct host *h = host__find(c, name, err);
    if (!h)
        *ret_r = audit__refused(c, p, v, name, -ENOENT, err);
    return h;
}

int host_check_name(struct control *c, struct str uuid, struct str name, struct err *err)
{
    const struct host *h = host__find(c, uuid, err);
    return h ? host__check_name(c, h, name, err) : -ENOENT;
}

int host_rename(struct control *c, const struct principal *p, struct str host, struct str name,
                struct err *err)
{
    int r;
    struct details d = { 0 };
    struct host *h = begin(c, p, VERB_HOST_RENAME, host, &r, err);
    if (!h)
        return r;
    r = host__check_name(c, h, name, err);
    if (r < 0)
        return audit__refused(c, p, VERB_HOST_RENAME, host, r, err);

    char old[LIMIT_NAME + 1];
    snprintf(old, sizeof(old), "%s", h->name);
    host__set_name(c, h, name);
    host__put(c, h);
    details_str(details_str(&d, "from", str_of(old)), "to", name);
    audit__ok(c, p, VERB_HOST_RENAME, str_of(h->uuid), &d);
    event__host(c, "host.renamed", h, details_str(&d, "by", str_of(p->name)));
    return 0;
}

int host__merge_labels(const struct kv_list *old, const struct kv_list *change, struct kv room[LIMIT_LABELS],
                       struct kv_list *ret, struct err *err)
{
    *ret = (struct kv_list){ room, 0 };
    for (size_t i = 0; i < old->n && ret->n < LIMIT_LABELS; i++)
        room[ret->n++] = old->v[i];
    for (size_t i = 0; i < change->n; i++) {
        struct kv kv = change->v[i];
        size_t at = 0;
        while (at < ret->n && !str_eq(room[at].key, kv.key))
            at++;
        if (!kv.value.ptr) {
            if (at < ret->n)
                room[at] = room[--ret->n];
            continue;
        }
        int r = label_check(kv.key, kv.value, err);
        if (r < 0)
            return r;
        if (at == LIMIT_LABELS)
            return err_set(err, -E2BIG, "label.bad", "a host has at most %d labels", LIMIT_LABELS);
        room[at] = kv;
        ret->n += at == ret->n;
    }
    return 0;
}

int host_label(struct control *c, const struct principal *p, struct str host, const struct kv_list *labels,
               struct err *err)
{
    int r;
    struct kv room[LIMIT_LABELS];
    struct kv_list merged;
    struct details d = { 0 };
    struct host *h = begin(c, p, VERB_HOST_LABEL, host, &r, err);
    if (!h)
        return r;
    r = host__merge_labels(h->labels, labels, room, &merged, err);
    if (r < 0) {
        err_path(err, "labels");
        return audit__refused(c, p, VERB_HOST_LABEL, host, r, err);
    }

    arena_reset(c->scratch);
    struct kv_list *packed = kv__pack(&merged, c->scratch);
    free(h->labels);
    h->labels = packed;
    host__put(c, h);
    char names[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < labels->n && n < sizeof(names) - 2 * LIMIT_NAME; i++)
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.*s%s%.*s", i ? " " : "",
                              STR_FMT(labels->v[i].key), labels->v[i].value.ptr ? "=" : "-",
                              STR_FMT(str_sub(labels->v[i].value, 0, 64)));
    details_str(&d, "labels", str_of(names));
    audit__ok(c, p, VERB_HOST_LABEL, str_of(h->uuid), &d);
    event__host(c, "host.labelled", h, details_str(&d, "by", str_of(p->name)));
    return 0;
}

int host_forget(struct control *c, const struct principal *p, struct str host, struct err *err)
{
    int r;
    struct details d = { 0 };
    struct host *h = begin(c, p, VERB_HOST_FORGET, host, &r, err);
    if (!h)
        return r;
    details_str(&d, "name", str_of(h->name));
    audit__ok(c, p, VERB_HOST_FORGET, str_of(h->uuid), &d);
    event__host(c, "host.forgotten", h, details_str(&d, "by", str_of(p->name)));
    host__remove(c, h, "host.unknown", "an operator forgot this host: enrol again");
    return 0;
}
