/* control/enroll.c - how a host becomes one. Loop thread.
 *
 * Asking is idempotent by the key in the request: the first ask makes a host (pending, or approved by a token
 * that says so), later ones answer what it is now, with a fresh certificate when it is approved. So an answer
 * that got lost costs nothing. */
#include "base/pki.h"

#include "control/accent.h"
#include "control/noun.h"

enum { RETRY_FIRST_S = 5, RETRY_MAX_S = 60, REASON_MAX = 256 };

/* -- refusals */
static int refuse(struct control *c, const struct enroll_request *rq, int r, const struct err *err)
{
    struct details d = { 0 };
    c->stats.enroll_refused++;
    details_str(details_str(&d, "why", str_of(err->text)), "hostname", rq->claims.hostname);
    refusal__row(c, REFUSED_CALLER, "", rq->peer_addr, "host.enroll", rq->claims.hostname, "denied", err->slug, &d);
    return r;
}

static int limited(struct control *c, const struct enroll_request *rq, struct enroll_answer *ret, usec_t wait, struct err *err)
{
    ret->retry_after = wait > USEC_PER_SEC ? wait : USEC_PER_SEC;
    err_set(err, -EBUSY, "enroll.rate_limited", "too many enrolment requests: ask again in %llu s",
            (unsigned long long)((ret->retry_after + USEC_PER_SEC - 1) / USEC_PER_SEC));
    return refuse(c, rq, -EBUSY, err);
}

/* Is the caller let in at all? A valid token meets the global limit only; without one the cheap per-address
 * limit stands before anything that costs. */
static int admit(struct control *c, const struct enroll_request *rq, const struct token *t,
                 struct enroll_answer *ret, struct err *err)
{
    usec_t wait = 0, now = control__mono(c);
    const struct rate global = { c->conf.enroll_per_s, 2.0 * c->conf.enroll_per_s };
    if (t && token_check(&t->t, control__wall(c)) == TOKEN_OK) {
        if (!bucket_take(&c->enroll_bucket, &global, now, 1, &wait))
            return limited(c, rq, ret, wait, err);
        return 0;
    }
    if (!admission_take(c->admission, 'w', str_of(rq->peer_addr), &c->conf.admission.enroll_work, now, &wait))
        return limited(c, rq, ret, wait, err);
    return 0;
}

static int token_refused(struct control *c, const struct enroll_request *rq, const struct token *t,
                         struct err *err)
{
    enum token_verdict v = t ? token_check(&t->t, control__wall(c)) : TOKEN_OK;
    if (!t)
        err_set(err, -EACCES, "token.unknown", "this install token is not known here");
    else if (v == TOKEN_USED_UP)
        err_set(err, -EACCES, token_verdict_slug(v),
                "this install token has been used up: ask for a new one");
    else if (v == TOKEN_EXPIRED)
        err_set(err, -EACCES, token_verdict_slug(v), "this install token has expired: ask for a new one");
    else
        err_set(err, -EACCES, token_verdict_slug(v), "this install token was revoked: ask for a new one");
    return refuse(c, rq, -EACCES, err);
}

/* -- deciding */
void enroll__decide(struct control *c, struct host *h, enum host_state to, const char *by)
{
    c->n_pending -= h->state == HOST_PENDING;
    h->state = (uint8_t)to;
    c->n_pending += h->state == HOST_PENDING;
    h->decided_at = control__wall(c);
    intern__put(c, h->decided_by);
    h->decided_by = intern__get(c, str_of(by));
    free(TAKE(h->decided_why));
    host__timer(c, h);
    noun__host_decided(c, h->id);
}

static void set_why(struct control *c, struct host *h, struct str reason)
{
    arena_reset(c->scratch);
    h->decided_why = text__dup_or_null(text__clean(c->scratch, reason, REASON_MAX));
}

/* What the host hears of it: why, not who: an operator's name is nobody's business out there. */
struct turned_away {
    char text[REASON_MAX + 64];
};
static const char *turned_away(const struct host *h, struct turned_away *room)
{
    snprintf(room->text, sizeof(room->text), "an operator %s this host%s%s", h->state == HOST_REJECTED ? "rejected" : "revoked",
             h->decided_why ? ": " : "", h->decided_why ? h->decided_why : "");
    return room->text;
}

static void set_labels(struct control *c, struct host *h, const struct kv_list *labels)
{
    arena_reset(c->scratch);
    struct kv_list *packed = kv__pack(labels, c->scratch);
    free(h->labels);
    h->labels = packed;
}

/* A use is taken once per host: polls by the same key never take another. */
static void take_token(struct control *c, struct host *h, struct token *t, const char *peer)
{
    char by[32];
    struct details d = { 0 };
    token__use(c, t);
    h->token_id = t->t.id;
    if (t->labels->n)
        set_labels(c, h, t->labels);
    if (!token__may_approve(c, t))
        return;
    snprintf(by, sizeof(by), "token:%llu", (unsigned long long)t->t.id);
    enroll__decide(c, h, HOST_APPROVED, by);
    details_str(details_u64(&d, "token", t->t.id), "name", str_of(h->name));
    audit__row(c, by, peer, "host.approve", str_of(h->uuid), "ok", NULL, &d);
    event__host(c, "host.approved", h, &(struct details){ 0 });
}

/* A host asks for the first time. */
static int make_host(struct control *c, const struct enroll_request *rq, const uint8_t key[SHA256_LEN],
                     struct token *t, struct enroll_answer *ret, struct host **ret_h, struct err *err)
{
    usec_t wait = 0;
    struct details d = { 0 };
    if (!t) {
        if (!admission_take(c->admission, 'e', str_of(rq->peer_addr), &c->conf.admission.enroll_address,
                            control__mono(c), &wait))
            return limited(c, rq, ret, wait, err);
    }
    if (c->n_pending >= LIMIT_PENDING_HOSTS && !(t && token__may_approve(c, t))) {
        ret->retry_after = USEC_PER_MIN;
        err_set(err, -EBUSY, "enroll.full", "%d requests wait for an operator already", LIMIT_PENDING_HOSTS);
        return refuse(c, rq, -EBUSY, err);
    }
    struct host *h = host__add(c, key, rq->claims.hostname);
    h->state = HOST_PENDING;
    c->n_pending++;
    host__take_claims(c, h, &rq->claims);
    h->peer = xstrdup(rq->peer_addr ? rq->peer_addr : "");
    details_str(details_str(&d, "name", str_of(h->name)), "peer", str_of(h->peer));
    if (t)
        details_u64(&d, "token", t->t.id);
    audit__row(c, "", rq->peer_addr, "host.enroll", str_of(h->uuid), "ok", NULL, &d);
    event__host(c, "agent.registered", h, &d);
    if (t)
        take_token(c, h, t, rq->peer_addr);
    if (h->state == HOST_PENDING)
        event__host(c, "host.pending", h, &d);
    host__timer(c, h);
    host__put(c, h);
    *ret_h = h;
    return 0;
}

/* It asked before: news about it, and a token it did not have the first time. */
static int ask_again(struct control *c, const struct enroll_request *rq, struct host *h, struct token *t,
                     struct err *err)
{
    enum host_state to;
    int r = enroll_step((enum host_state)h->state, ENROLL_ASK_AGAIN, &to, err);
    if (r < 0)
        return r;
    bool is_changed = host__take_claims(c, h, &rq->claims);
    if (rq->peer_addr && (!h->peer || strcmp(h->peer, rq->peer_addr) != 0)) {
        free(h->peer);
        h->peer = xstrdup(rq->peer_addr);
    }
    bool is_waiting = h->state == HOST_PENDING;
    if (is_waiting && rq->token_code.len && !(t && h->token_id == t->t.id)) {
        if (!t || token_check(&t->t, control__wall(c)) != TOKEN_OK) {
            if (is_changed)
                host__put(c, h);
            return token_refused(c, rq, t, err);
        }
        take_token(c, h, t, rq->peer_addr);
        is_changed = true;
    }
    if (is_changed)
        host__put(c, h);
    return 0;
}

static int answer(struct control *c, const struct enroll_request *rq, struct host *h,
                  struct enroll_answer *ret, struct err *err)
{
    struct turned_away why;
    ret->state = (enum host_state)h->state;
    memcpy(ret->host_uuid, h->uuid, sizeof(ret->host_uuid));
    switch (ret->state) {
    case HOST_PENDING: {
        uint64_t s = RETRY_FIRST_S + h->poll_step;
        h->poll_step = (uint8_t)(s < RETRY_MAX_S ? h->poll_step + 1 + h->poll_step / 4 : h->poll_step);
        ret->retry_after = (s < RETRY_MAX_S ? s : RETRY_MAX_S) * USEC_PER_SEC;
        ret->message = "waiting for an operator to approve this host";
        return 0;
    }
    case HOST_REJECTED:
    case HOST_REVOKED:
        arena_reset(c->scratch);
        ret->message = arena_str(c->scratch, str_of(turned_away(h, &why))).ptr;
        return 0;
    case HOST_APPROVED:
        break;
    }
    free(c->lent_cert);
    c->lent_cert = NULL;
    int r = cert__issue(c, h, rq->csr_pem, &c->lent_cert, err);
    if (r < 0)
        return r;
    ret->certificate_pem = c->lent_cert;
    ret->ca_pem = c->ca_pem;
    ret->message = "approved";
    return 0;
}

int enroll_ask(struct control *c, const struct enroll_request *rq, struct enroll_answer *ret, struct err *err)
{
    uint8_t key[SHA256_LEN];
    *ret = (struct enroll_answer){ .retry_after = RETRY_FIRST_S * USEC_PER_SEC };
    c->stats.enroll_requests++;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    struct token *t = rq->token_code.len ? token__by_code(c, rq->token_code) : NULL;
    int r = admit(c, rq, t, ret, err);
    if (r < 0)
        return r;
    r = pki_csr_check(rq->csr_pem, key, err);
    if (r < 0) {
        err_set(err, -EINVAL, "csr.bad",
                "the certificate request is not one we can use: Ed25519 or P-256, PEM, signed");
        return refuse(c, rq, -EINVAL, err);
    }

    struct host *h = host__by_key(c, key);
    if (h && h->state == HOST_PENDING &&
        enroll_is_expired(accent__asked_at(h), c->conf.pending_ttl, control__wall(c))) {
        enroll__pending_due(c, h);
        h = NULL;
    }
    if (h) {
        r = ask_again(c, rq, h, t, err);
    } else {
        if (rq->token_code.len && (!t || token_check(&t->t, control__wall(c)) != TOKEN_OK))
            return token_refused(c, rq, t, err);
        r = make_host(c, rq, key, t, ret, &h, err);
    }
    return r < 0 ? r : answer(c, rq, h, ret, err);
}

/* Nobody decided in time. */
void enroll__pending_due(struct control *c, struct host *h)
{
    struct details d = { 0 };
    details_str(&d, "name", str_of(h->name));
    audit__row(c, PRINCIPAL_NAME_SERVER, NULL, "host.expire", str_of(h->uuid), "ok", NULL, &d);
    event__host(c, "host.forgotten", h, details_str(&d, "reason", STR("nobody approved it in time")));
    host__remove(c, h, "host.unknown", "this request expired");
}

/* -- operators */
/* A newcomer chooses what it calls itself, so a name that somebody else waiting under could mean must not decide: "vm" is not "vm-2"
 * to the operator who reads two requests of "vm". An id always means one host. */
static bool is_ambiguous(const struct control *c, const struct host *h, struct str name)
{
    if (c->n_pending == 0 || host__by_uuid(c, name) == h)
        return false;
    for (size_t i = 0; i < c->hosts.n; i++) {
        const struct host *o = c->hosts.v[i];
        if (o != h && o->state == HOST_PENDING && str_eq(o->claims->hostname, name))
            return true;
    }
    return false;
}

static struct host *begin(struct control *c, const struct principal *p, enum verb v, enum enroll_verb ev,
                          struct str name, enum host_state *ret_to, int *ret_r, struct err *err)
{
    *ret_r = authz(c, p, v, name, err);
    if (*ret_r < 0)
        return NULL;
    if (control_refuses_writes(c, err)) {
        *ret_r = -EAGAIN;
        return NULL;
    }
    struct host *h = host__find(c, name, err);
    if (h && h->state == HOST_PENDING && enroll_is_expired(accent__asked_at(h), c->conf.pending_ttl, control__wall(c))) {
        enroll__pending_due(c, h); /* the wall clock was set: its timer goes by another */
        h = host__find(c, name, err);
    }
    if (h && ev != ENROLL_REVOKE && is_ambiguous(c, h, name))
        *ret_r = err_set(err, -EEXIST, "host.ambiguous", "several hosts could be meant by %.*s, and one of them waits: say its id",
                         STR_FMT(str_sub(name, 0, 200)));
    else
        *ret_r = h ? enroll_step((enum host_state)h->state, ev, ret_to, err) : -ENOENT;
    if (*ret_r == 0)
        return h;
    audit__refused(c, p, v, name, *ret_r, err);
    return NULL;
}

/* A reporter's token may lie on the very host that was revoked: whoever it is of, it forgets nothing, and is nobody's word that a decision was
 * his. */
int enroll__may_leave(struct control *c, const struct principal *p, const struct host *h, struct err *err)
{
    const struct credential *cr = p->kind == PRINCIPAL_KEY ? credential_by_id(c, p->token_id) : NULL;
    struct principal as = *p;
    if (cr)
        principal_of_credential(cr, p->name, &as);
    bool may_forget = (cr || p->kind != PRINCIPAL_KEY) && policy_allows(as.role, VERB_HOST_FORGET);
    bool is_own = p->kind == PRINCIPAL_SESSION && h->decided_by && strcmp(h->decided_by, p->name) == 0;
    return enroll_let_go((enum host_state)h->state, may_forget, is_own, h->name, err);
}

/* What @h claims, under what operators gave it, on the token or since. A claim that could never be a label is left out. */
static int accept_claims(const struct host *h, struct kv room[LIMIT_LABELS], struct kv_list *ret, struct err *err)
{
    struct kv fit[LIMIT_LABELS];
    struct kv_list add = { fit, 0 };
    for (size_t i = 0; i < h->claims->labels.n && add.n < LIMIT_LABELS; i++) {
        const struct kv *kv = &h->claims->labels.v[i];
        if (!kv__get(h->labels, kv->key).ptr && label_check(kv->key, kv->value, NULL) == 0)
            fit[add.n++] = *kv;
    }
    return host__merge_labels(h->labels, &add, room, ret, err);
}

int enroll_approve(struct control *c, const struct principal *p, struct str host, bool accept_labels,
                   struct str name, struct err *err)
{
    int r;
    enum host_state to;
    struct details d = { 0 };
    struct host *h = begin(c, p, VERB_HOST_APPROVE, ENROLL_APPROVE, host, &to, &r, err);
    if (!h)
        return r;
    if (name.len && !str_is(name, h->name)) {
        r = host__check_name(c, h, name, err);
        if (r < 0)
            return audit__refused(c, p, VERB_HOST_APPROVE, host, r, err);
    }
    if (accept_labels) {
        struct kv room[LIMIT_LABELS];
        struct kv_list merged;
        r = accept_claims(h, room, &merged, err);
        if (r < 0)
            return audit__refused(c, p, VERB_HOST_APPROVE, host, r, err);
        set_labels(c, h, &merged);
    }
    if (name.len && !str_is(name, h->name))
        host__set_name(c, h, name);
    enroll__decide(c, h, to, p->name);
    host__put(c, h);
    details_str(&d, "name", str_of(h->name));
    details_str(&d, "labels", accept_labels ? STR("accepted") : STR_NONE);
    audit__ok(c, p, VERB_HOST_APPROVE, str_of(h->uuid), &d);
    event__host(c, "host.approved", h, details_str(&d, "by", str_of(p->name)));
    return 0;
}

int enroll_reject(struct control *c, const struct principal *p, struct str host, struct str reason,
                  struct err *err)
{
    int r;
    enum host_state to;
    struct details d = { 0 };
    struct host *h = begin(c, p, VERB_HOST_REJECT, ENROLL_REJECT, host, &to, &r, err);
    if (!h)
        return r;
    enroll__decide(c, h, to, p->name);
    set_why(c, h, reason);
    host__put(c, h);
    details_str(details_str(&d, "name", str_of(h->name)), "reason", reason);
    audit__ok(c, p, VERB_HOST_REJECT, str_of(h->uuid), &d);
    event__host(c, "host.rejected", h, details_str(&d, "by", str_of(p->name)));
    return 0;
}

int enroll_revoke(struct control *c, const struct principal *p, struct str host, struct str reason,
                  struct err *err)
{
    int r;
    enum host_state to;
    struct details d = { 0 };
    struct turned_away why;
    struct task *t, *next;
    struct host *h = begin(c, p, VERB_HOST_REVOKE, ENROLL_REVOKE, host, &to, &r, err);
    if (!h)
        return r;
    enroll__decide(c, h, to, p->name);
    set_why(c, h, reason);
    host__put(c, h);
    DL_FOREACH_SAFE(h->tasks, t, next)
    task__input(c, t, TASK_IN_HOST_GONE, "the host was revoked");
    details_str(details_str(&d, "name", str_of(h->name)), "reason", reason);
    audit__ok(c, p, VERB_HOST_REVOKE, str_of(h->uuid), &d);
    event__host(c, to == HOST_REVOKED ? "host.revoked" : "host.rejected", h,
                details_str(&d, "by", str_of(p->name)));
    if (h->link)
        link__cut(c, h->link, "host.revoked", turned_away(h, &why), true);
    return 0;
}
