/* control/report_register.c - how a reporter becomes known and gets its key. Loop thread.
 *
 * Registering is idempotent and is also how a reporter asks whether it was let in. The key is handed out by the first call that
 * finds it let in and without one; an answer that was lost is made good for the holder of the claim (fleet/report.h). */
#include "base/text.h"

#include "control/report_priv.h"

/* Requests with a key we know, per address: a site behind one address may have a thousand hosts. */
static const struct rate known_key_rate = { 100, 1000 };

/* -- refusals */
static int refuse(struct control *c, const struct register_ask *ask, int r, const struct err *err)
{
    char who[160];
    struct details d = { 0 };
    c->stats.enroll_refused++;
    snprintf(who, sizeof(who), "agent:%.*s", STR_FMT(str_sub(ask->uuid, 0, REPORT_UUID_MAX)));
    details_str(details_str(&d, "why", str_of(err->text)), "hostname", str_sub(ask->hostname, 0, REPORT_TEXT_MAX));
    refusal__row(c, REFUSED_CALLER, who, ask->peer, "report.register", ask->uuid, "denied", err->slug, &d);
    return r;
}

static int refuse_verdict(struct control *c, const struct register_ask *ask, enum register_verdict v, enum host_state state,
                          struct err *err)
{
    int r = -EACCES;
    switch (v) {
    case REGISTER_NO_KEY:
        err_set(err, r, "auth.bad_credential", "this enrollment key is not known here, or disabled");
        break;
    case REGISTER_KEY_EXPIRED:
        err_set(err, r, "enroll_key.expired", "this enrollment key has expired");
        break;
    case REGISTER_REFUSED:
        err_set(err, r, state == HOST_REVOKED ? "host.revoked" : "host.rejected", "this agent was %s",
                name_of(host_state_names, (int)state));
        break;
    case REGISTER_OTHER_KEY:
        r = err_set(err, -EEXIST, "enroll_key.other", "this agent came in with another enrollment key");
        break;
    case REGISTER_USED_UP:
        err_set(err, r, "enroll_key.used_up", "this enrollment key has had all its registrations");
        break;
    case REGISTER_CLAIM:
        err_set(err, r, "claim.bad", "this agent is claimed: register with the claim it was first registered with");
        log_warn("report.claim", "somebody registers for a claimed agent without its claim", LOG_STR("agent", ask->uuid),
                 LOG_CSTR("peer", ask->peer));
        break;
    case REGISTER_OK:
        break;
    }
    return refuse(c, ask, r, err);
}

static int limited(struct control *c, const struct register_ask *ask, struct register_answer *ret, usec_t wait, struct err *err)
{
    ret->retry_after = wait > USEC_PER_SEC ? wait : USEC_PER_SEC;
    err_set(err, -EBUSY, "enroll.rate_limited", "too many registrations from this address: ask again in %llu s",
            (unsigned long long)((ret->retry_after + USEC_PER_SEC - 1) / USEC_PER_SEC));
    return refuse(c, ask, -EBUSY, err);
}

/* -- claims */
static bool claim_hash(const struct register_ask *ask, char ret[SHA256_HEX_MAX])
{
    if (ask->claim.len)
        sha256_hex(ask->claim, ret);
    else if (ask->claim_sha256.len == 2 * SHA256_LEN)
        (void)str_copy(ask->claim_sha256, ret, SHA256_HEX_MAX);
    else
        return false;
    return true;
}

/* Only the claim itself proves anything, not its hash. */
static bool claim_is_right(const struct reporter *r, const struct register_ask *ask)
{
    char hash[SHA256_HEX_MAX];
    if (!r->row.claim.len || !ask->claim.len)
        return false;
    sha256_hex(ask->claim, hash);
    return secret_eq(str_of(hash), r->row.claim);
}

static int check_claim(const struct register_ask *ask, struct err *err)
{
    char hash[SHA256_HEX_MAX];
    if (!ask->claim.len || !ask->claim_sha256.len)
        return 0;
    sha256_hex(ask->claim, hash);
    if (str_eq(str_of(hash), ask->claim_sha256))
        return 0;
    return err_set(err, -EACCES, "claim.bad", "claim_sha256 is not the hash of the claim");
}

/* CERT_OK or CERT_BIND, or refused. */
static int check_cert(struct control *c, const struct register_ask *ask, const struct enroll_key *key, struct reporter *rp, struct err *err)
{
    bool is_first = !rp || !rp->row.last_registration_at;
    int cert = reporter__judge_cert(c, rp, key, &ask->client, is_first || claim_is_right(rp, ask), err);
    if (cert >= 0)
        return cert;
    cert = refuse(c, ask, cert, err);
    reporter__refused(c, rp, ask->peer, err);
    return cert;
}

/* -- taking what it says */
static void take(struct reporter *r, const struct register_ask *ask, usec_t now)
{
    const struct {
        struct str *dst;
        struct str value;
    } texts[] = {
        { &r->row.display_name, ask->display_name }, { &r->row.hostname, ask->hostname }, { &r->row.site_name, ask->site_name },
        { &r->row.version, ask->version },           { &r->row.platform, ask->platform }, { &r->row.release, ask->release },
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].value.len && !str_eq(*texts[i].dst, texts[i].value))
            report__set(texts[i].dst, texts[i].value);
    if (!str_eq(r->row.metadata.text, ask->metadata.text))
        report__set(&r->row.metadata.text, ask->metadata.text);
    report__set_list(&r->row.told_ips, ask->ips, ask->n_ips < REPORT_ADDRESSES_MAX ? ask->n_ips : REPORT_ADDRESSES_MAX);
    report__set_list(&r->row.told_macs, ask->macs, ask->n_macs < REPORT_ADDRESSES_MAX ? ask->n_macs : REPORT_ADDRESSES_MAX);
    r->row.n_told = ask->n_addresses;
    r->row.last_registration_at = now;
}

/* A host for a newcomer; the reporter beside it. */
static int make(struct control *c, const struct register_ask *ask, struct key_entry *key, const char *by, struct reporter **ret,
                struct err *err)
{
    char hash[SHA256_HEX_MAX];
    bool is_new;
    uint64_t host_id;
    const struct sighting s = {
        .dialect = REPORT_DIALECT,
        .external_id = ask->uuid,
        .name = ask->display_name.len ? ask->display_name : ask->hostname,
        .claims = { .hostname = ask->hostname,
                    .os = ask->platform,
                    .kernel = ask->release,
                    .agent_version = ask->version,
                    .addresses = { (struct str *)(uintptr_t)ask->ips, ask->n_ips } },
        .peer_addr = ask->peer,
        .approved_by = key->k.auto_approve ? by : NULL,
    };
    /* A name without a reporter, on a host whose reporter goes by another name: it is not that one. */
    int r = 0;
    if (accent_find(c, REPORT_DIALECT, ask->uuid, &host_id, NULL) == 0 && reporter__by_host(c, host_id)) {
        struct host *h = host__by_id(c, host_id);
        r = h->state == HOST_PENDING ? 0 : host__may_speak(h, err); /* one that was turned away stays so by that name, too */
        if (r == 0)
            accent__part(c, h, REPORT_DIALECT, ask->uuid);
    }
    if (r == 0)
        r = accent_meet(c, &s, &host_id, &is_new, err);
    if (r < 0)
        return refuse(c, ask, r, err);
    struct reporter *rp = reporter__new(c, host_id, ask->uuid);
    rp->row.enroll_key_id = key->k.id;
    rp->row.approval_required = !key->k.auto_approve;
    if (key->k.auto_approve)
        rp->row.approved_at = control__wall(c);
    reporter__set_policy(c, rp, key->k.policy_id);
    if (claim_hash(ask, hash))
        report__set(&rp->row.claim, str_of(hash));
    key->k.n_registrations++;
    *ret = rp;
    return 0;
}

static int hand_key(struct control *c, struct reporter *r, const struct register_ask *ask, struct register_answer *ret, struct err *err)
{
    const struct credential *key = reporter__key(c, r);
    const struct key_facts f = {
        .is_active = reporter__host_state(c, r) == HOST_APPROVED,
        .has_key = key != NULL,
        .key_is_used = r->row.key_is_used,
        .issued_at = r->row.key_issued_at,
        .has_claim = claim_is_right(r, ask),
    };
    char who[160];
    struct details d = { 0 };
    enum key_verdict v = key_judge(&f, control__wall(c));
    ret->is_active = f.is_active;
    if (v == KEY_NONE)
        return 0;
    snprintf(who, sizeof(who), "agent:%.*s", STR_FMT(r->row.uuid));
    int e = reporter__new_key(c, r, who, ret->api_key, err);
    if (e < 0)
        return refuse(c, ask, e, err);
    ret->is_reissue = v == KEY_REISSUE;
    if (!r->row.claim.len && !r->row.client_key.len)
        log_warn("report.unclaimed", "an API key was handed out without a claim: whoever has the enrollment key could have had it",
                 LOG_STR("agent", r->row.uuid), LOG_CSTR("peer", ask->peer));
    details_str(details_str(&d, "key", r->row.key_hint), "why", v == KEY_REISSUE ? STR("the first one was never used") : STR_NONE);
    audit__row(c, who, ask->peer, "report.key", r->row.uuid, "ok", NULL, &d);
    return 0;
}

static struct reporter *find(struct control *c, struct str uuid)
{
    uint64_t host_id;
    struct reporter *r = accent_find(c, REPORT_DIALECT, uuid, &host_id, NULL) == 0 ? reporter__by_host(c, host_id) : NULL;
    return r && str_eq(r->row.uuid, uuid) ? r : NULL;
}

/* Known and still waiting, for too long: the host row goes, so it is a newcomer. */
static bool is_stale(struct control *c, const struct reporter *r)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    return h && h->state == HOST_PENDING && enroll_is_expired(accent__asked_at(h), c->conf.pending_ttl, control__wall(c));
}

static struct register_facts facts_of(struct control *c, const struct key_entry *key, const struct reporter *rp,
                                      const struct register_ask *ask)
{
    struct register_facts f = { .key_is_known = key != NULL, .is_known = rp != NULL };
    if (key) {
        f.key_is_active = key->k.is_active;
        f.key_id = key->k.id;
        f.n_registrations = key->k.n_registrations;
        f.max_registrations = key->k.max_registrations;
        f.key_expires_at = key->k.expires_at;
    }
    if (rp) {
        f.state = reporter__host_state(c, rp);
        f.bound_key_id = rp->row.enroll_key_id;
        f.has_claim = rp->row.claim.len > 0;
        f.claim_is_right = claim_is_right(rp, ask);
    }
    return f;
}

int report_register(struct control *c, const struct register_ask *ask, struct register_answer *ret, struct err *err)
{
    const struct credential *cr;
    char by[REPORT_NAME_MAX * 4 + 32];
    usec_t wait = 0;
    *ret = (struct register_answer){ 0 };
    c->stats.enroll_requests++;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    int r = credential_check(c, SECRET_GRAPHEON_ENROLL, ask->enroll_key, ask->peer, &cr, err);
    struct key_entry *key = r == 0 ? enroll_key__by_credential(c, cr->id) : NULL;
    const struct rate *rate = key ? &known_key_rate : &c->conf.admission.enroll_work;
    if (!admission_take(c->admission, key ? 'g' : 'w', str_of(ask->peer), rate, control__mono(c), &wait))
        return limited(c, ask, ret, wait, err);

    struct reporter *rp = find(c, ask->uuid);
    if (key && rp && is_stale(c, rp)) {
        enroll__pending_due(c, host__by_id(c, rp->row.host_id));
        rp = NULL;
    }
    const struct register_facts f = facts_of(c, key, rp, ask);
    enum register_verdict v = register_judge(&f, control__wall(c));
    if (v != REGISTER_OK) {
        r = refuse_verdict(c, ask, v, f.state, err);
        if (key) /* else anybody could write something there who knows a uuid */
            reporter__refused(c, rp, ask->peer, err);
        return r;
    }
    r = check_claim(ask, err);
    if (r < 0)
        return refuse(c, ask, r, err);

    int cert = check_cert(c, ask, &key->k, rp, err);
    if (cert < 0)
        return cert;

    snprintf(by, sizeof(by), "enrollment key %.*s", STR_FMT(key->k.name));
    if (!rp) {
        r = make(c, ask, key, by, &rp, err);
        if (r < 0)
            return r;
    } else if (!rp->row.last_registration_at) { /* an operator wrote it in beforehand */
        char hash[SHA256_HEX_MAX];
        if (!rp->row.claim.len && claim_hash(ask, hash))
            report__set(&rp->row.claim, str_of(hash));
    }
    if (cert == CERT_BIND)
        reporter__bind_cert(c, rp, &ask->client, ask->peer);
    if (!rp->row.enroll_key_id)
        rp->row.enroll_key_id = key->k.id;
    if (!rp->row.policy_id)
        reporter__set_policy(c, rp, key->k.policy_id);
    take(rp, ask, control__wall(c));
    reporter__tell_host(c, rp, ask->peer, key->k.auto_approve ? by : NULL);
    key->k.last_used_at = control__wall(c);
    enroll_key__put(c, key);
    r = hand_key(c, rp, ask, ret, err);
    reporter__put(c, rp);
    ret->reporter_id = rp->row.id;
    return r;
}
