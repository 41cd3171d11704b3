/* control/run_agents.c - agents of runs: registered, proven, seen, chosen, waited for, revoked. Loop thread.
 *
 * An agent is a host of the fleet by its alias ("argus", agent id), plus what only runs want to know: whose it is, under which host
 * name and label it serves. Its token is a credential of that host. */
#include "base/rand.h"
#include "base/text.h"

#include "control/run_priv.h"

enum { SAVE_SEEN_US = 60 * 1000 * 1000, EVERY_US = 45 * 1000 * 1000 }; /* late after two of these: the badge's 90 s */
static const char dialect[] = "argus";

/* -- rows */
static void put(struct control *c, struct run_agent *a)
{
    a->saved_mono = control__mono(c);
    store_put_object(c->store, OBJECT_RUN_AGENT, a->id, a->row.owner_id, &run_agent_record, &a->row);
}

static struct run_agent *file(struct control *c, uint64_t id, const struct run_agent_row *row)
{
    struct run_agent *a = xnew0(struct run_agent);
    a->id = id;
    a->row = *row;
    run__own(&run_agent_record, &a->row);
    HASH_ADD_KEYPTR(hh, run__book(c)->agents, a->row.agent_id.ptr, a->row.agent_id.len, a);
    return a;
}

static void drop(struct control *c, struct run_agent *a)
{
    HASH_DEL(run__book(c)->agents, a);
    run__drop(&run_agent_record, &a->row);
    free(a);
}

static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    (void)parent;
    struct run_agent *a = file(ctx, id, obj);
    const struct host *h = host__by_id(ctx, a->row.host_id);
    /* Its host's last sighting is saved more often, and is its own where nobody else speaks for the host. */
    if (h && accent__is_all(h, dialect, a->row.agent_id) && h->last_seen > a->row.last_seen)
        a->row.last_seen = h->last_seen;
}

int run__load_agents(struct control *c, struct err *err)
{
    return store_load_objects(c->store, OBJECT_RUN_AGENT, &run_agent_record, load_one, c, err);
}

void run__free_agents(struct control *c)
{
    while (run__book(c)->agents)
        drop(c, run__book(c)->agents);
}

static struct run_agent *by_name(const struct control *c, struct str agent_id)
{
    struct run_agent *a = NULL;
    HASH_FIND(hh, run__book(c)->agents, agent_id.ptr ? agent_id.ptr : "", agent_id.len, a);
    return a;
}

usec_t run__agent_heard_at(const struct control *c, struct str agent_id)
{
    const struct run_agent *a = by_name(c, agent_id);
    return a ? a->row.last_seen : 0;
}

struct run_agent *run__agent(const struct control *c, uint64_t id)
{
    for (struct run_agent *a = run__book(c)->agents; a; a = a->hh.next)
        if (a->id == id)
            return a;
    return NULL;
}

bool run__agent_lives(struct control *c, const struct run_agent *a)
{
    const struct host *h = host__by_id(c, a->row.host_id);
    const struct user *u = a->row.owner_id ? user__by_id(c, a->row.owner_id) : NULL;
    if (a->row.owner_id && (!u || u->is_disabled))
        return false;
    return h && h->state == HOST_APPROVED && credential__still_holds(c, a->row.credential_id);
}

/* -- the choice */
static bool has_capability(const struct run_agent *a, const char *name)
{
    bool says_any = false;
    for (size_t i = 0; i < a->row.capabilities.n; i++) {
        if (str_is(a->row.capabilities.v[i], name))
            return true;
        says_any |= !str_starts(a->row.capabilities.v[i], STR("label="));
    }
    return !says_any; /* one that says nothing does all */
}

struct run_agent *run__route(struct control *c, const struct run *r, enum run_command_kind kind)
{
    struct run_agent *best = NULL;
    struct run_route best_route = { 0 };
    const struct run_target target = { r->row.route_owner_id, r->row.host, r->row.os_user };
    for (struct run_agent *a = run__book(c)->agents; a; a = a->hh.next) {
        const struct run_route route = {
            .owner_id = a->row.owner_id,
            .hostname = a->row.hostname,
            .label = a->row.label,
            .is_shared = a->row.is_shared && a->row.owner_id != target.owner_id,
            .can_do = has_capability(a, name_of(run_command_kind_names, (int)kind)) && run__agent_lives(c, a),
            .last_seen = a->row.last_seen,
        };
        if (!run_agent_serves(&route, &target) || (best && !run_agent_is_better(&route, &best_route)))
            continue;
        best = a;
        best_route = route;
    }
    return best;
}

/* A sign of life is saved once a minute, and that the server was away is not the agent's fault. */
static enum run_agent_badge badge_of(const struct control *c, const struct run_agent *a)
{
    return run_agent_badge_at(presence__heard(c, a->row.last_seen, SAVE_SEEN_US), control__wall(c));
}

void run__serving(struct control *c, const struct run *r, bool *ret_any, bool *ret_online)
{
    const struct run_target target = { r->row.route_owner_id, r->row.host, r->row.os_user };
    *ret_any = *ret_online = false;
    for (const struct run_agent *a = run__book(c)->agents; a; a = a->hh.next) {
        const struct run_route route = { .owner_id = a->row.owner_id,
                                         .hostname = a->row.hostname,
                                         .label = a->row.label,
                                         .is_shared = a->row.is_shared,
                                         .can_do = true };
        if (!run_agent_serves(&route, &target) || !has_capability(a, "rerun") || !run__agent_lives(c, a))
            continue;
        *ret_any = true;
        *ret_online |= badge_of(c, a) == RUN_AGENT_ONLINE;
    }
}

/* -- proof and signs of life */
static void seen(struct control *c, struct run_agent *a, const char *peer)
{
    struct err err = { 0 };
    a->row.last_seen = control__wall(c);
    if (control__mono(c) - a->saved_mono >= SAVE_SEEN_US && store_health(c->store, NULL) == 0) {
        a->saved_mono = control__mono(c);
        store_put_object_often(c->store, OBJECT_RUN_AGENT, a->id, a->row.owner_id, &run_agent_record, &a->row);
    }
    if (accent_seen(c, a->row.host_id, peer, NULL, EVERY_US, &err) < 0)
        log_debug("run_agent.seen", "a sign of life was not taken", LOG_ERR(&err));
}

static int refuse(struct control *c, struct str agent_id, const char *peer, struct err *err)
{
    char who[80];
    snprintf(who, sizeof(who), "%.*s", STR_FMT(str_sub(agent_id, 0, 64)));
    return credential_refused(c, who, peer, err);
}

static int prove(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent **ret, struct err *err)
{
    const struct credential *cr;
    struct run_agent *a;
    if (!bearer.ptr) {
        err_set(err, -EACCES, "auth.required", "this needs the agent's token: Authorization: Bearer ag_live_...");
        return authn_refused(c, peer, err);
    }
    if (credential_check(c, SECRET_ARGUS_AGENT, bearer, peer, &cr, err) < 0) {
        bool is_expired = strcmp(err->slug, "auth.expired") == 0;
        err_set(err, -EACCES, is_expired ? "auth.expired" : "auth.bad_credential", "this agent token is %s",
                is_expired ? "too old"
                : cr       ? "revoked"
                           : "not known here");
        return refuse(c, agent_id, peer, err);
    }
    a = by_name(c, agent_id);
    if (!a || a->row.credential_id != cr->id) /* whose, then? */
        for (a = run__book(c)->agents; a && a->row.credential_id != cr->id;)
            a = a->hh.next;
    if (!a || !run__agent_lives(c, a)) {
        err_set(err, -EACCES, "auth.disabled", "this agent's host or owner is not active here");
        return refuse(c, agent_id, peer, err);
    }
    if (!str_eq(a->row.agent_id, agent_id)) {
        err_set(err, -EACCES, "run_agent.denied", "this token belongs to another agent");
        return refuse(c, a->row.agent_id, peer, err);
    }
    *ret = a;
    return 0;
}

static struct run_agent_ref ref_of(const struct run_agent *a)
{
    struct run_agent_ref ref = { .id = a->id, .host_id = a->row.host_id, .owner_id = a->row.owner_id };
    snprintf(ref.agent_id, sizeof(ref.agent_id), "%.*s", STR_FMT(a->row.agent_id));
    return ref;
}

int run_agent_check(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent_ref *ret,
                    struct err *err)
{
    struct run_agent *a;
    int r = prove(c, agent_id, bearer, peer, &a, err);
    if (r < 0)
        return r;
    seen(c, a, peer);
    *ret = ref_of(a);
    return 0;
}

int run_agent_still_holds(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent_ref *ret,
                          struct err *err)
{
    struct run_agent *a;
    int r = prove(c, agent_id, bearer, peer, &a, err);
    if (r < 0)
        return r;
    *ret = ref_of(a);
    return 0;
}

/* -- becoming known */
static struct run_agent *same_identity(const struct control *c, uint64_t owner_id, struct str hostname, struct str label,
                                       uint32_t *ret_n)
{
    struct run_agent *found = NULL;
    *ret_n = 0;
    for (struct run_agent *a = run__book(c)->agents; a; a = a->hh.next) {
        if (a->row.owner_id != owner_id)
            continue;
        ++*ret_n;
        if (str_eq(a->row.hostname, hostname) && str_eq(a->row.label, label))
            found = a;
    }
    return found;
}

static int check_registration(struct control *c, const struct principal *p, const struct run_registration *rq,
                              struct str *ret_label, struct err *err)
{
    *ret_label = STR_NONE;
    if (!run_may_write(c, p))
        return err_set(err, -EACCES, "run.read_only", "a viewer's token registers no agent");
    if (!run_text_is_acceptable(rq->hostname, 253)) {
        err_set(err, -EINVAL, "field.invalid", "a host name is 1 to 253 characters without control characters");
        err_path(err, "hostname");
        return -EINVAL;
    }
    for (size_t i = 0; i < rq->capabilities.n; i++) {
        struct str cap = rq->capabilities.v[i];
        if (str_starts(cap, STR("label=")) && !(*ret_label = run_label_of(cap)).len) {
            err_set(err, -EINVAL, "field.invalid", "a label is 1 to %d of A-Z a-z 0-9 _ . @ -", RUN_LABEL_MAX);
            err_path(err, "capabilities");
            return -EINVAL;
        }
    }
    return control_refuses_writes(c, err) ? -EAGAIN : 0;
}

/* The host's row under the agent's id. */
static int meet(struct control *c, const struct principal *p, const struct run_registration *rq, struct str agent_id,
                uint64_t *ret_host, struct err *err)
{
    char by[180];
    bool is_new;
    snprintf(by, sizeof(by), "argus:%s", p->name);
    const struct sighting s = {
        .dialect = dialect,
        .external_id = agent_id,
        .name = rq->hostname,
        .claims = { .hostname = rq->hostname, .agent_version = rq->version },
        .peer_addr = rq->peer,
        .approved_by = by,
        .every = EVERY_US,
    };
    return accent_meet(c, &s, ret_host, &is_new, err);
}

static void take_lists(struct control *c, struct run_agent *a, const struct run_registration *rq)
{
    struct run_agent_row row = a->row;
    row.capabilities = rq->capabilities;
    row.version = rq->version;
    struct run_agent_row copy = row;
    run__own(&run_agent_record, &copy);
    run__set(c, &a->row.version, rq->version, 64);
    struct str_list old = a->row.capabilities;
    a->row.capabilities = copy.capabilities;
    copy.capabilities = old;
    run__drop(&run_agent_record, &copy);
}

int run_agent_register(struct control *c, const struct principal *p, const struct run_registration *rq, struct run_registered *ret,
                       struct err *err)
{
    struct str label;
    uint32_t n_own;
    uint8_t random[6];
    char name[32] = "agent-";
    struct details d = { 0 };
    uint64_t host_id = 0;
    int r = check_registration(c, p, rq, &label, err);
    struct run_agent *a = r == 0 ? same_identity(c, p->user_id, rq->hostname, label, &n_own) : NULL;
    if (r == 0 && !a && (n_own >= RUN_AGENTS_PER_OWNER || HASH_COUNT(run__book(c)->agents) >= RUN_AGENTS_MAX))
        r = err_set(err, -EBUSY, "run.too_many", "too many agents are registered");
    if (r == 0 && !a) {
        rand_bytes(random, sizeof(random));
        hex_encode(random, sizeof(random), name + 6);
    }
    if (r == 0)
        r = meet(c, p, rq, a ? a->row.agent_id : str_of(name), &host_id, err);
    if (r < 0)
        return r == -EAGAIN ? r : run__refused(c, p, "run_agent.register", rq->hostname, err);
    if (!a) {
        const struct run_agent_row row = {
            .agent_id = str_of(name), .host_id = host_id, .owner_id = p->user_id, .hostname = rq->hostname, .label = label
        };
        a = file(c, object__next(c, OBJECT_RUN_AGENT), &row);
    } else {
        credential_forget(c, a->row.credential_id); /* rotation: the old text is dead from here */
    }
    take_lists(c, a, rq);
    const struct credential_wish w = {
        .kind = SECRET_ARGUS_AGENT,
        .name = a->row.agent_id,
        .scope = STR("agent"),
        .host_id = host_id,
        .user_id = p->user_id,
        .parent_id = p->kind == PRINCIPAL_KEY ? p->token_id : 0,
        .expires_at = rq->life ? control__wall(c) + rq->life : 0,
        .created_by = str_of(p->name),
    };
    const struct credential *cr = credential_make(c, &w, ret->token);
    a->row.credential_id = cr ? cr->id : 0;
    a->row.host_id = host_id;
    a->row.registered_at = a->row.last_seen = control__wall(c);
    put(c, a);
    if (!cr)
        return err_set(err, -EBUSY, "run.too_many", "too many keys are known here");
    seen(c, a, rq->peer);
    (void)accent_tell(c, host_id, dialect, a->row.agent_id, rq->told, rq->n_told);
    snprintf(ret->agent_id, sizeof(ret->agent_id), "%.*s", STR_FMT(a->row.agent_id));
    snprintf(ret->label, sizeof(ret->label), "%.*s", STR_FMT(a->row.label));
    details_str(details_str(&d, "hostname", a->row.hostname), "label", a->row.label);
    details_str(&d, "token", cr->hint);
    audit__row(c, p->name, rq->peer, "run_agent.register", a->row.agent_id, "ok", NULL, &d);
    run__deliver_waiting(c, a);
    return 0;
}

/* -- long polls: woken when what there is to fetch is on disk, never from within a verb */
static void wake_now(struct control *c, void *arg)
{
    struct run_waiter *w = arg;
    (void)c; /* also when control ends: whoever waits has to let go */
    w->wake(w->ctx);
    free(w);
}

void run__wake(struct control *c, uint64_t agent_id)
{
    struct run_book *b = run__book(c);
    for (size_t i = 0; i < b->waiters.n; i++) {
        struct run_waiter w = b->waiters.v[i];
        if (w.agent != agent_id)
            continue;
        vec_del_swap(&b->waiters, i);
        struct run_waiter *copy = xnew0(struct run_waiter);
        *copy = w;
        commit_after(c, wake_now, copy);
        return;
    }
}

void run_poll_wait(struct control *c, const struct run_agent_ref *a, usec_t wait, void (*wake)(void *ctx), void *ctx)
{
    run__wake(c, a->id); /* the one before */
    *vec_add(&run__book(c)->waiters) = (struct run_waiter){ a->id, control__mono(c) + wait, wake, ctx };
}

/* -- for people */
static void view(struct control *c, const struct principal *p, const struct run_agent *a, struct run_agent_view *ret)
{
    const struct host *h = host__by_id(c, a->row.host_id);
    bool lives = run__agent_lives(c, a);
    *ret = (struct run_agent_view){
        .id = a->id,
        .row = &a->row,
        .owner = run_person(c, a->row.owner_id),
        .badge = lives ? badge_of(c, a) : RUN_AGENT_OFFLINE,
        .is_revoked = !lives,
        .may_change = run_may_write(c, p) && (p->role == ROLE_ADMIN || run__is_owner(p, a->row.owner_id)),
        .n_running = h ? h->n_active : 0,
    };
}

static bool may_see(const struct principal *p, const struct run_agent *a)
{
    return p->role == ROLE_ADMIN || a->row.is_shared || run__is_owner(p, a->row.owner_id);
}

static int by_age(struct run_agent *a, struct run_agent *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

void run_agent_list(struct control *c, const struct principal *p, void (*fn)(void *ctx, const struct run_agent_view *a), void *ctx)
{
    struct run_book *b = run__book(c);
    HASH_SORT(b->agents, by_age);
    for (struct run_agent *a = b->agents; a; a = a->hh.next)
        if (may_see(p, a)) {
            struct run_agent_view v;
            view(c, p, a, &v);
            fn(ctx, &v);
        }
}

static struct run_agent *find(struct control *c, const struct principal *p, struct str agent_id, struct err *err)
{
    struct run_agent *a = by_name(c, agent_id);
    if (a && may_see(p, a))
        return a;
    err_set(err, -ENOENT, "run_agent.unknown", "there is no agent %.*s", STR_FMT(str_sub(agent_id, 0, 64)));
    return NULL;
}

int run_agent_get(struct control *c, const struct principal *p, struct str agent_id, struct run_agent_view *ret, struct err *err)
{
    const struct run_agent *a = find(c, p, agent_id, err);
    if (!a)
        return -ENOENT;
    view(c, p, a, ret);
    return 0;
}

static int changeable(struct control *c, const struct principal *p, struct str agent_id, const char *verb, struct run_agent **ret,
                      struct err *err)
{
    struct run_agent_view v;
    struct run_agent *a = *ret = find(c, p, agent_id, err);
    if (!a)
        return run__refused(c, p, verb, agent_id, err);
    view(c, p, a, &v);
    if (!v.may_change) {
        err_set(err, -EACCES, "run.denied", "only the agent's owner or an admin may do that");
        return run__refused(c, p, verb, agent_id, err);
    }
    return control_refuses_writes(c, err) ? -EAGAIN : 0;
}

/* The owner's right to his agent is enough where the host is nothing else; the fleet's own verbs do the rest. */
static struct principal as_admin(const struct principal *p)
{
    struct principal q = *p;
    q.role = ROLE_ADMIN;
    return q;
}

/* Out of the book, with its token. */
static void forget(struct control *c, struct run_agent *a)
{
    credential_forget(c, a->row.credential_id);
    store_del_object(c->store, OBJECT_RUN_AGENT, a->id);
    run__wake(c, a->id);
    drop(c, a);
}

int run_agent_revoke(struct control *c, const struct principal *p, struct str agent_id, struct err *err)
{
    struct run_agent *a;
    int r = changeable(c, p, agent_id, "run_agent.revoke", &a, err);
    if (r < 0)
        return r;
    const struct host *h = host__by_id(c, a->row.host_id);
    run__audit(c, p, "run_agent.revoke", agent_id, NULL);
    credential_revoke(c, a->row.credential_id, false);
    run__wake(c, a->id);
    if (!h || h->state != HOST_APPROVED)
        return 0;
    if (p->role != ROLE_ADMIN && !accent__is_all(h, dialect, a->row.agent_id))
        return 0; /* linked: the token is his to take, the host is not */
    struct principal q = as_admin(p);
    return enroll_revoke(c, &q, str_of(h->uuid), STR("agent revoked"), err);
}

int run_agent_delete(struct control *c, const struct principal *p, struct str agent_id, struct err *err)
{
    struct run_agent *a;
    int r = changeable(c, p, agent_id, "run_agent.delete", &a, err);
    if (r < 0)
        return r;
    struct host *h = host__by_id(c, a->row.host_id);
    if (h)
        r = accent__let_go(c, p, h, dialect, a->row.agent_id, "its agent was deleted", err);
    if (r < 0)
        return run__refused(c, p, "run_agent.delete", agent_id, err);
    run__audit(c, p, "run_agent.delete", agent_id, NULL);
    if (r != ACCENT_HOST_GONE) /* else we have heard of it */
        forget(c, a);
    return 0;
}

int run_agent_share(struct control *c, const struct principal *p, struct str agent_id, bool is_shared, struct err *err)
{
    struct run_agent *a;
    struct details d = { 0 };
    int r = changeable(c, p, agent_id, "run_agent.share", &a, err);
    if (r == 0 && p->role != ROLE_ADMIN) {
        err_set(err, -EACCES, "run.denied", "only an admin lets everybody use an agent");
        r = run__refused(c, p, "run_agent.share", agent_id, err);
    }
    if (r < 0)
        return r;
    a->row.is_shared = is_shared;
    put(c, a);
    run__audit(c, p, "run_agent.share", agent_id, details_str(&d, "shared", is_shared ? STR("true") : STR("false")));
    if (is_shared)
        run__deliver_waiting(c, a);
    return 0;
}

/* -- what happens to the host */
void run__agent_host_gone(struct control *c, uint64_t host_id)
{
    struct run_agent *a, *next;
    HASH_ITER(hh, run__book(c)->agents, a, next)
    {
        if (a->row.host_id != host_id)
            continue;
        store_del_object(c->store, OBJECT_RUN_AGENT, a->id);
        run__wake(c, a->id);
        drop(c, a);
    }
}

/* A revoked host's credentials are revoked by their own book; a rejected one's die here. */
void run__agent_host_decided(struct control *c, uint64_t host_id)
{
    const struct host *h = host__by_id(c, host_id);
    if (!h || h->state == HOST_APPROVED)
        return;
    for (struct run_agent *a = run__book(c)->agents; a; a = a->hh.next) {
        if (a->row.host_id != host_id)
            continue;
        credential_revoke(c, a->row.credential_id, false);
        run__wake(c, a->id);
    }
}

void run__agent_host_linked(struct control *c, uint64_t host_id, uint64_t other_id)
{
    struct run_agent *a, *next;
    HASH_ITER(hh, run__book(c)->agents, a, next)
    if (a->row.host_id == other_id) {
        a->row.host_id = host_id;
        put(c, a);
    }
}
