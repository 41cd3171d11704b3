/* control/report_agents.c - what operators do with reporters. The host's row decides; here is what an accent may do beyond what
 * `muster approve` allows, for no certificate is at stake: a reporter that was refused may be let in again, with a new key. */
#include "base/text.h"

#include "control/report_priv.h"

static int begin_as(struct control *c, const struct principal *p, enum verb v, uint64_t id, struct reporter **ret, char target[32],
                    struct err *err)
{
    snprintf(target, 32, "agent %llu", (unsigned long long)id);
    int r = report__begin(c, p, v, str_of(target), err);
    if (r < 0)
        return r;
    *ret = reporter__by_id(c, id);
    if (*ret)
        return 0;
    r = err_set(err, -ENOENT, "reporter.unknown", "there is no agent %llu", (unsigned long long)id);
    return audit__refused(c, p, v, str_of(target), r, err);
}

static int begin(struct control *c, const struct principal *p, uint64_t id, struct reporter **ret, char target[32], struct err *err)
{
    return begin_as(c, p, VERB_FOREIGN_AGENT, id, ret, target, err);
}

/* Who waits is decided about by whoever may decide about any host that waits (`muster approve`). Only administrators go back on a
 * decision. */
static enum verb verb_for(const struct control *c, uint64_t id, enum verb of_hosts)
{
    const struct reporter *r = reporter__by_id(c, id);
    return r && reporter__host_state(c, r) == HOST_PENDING ? of_hosts : VERB_FOREIGN_AGENT;
}

static void tell(struct control *c, const struct principal *p, const struct reporter *r, const char *action, struct str reason)
{
    struct details d = { 0 };
    details_str(details_str(details_u64(&d, "agent", r->row.id), "action", str_of(action)), "reason", reason);
    audit__ok(c, p, VERB_FOREIGN_AGENT, r->row.uuid, &d);
}

/* -- states */
static const struct name state_words[] = {
    { HOST_PENDING, "pending" }, { HOST_APPROVED, "active" }, { HOST_REJECTED, "rejected" }, { HOST_REVOKED, "revoked" }, NAMES_END,
};

static int force_state(struct control *c, const struct principal *p, struct reporter *r, enum host_state to)
{
    static const char *const events[] = {
        [HOST_PENDING] = "host.pending", [HOST_APPROVED] = "host.approved", [HOST_REJECTED] = "host.rejected", [HOST_REVOKED] = "host.revoked",
    };
    static const enum verb verbs[] = {
        [HOST_PENDING] = VERB_FOREIGN_AGENT, [HOST_APPROVED] = VERB_HOST_APPROVE, [HOST_REJECTED] = VERB_HOST_REJECT,
        [HOST_REVOKED] = VERB_HOST_REVOKE,
    };
    struct host *h = host__by_id(c, r->row.host_id);
    struct details d = { 0 };
    enroll__decide(c, h, to, p->name);
    host__put(c, h);
    details_str(details_str(&d, "name", str_of(h->name)), "state", str_of(name_of(host_state_names, (int)to)));
    audit__ok(c, p, verbs[to], str_of(h->uuid), &d);
    event__host(c, events[to], h, details_str(&d, "by", str_of(p->name)));
    return 0;
}

/* By the fleet's own verb where its table has the move, else by force. */
static int set_state(struct control *c, const struct principal *p, struct reporter *r, enum host_state to, struct str reason,
                     struct err *err)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    enum host_state from = (enum host_state)h->state, got;
    enum enroll_verb v = to == HOST_APPROVED ? ENROLL_APPROVE : to == HOST_REJECTED ? ENROLL_REJECT : ENROLL_REVOKE;
    struct str uuid = str_of(h->uuid);
    if (from == to && to != HOST_REJECTED)
        return 0;
    if (to == HOST_PENDING || enroll_step(from, v, &got, NULL) < 0 || got != to) {
        if (!accent__is_all(h, REPORT_DIALECT, r->row.uuid)) /* linked: there a certificate may be at stake */
            return err_set(err, -EBUSY, "host.linked", "%s is known by other ways too: from %s it does not become %s here", h->name,
                           name_of(host_state_names, (int)from), name_of(state_words, (int)to));
        return force_state(c, p, r, to);
    }
    switch (v) {
    case ENROLL_APPROVE:
        return enroll_approve(c, p, uuid, false, STR_NONE, err);
    case ENROLL_REJECT:
        return enroll_reject(c, p, uuid, reason, err);
    case ENROLL_REVOKE:
        return enroll_revoke(c, p, uuid, reason, err);
    case ENROLL_ASK_AGAIN:
        break;
    }
    return 0;
}

/* The host's name follows the display name where it is free. */
static void set_display_name(struct control *c, struct reporter *r, struct str name)
{
    struct host *h = host__by_id(c, r->row.host_id);
    char room[LIMIT_NAME + 1];
    report__set(&r->row.display_name, name);
    if (!h || !name.len || str_is(name, h->name))
        return;
    host__unique_name(c, name, h->uuid, room);
    if (strcmp(room, h->name) != 0) {
        host__set_name(c, h, str_of(room));
        host__put(c, h);
    }
}

static int check_policy(struct control *c, uint64_t policy_id, struct err *err)
{
    if (!policy_id || policy__by_id(c, policy_id))
        return 0;
    return err_set(err, -ENOENT, "report_policy.unknown", "there is no policy %llu", (unsigned long long)policy_id);
}

int reporter_approve(struct control *c, const struct principal *p, uint64_t id, uint64_t policy_id, struct str display_name,
                     struct err *err)
{
    struct reporter *r = NULL;
    char target[32];
    enum verb v = policy_id || display_name.len ? VERB_FOREIGN_AGENT : verb_for(c, id, VERB_HOST_APPROVE);
    int e = begin_as(c, p, v, id, &r, target, err);
    if (e < 0)
        return e;
    e = check_policy(c, policy_id, err);
    if (e == 0)
        e = set_state(c, p, r, HOST_APPROVED, STR_NONE, err);
    if (e < 0)
        return audit__refused(c, p, VERB_FOREIGN_AGENT, str_of(target), e, err);
    if (policy_id)
        reporter__set_policy(c, r, policy_id);
    if (display_name.len)
        set_display_name(c, r, display_name);
    reporter__put(c, r);
    tell(c, p, r, "approve", STR_NONE);
    return 0;
}

static int turn_away(struct control *c, const struct principal *p, uint64_t id, enum host_state to, const char *action, struct str reason,
                     struct err *err)
{
    struct reporter *r = NULL;
    char target[32];
    int e = begin_as(c, p, to == HOST_REJECTED ? verb_for(c, id, VERB_HOST_REJECT) : VERB_FOREIGN_AGENT, id, &r, target, err);
    if (e == 0)
        e = set_state(c, p, r, to, reason, err);
    if (e < 0)
        return e;
    if (to == HOST_REJECTED)
        report__set(&r->row.rejection_reason, reason);
    reporter__put(c, r);
    tell(c, p, r, action, reason);
    return 0;
}

int reporter_reject(struct control *c, const struct principal *p, uint64_t id, struct str reason, struct err *err)
{
    return turn_away(c, p, id, HOST_REJECTED, "reject", reason, err);
}

int reporter_revoke(struct control *c, const struct principal *p, uint64_t id, struct str reason, struct err *err)
{
    return turn_away(c, p, id, HOST_REVOKED, "revoke", reason, err);
}

int reporter_rotate(struct control *c, const struct principal *p, uint64_t id, const uint64_t *seen_key, struct str reason,
                    char ret_text[SECRET_TEXT_MAX], struct err *err)
{
    struct reporter *r = NULL;
    char target[32];
    int e = begin(c, p, id, &r, target, err);
    if (e < 0)
        return e;
    if (!r->row.is_active)
        e = err_set(err, -EBUSY, "reporter.inactive", "this agent is switched off");
    else if (reporter__host_state(c, r) != HOST_APPROVED)
        e = err_set(err, -EBUSY, "reporter.inactive", "this agent is not active");
    else if (seen_key && *seen_key != r->row.credential_id)
        e = err_set(err, -EBUSY, "reporter.key_changed", "this agent has had another key since: nothing was done. A key is shown once");
    else
        e = reporter__new_key(c, r, p->name, ret_text, err);
    if (e < 0)
        return audit__refused(c, p, VERB_FOREIGN_AGENT, str_of(target), e, err);
    r->row.key_is_used = true; /* an operator has it: a claim does not get another */
    reporter__put(c, r);
    tell(c, p, r, "rotate key", reason);
    return 0;
}

int reporter_forget(struct control *c, const struct principal *p, uint64_t id, struct err *err)
{
    struct reporter *r = NULL;
    char target[32];
    int e = begin(c, p, id, &r, target, err);
    if (e < 0)
        return e;
    struct host *h = host__by_id(c, r->row.host_id);
    e = enroll__may_leave(c, p, h, err);
    if (e < 0)
        return audit__refused(c, p, VERB_FOREIGN_AGENT, str_of(target), e, err);
    tell(c, p, r, "forget", STR_NONE);
    if (accent__let_go(c, p, h, REPORT_DIALECT, r->row.uuid, "its agent was forgotten", err) != ACCENT_HOST_GONE) /* else we have heard of it */
        reporter__part(c, r);
    return 0;
}

/* -- create, change */
static int field_bad(struct err *err, const char *field, const char *text)
{
    err_set(err, -EINVAL, "field.invalid", "%s", text);
    err_path(err, field);
    return -EINVAL;
}

static int check(struct control *c, const struct reporter_wish *w, const struct record *rec, enum host_state *ret_state, struct err *err)
{
    static const struct {
        const char *field;
        size_t offset, max;
    } texts[] = {
        { "display_name", offsetof(struct reporter_wish, display_name), REPORT_TEXT_MAX },
        { "hostname", offsetof(struct reporter_wish, hostname), REPORT_TEXT_MAX },
        { "site_name", offsetof(struct reporter_wish, site_name), REPORT_TEXT_MAX },
        { "agent_version", offsetof(struct reporter_wish, version), REPORT_VERSION_MAX },
        { "platform", offsetof(struct reporter_wish, platform), REPORT_TEXT_MAX },
        { "platform_release", offsetof(struct reporter_wish, release), REPORT_TEXT_MAX },
    };
    char word[32];
    uint8_t key[SHA256_LEN];
    if (w->client_key.len && (w->client_key.len != 2 * SHA256_LEN || hex_decode(w->client_key, key, SHA256_LEN) < 0))
        return field_bad(err, "client_key_sha256", "is null or 64 hex digits");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (!report__fits(*(const struct str *)((const char *)w + texts[i].offset), texts[i].max))
            return field_bad(err, texts[i].field, "is too long");
    *ret_state = 0;
    if (report__given(rec, w, "enrollment_state")) {
        if (str_copy(w->state, word, sizeof(word)) < 0)
            word[0] = '\0';
        for (char *ch = word; *ch; ch++)
            *ch = *ch >= 'A' && *ch <= 'Z' ? (char)(*ch | 0x20) : *ch;
        int v = name_value(state_words, str_of(word));
        if (v < 0)
            return field_bad(err, "enrollment_state", "is one of pending, active, rejected, revoked");
        *ret_state = (enum host_state)v;
    }
    if (w->enroll_key_id && !enroll_key__by_id(c, w->enroll_key_id))
        return err_set(err, -ENOENT, "enroll_key.unknown", "there is no enrollment key %llu", (unsigned long long)w->enroll_key_id);
    return check_policy(c, w->policy_id, err);
}

/* Null: the next it shows is bound. */
static void set_client_key(struct control *c, const struct principal *p, struct reporter *r, struct str hex)
{
    uint8_t key[SHA256_LEN];
    char text[SHA256_HEX_MAX] = "";
    struct details d = { 0 };
    if (hex.len && hex_decode(hex, key, SHA256_LEN) == 0)
        hex_encode(key, SHA256_LEN, text);
    if (str_is(r->row.client_key, text))
        return;
    details_str(details_u64(&d, "agent", r->row.id), "action", text[0] ? STR("bind client key") : STR("clear client key"));
    details_str(details_str(&d, "client_key_sha256", str_of(text)), "before", r->row.client_key);
    audit__ok(c, p, VERB_FOREIGN_AGENT, r->row.uuid, &d);
    report__set(&r->row.client_key, str_of(text));
}

static void take(struct control *c, const struct principal *p, struct reporter *r, const struct reporter_wish *w, const struct record *rec)
{
    struct {
        const char *field;
        struct str *dst;
        struct str value;
    } texts[] = {
        { "hostname", &r->row.hostname, w->hostname }, { "site_name", &r->row.site_name, w->site_name },
        { "agent_version", &r->row.version, w->version }, { "platform", &r->row.platform, w->platform },
        { "platform_release", &r->row.release, w->release },
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (report__given(rec, w, texts[i].field))
            report__set(texts[i].dst, texts[i].value);
    if (report__given(rec, w, "display_name"))
        set_display_name(c, r, w->display_name);
    if (report__given(rec, w, "enrollment_key_id"))
        r->row.enroll_key_id = w->enroll_key_id;
    if (report__given(rec, w, "policy_id"))
        reporter__set_policy(c, r, w->policy_id);
    if (report__given(rec, w, "is_active"))
        r->row.is_active = w->is_active;
    if (report__given(rec, w, "client_key_sha256"))
        set_client_key(c, p, r, w->client_key);
}

int reporter_create(struct control *c, const struct principal *p, const struct reporter_wish *w, uint64_t *ret_id, struct err *err)
{
    const struct record *rec = &reporter_create_record;
    enum host_state state;
    bool is_new;
    uint64_t host_id;
    int e = report__begin(c, p, VERB_FOREIGN_AGENT, w->uuid, err);
    if (e < 0)
        return e;
    e = check(c, w, rec, &state, err);
    if (e == 0 && !report__fits(w->uuid, REPORT_UUID_MAX))
        e = field_bad(err, "agent_uuid", "is too long");
    if (e == 0 && accent_find(c, REPORT_DIALECT, w->uuid, &host_id, NULL) == 0)
        e = err_set(err, -EEXIST, "reporter.exists", "there is an agent with this uuid already");
    if (e == 0 && (field_is_null(rec, w, "is_active") || field_is_null(rec, w, "approval_required")))
        e = field_bad(err, "is_active", "cannot be null");
    if (e < 0)
        return audit__refused(c, p, VERB_FOREIGN_AGENT, w->uuid, e, err);
    const struct sighting s = {
        .dialect = REPORT_DIALECT,
        .external_id = w->uuid,
        .name = w->display_name.len ? w->display_name : w->hostname,
        .claims = { .hostname = w->hostname, .os = w->platform, .kernel = w->release, .agent_version = w->version },
        .approved_by = state == HOST_APPROVED ? p->name : NULL,
    };
    e = accent_meet(c, &s, &host_id, &is_new, err);
    if (e < 0)
        return audit__refused(c, p, VERB_FOREIGN_AGENT, w->uuid, e, err);
    struct reporter *r = reporter__new(c, host_id, w->uuid);
    r->row.approval_required = state != HOST_APPROVED;
    if (state == HOST_APPROVED)
        r->row.approved_at = control__wall(c);
    take(c, p, r, w, rec);
    if (state == HOST_REJECTED || state == HOST_REVOKED)
        (void)force_state(c, p, r, state);
    if (report__given(rec, w, "approval_required"))
        r->row.approval_required = w->approval_required;
    reporter__put(c, r);
    tell(c, p, r, "create", STR_NONE);
    *ret_id = r->row.id;
    return 0;
}

int reporter_change(struct control *c, const struct principal *p, uint64_t id, const struct reporter_wish *w, struct err *err)
{
    const struct record *rec = &reporter_change_record;
    struct reporter *r = NULL;
    char target[32];
    enum host_state state;
    int e = begin(c, p, id, &r, target, err);
    if (e < 0)
        return e;
    e = check(c, w, rec, &state, err);
    if (e == 0 && (field_is_null(rec, w, "is_active") || field_is_null(rec, w, "approval_required")))
        e = err_set(err, -EBUSY, "reporter.null", "this field cannot be null");
    if (e == 0 && state)
        e = set_state(c, p, r, state, STR_NONE, err);
    if (e < 0) /* nothing of it was taken */
        return audit__refused(c, p, VERB_FOREIGN_AGENT, str_of(target), e, err);
    take(c, p, r, w, rec);
    if (report__given(rec, w, "approval_required"))
        r->row.approval_required = w->approval_required;
    reporter__put(c, r);
    if (reporter__host_state(c, r) == HOST_APPROVED || reporter__host_state(c, r) == HOST_PENDING)
        reporter__tell_host(c, r, NULL, NULL);
    tell(c, p, r, "change", STR_NONE);
    return 0;
}
