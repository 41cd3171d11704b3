/* control/reports.c - reporters: who they are, kept and found. Loop thread.
 *
 *   host (accents.c) ── reporter ── policy, enrolment key, credential
 *                              ├─ state: what the last check-in left
 *                              └─ sets: marks of the rows that are recorded, so that a delta's news can be counted and a section's
 *                                 size is known without asking the store
 */
#include "base/text.h"
#include "fleet/inventory.h"

#include "control/report_priv.h"

/* -- owned text */
void report__set(struct str *dst, struct str value)
{
    char *copy = value.len ? str_dup(value) : NULL;
    free((char *)(uintptr_t)dst->ptr);
    *dst = copy ? (struct str){ copy, value.len } : STR_NONE;
}

void report__set_list(struct str_list *dst, const struct str *v, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += v[i].len;
    struct str *copy = n ? xmalloc(n * sizeof(*copy) + bytes) : NULL;
    char *at = copy ? (char *)(copy + n) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (v[i].len)
            memcpy(at, v[i].ptr, v[i].len);
        copy[i] = (struct str){ at, v[i].len };
        at += v[i].len;
    }
    free(dst->v);
    *dst = (struct str_list){ copy, n };
}

bool report__fits(struct str s, size_t max_chars)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n <= max_chars;
}

const uint8_t *report_mark_key(void)
{
    return control__hash_key;
}

/* -- finding */
struct reporter *reporter__by_id(const struct control *c, uint64_t id)
{
    struct reporter *r = NULL;
    HASH_FIND(hh, report__book(c)->by_id, &id, sizeof(id), r);
    return r;
}

struct reporter *reporter__by_host(const struct control *c, uint64_t host_id)
{
    struct reporter *r = NULL;
    HASH_FIND(hh_host, report__book(c)->by_host, &host_id, sizeof(host_id), r);
    return r;
}

enum host_state reporter__host_state(const struct control *c, const struct reporter *r)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    return h ? (enum host_state)h->state : HOST_REVOKED;
}

const struct credential *reporter__key(struct control *c, const struct reporter *r)
{
    const struct credential *cr = r->row.credential_id ? credential_by_id(c, r->row.credential_id) : NULL;
    return cr && !cr->revoked_at ? cr : NULL;
}

/* -- keeping */
static void file(struct control *c, struct reporter *r)
{
    struct policy_entry *p = policy__by_id(c, r->row.policy_id);
    r->state.id = r->row.id;
    HASH_ADD(hh, report__book(c)->by_id, row.id, sizeof(r->row.id), r);
    HASH_ADD(hh_host, report__book(c)->by_host, row.host_id, sizeof(r->row.host_id), r);
    if (p)
        p->n_reporters++;
}

struct reporter *reporter__new(struct control *c, uint64_t host_id, struct str uuid)
{
    struct reporter *r = xnew0(struct reporter);
    r->row.id = object__next(c, OBJECT_REPORTER);
    r->row.host_id = host_id;
    report__set(&r->row.uuid, uuid);
    r->row.is_active = true;
    r->row.created_at = r->row.updated_at = control__wall(c);
    r->is_loaded = true; /* nothing is recorded yet */
    file(c, r);
    return r;
}

void reporter__put(struct control *c, struct reporter *r)
{
    r->row.updated_at = control__wall(c);
    store_put_object(c->store, OBJECT_REPORTER, r->row.id, r->row.host_id, &reporter_row_record, &r->row);
}

void reporter__put_state(struct control *c, struct reporter *r)
{
    struct str digests[REPORT_SECTIONS], addresses[REPORT_ADDRESSES_MAX];
    char hex[REPORT_SECTIONS][2 * SHA256_LEN + 1];
    uint64_t *counts[REPORT_SECTIONS] = { &r->state.addresses_count, &r->state.neighbors_count, &r->state.connections_count,
                                          &r->state.routes_count };
    for (size_t i = 0; i < REPORT_SECTIONS; i++) {
        hex_encode(r->digests[i].sum.b, SHA256_LEN, hex[i]);
        digests[i] = (struct str){ hex[i], 2 * SHA256_LEN };
        *counts[i] = r->digests[i].count;
    }
    for (size_t i = 0; i < r->addresses.n; i++)
        addresses[i] = str_of(r->addresses.v[i].text);
    r->state.epoch = str_of(r->epoch);
    r->state.before_peer = str_of(r->before_peer);
    r->state.last.peer = str_of(r->peer);
    r->state.last.key_hint = str_of(r->key_hint);
    r->state.digests = r->state.tells_removals ? (struct str_list){ digests, REPORT_SECTIONS } : (struct str_list){ 0 };
    r->state.addresses = (struct str_list){ addresses, r->addresses.n };
    store_put_object_often(c->store, OBJECT_REPORTER_STATE, r->row.id, r->row.host_id, &reporter_state_record, &r->state);
    r->state.digests = r->state.addresses = (struct str_list){ 0 };
}

void reporter__set_policy(struct control *c, struct reporter *r, uint64_t policy_id)
{
    struct policy_entry *old = policy__by_id(c, r->row.policy_id), *p = policy__by_id(c, policy_id);
    if (old)
        old->n_reporters--;
    if (p)
        p->n_reporters++;
    r->row.policy_id = p ? policy_id : 0;
}

usec_t reporter__every(const struct control *c, const struct reporter *r)
{
    const struct policy_entry *p = policy__by_id(c, r->row.policy_id);
    return (p ? p->p.interval_s + p->p.jitter_s : 3900) * USEC_PER_SEC;
}

int reporter__new_key(struct control *c, struct reporter *r, const char *by, char ret_text[SECRET_TEXT_MAX], struct err *err)
{
    const struct credential_wish w = {
        .kind = SECRET_GRAPHEON_AGENT, .name = r->row.uuid, .host_id = r->row.host_id, .created_by = str_of(by)
    };
    const struct enroll_key *k = enroll_key_by_id(c, r->row.enroll_key_id);
    struct credential_wish wish = w;
    wish.parent_id = k ? k->credential_id : 0;
    const struct credential *cr = credential_make(c, &wish, ret_text);
    if (!cr)
        return err_set(err, -EBUSY, "credential.full", "no more keys can be made");
    uint64_t id = cr->id, old = r->row.credential_id;
    report__set(&r->row.key_hint, cr->hint);
    if (old)
        credential_forget(c, old);
    r->row.credential_id = id;
    r->row.key_is_used = false;
    r->row.key_issued_at = control__wall(c);
    return 0;
}

void reporter__tell_host(struct control *c, struct reporter *r, const char *peer, const char *approved_by)
{
    struct str texts[REPORT_ADDRESSES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->addresses.n; i++) {
        struct str key = str_of(r->addresses.v[i].text), mac, ips[2];
        (void)str_cut(&key, ' ', &mac);
        if (report_key_ips(REPORT_ADDRESSES, key, ips) == 1)
            texts[n++] = ips[0];
    }
    bool use_told = n == 0;
    const struct sighting s = {
        .dialect = REPORT_DIALECT,
        .external_id = r->row.uuid,
        .name = r->row.display_name.len ? r->row.display_name : r->row.hostname,
        .claims = { .hostname = r->row.hostname,
                    .os = r->row.platform,
                    .kernel = r->row.release,
                    .agent_version = r->row.version,
                    .addresses = use_told ? r->row.told_ips : (struct str_list){ texts, n } },
        .peer_addr = peer,
        .approved_by = approved_by,
        .every = reporter__every(c, r),
    };
    uint64_t id;
    bool is_new;
    struct err err = { 0 };
    if (accent_meet(c, &s, &id, &is_new, &err) < 0)
        log_debug("reporter.host", "the host did not take what its reporter says", LOG_ERR(&err));
}

/* -- views */
static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static size_t sort_out(struct str *v, size_t n)
{
    size_t kept = 0;
    if (n)
        qsort(v, n, sizeof(*v), text_order);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(v[kept - 1], v[i]))
            v[kept++] = v[i];
    return kept;
}

/* Present addresses, from what is recorded; before the first check-in, from the registration. Lent from the scratch arena. */
static void present(struct control *c, const struct reporter *r, struct reporter_view *ret)
{
    if (!r->state.has_report) {
        ret->ips = r->row.told_ips;
        ret->macs = r->row.told_macs;
        return;
    }
    size_t n = r->addresses.n, n_macs = 0, n_ips = 0;
    struct str *ips = arena_array(c->scratch, n, sizeof(*ips)), *macs = arena_array(c->scratch, n, sizeof(*macs));
    for (size_t i = 0; ips && macs && i < n; i++) {
        struct str key = str_of(r->addresses.v[i].text), mac, found[2];
        (void)str_cut(&key, ' ', &mac);
        if (!str_is(mac, "-"))
            macs[n_macs++] = mac;
        if (report_key_ips(REPORT_ADDRESSES, key, found) == 1)
            ips[n_ips++] = found[0];
    }
    ret->ips = (struct str_list){ ips, ips ? sort_out(ips, n_ips) : 0 };
    ret->macs = (struct str_list){ macs, macs ? sort_out(macs, n_macs) : 0 };
}

void reporter__view(struct control *c, struct reporter *r, struct reporter_view *ret)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    arena_reset(c->scratch);
    r->state.last.peer = str_of(r->peer);
    r->state.last.key_hint = str_of(r->key_hint);
    *ret = (struct reporter_view){
        .row = &r->row,
        .state = &r->state,
        .host_state = reporter__host_state(c, r),
        .host_id = r->row.host_id,
        .policy = report_policy_by_id(c, r->row.policy_id),
        .key = enroll_key_by_id(c, r->row.enroll_key_id),
        .host_name = h ? str_of(h->name) : STR_NONE,
        .has_key = reporter__key(c, r) != NULL,
    };
    present(c, r, ret);
}

int reporter_find(struct control *c, uint64_t id, struct reporter_view *ret, struct err *err)
{
    struct reporter *r = reporter__by_id(c, id);
    if (!r)
        return err_set(err, -ENOENT, "reporter.unknown", "there is no agent %llu", (unsigned long long)id);
    reporter__view(c, r, ret);
    return 0;
}

void reporter_read_checkins(struct control *c, uint64_t id, uint32_t skip, uint32_t limit, store_count_fn count, store_trail_fn row,
                            store_done_fn done, void *ctx)
{
    store_read_trail_count(c->store, TRAIL_CHECKIN, id, count, done, ctx);
    store_read_trail(c->store, TRAIL_CHECKIN, id, 0, skip, limit, &report_checkin_record, row, done, ctx);
}

struct str reporter__section(const struct control *c, const struct reporter *r, enum report_section s)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    return report_section_facts(s, h && strcmp(h->dialect, "native") == 0);
}

/* -- the sets, read back after a start or a link */
struct sets_read {
    struct life *life;
    uint64_t reporter_id, host_id;
};

static void forget_sets(struct reporter *r)
{
    for (size_t i = 0; i < REPORT_SECTIONS; i++) {
        mark_set_clear(&r->rows[i]);
        r->bytes[i] = 0;
    }
    mark_set_clear(&r->ips);
    r->is_loaded = false;
}

static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    const struct sets_read *rd = ctx;
    struct control *c = rd->life->c;
    struct reporter *r = c ? reporter__by_id(c, rd->reporter_id) : NULL;
    struct fact_row row;
    for (enum report_section s = 0; r && s < REPORT_SECTIONS; s++) {
        if (!str_eq(reporter__section(c, r, s), h->section))
            continue;
        for (size_t pos = 0; body_next(body, &pos, &row) == 1;) {
            struct str ips[2];
            char text[46];
            bool is_any;
            mark_set_add(&r->rows[s], siphash(control__hash_key, row.key));
            r->bytes[s] += row.key.len + row.json.len + 8;
            for (size_t i = 0, n = report_key_ips(s, row.key, ips); i < n; i++)
                if (report_ip(ips[i], text, &is_any))
                    mark_set_add(&r->ips, siphash(control__hash_key, str_of(text)));
        }
    }
}

static void on_sets_done(void *ctx, int result)
{
    struct sets_read *rd = ctx;
    struct control *c = life_unref(rd->life);
    struct reporter *r = c ? reporter__by_id(c, rd->reporter_id) : NULL;
    bool is_elsewhere = r && r->row.host_id != rd->host_id; /* its host was linked to another meanwhile */
    free(rd);
    if (is_elsewhere) {
        forget_sets(r);
        reporter__load_sets(c, r);
        return;
    }
    if (!r)
        return;
    r->is_loading = false;
    r->is_loaded = true;
    if (result < 0) /* only counts suffer: what was there is counted as new */
        log_warn("reporter.unread", "a reporter's sections could not be read", LOG_U64("reporter", r->row.id), LOG_I64("errno", result));
    reporter__loaded(c, r);
}

void reporter__load_sets(struct control *c, struct reporter *r)
{
    struct sets_read *rd = xnew0(struct sets_read);
    *rd = (struct sets_read){ life_ref(c), r->row.id, r->row.host_id };
    r->is_loading = true;
    store_read_facts(c->store, r->row.host_id, STR_NONE, on_section, on_sets_done, rd);
}

/* -- the noun */
static void row_own(struct reporter_row *row, const struct reporter_row *in)
{
    struct str *texts[] = { &row->uuid,    &row->display_name, &row->hostname, &row->site_name, &row->version,
                            &row->platform, &row->release,      &row->claim,    &row->key_hint,  &row->rejection_reason,
                            &row->metadata.text, &row->client_key };
    *row = *in;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct str value = *texts[i];
        *texts[i] = STR_NONE;
        report__set(texts[i], value);
    }
    row->told_ips = row->told_macs = (struct str_list){ 0 };
    report__set_list(&row->told_ips, in->told_ips.v, in->told_ips.n);
    report__set_list(&row->told_macs, in->told_macs.v, in->told_macs.n);
}

static void load_one(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    const struct reporter_row *row = obj;
    (void)parent;
    if (!host__by_id(c, row->host_id) || reporter__by_host(c, row->host_id)) {
        log_error("reporter.orphan", "a reporter without a host: left out", LOG_U64("reporter", id));
        return;
    }
    struct reporter *r = xnew0(struct reporter);
    row_own(&r->row, row);
    r->row.id = id;
    file(c, r);
}

static void load_state(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    const struct reporter_state *s = obj;
    struct reporter *r = reporter__by_id(ctx, id);
    (void)parent;
    if (!r)
        return;
    const uint64_t counts[REPORT_SECTIONS] = { s->addresses_count, s->neighbors_count, s->connections_count, s->routes_count };
    r->state = *s;
    r->state.id = r->row.id;
    (void)str_copy(s->epoch, r->epoch, sizeof(r->epoch));
    (void)str_copy(s->last.peer, r->peer, sizeof(r->peer));
    (void)str_copy(s->before_peer, r->before_peer, sizeof(r->before_peer));
    (void)str_copy(s->last.key_hint, r->key_hint, sizeof(r->key_hint));
    r->state.last.summary.ips = r->state.last.summary.macs = (struct str_list){ 0 };
    report__set_list(&r->state.last.summary.ips, s->last.summary.ips.v, s->last.summary.ips.n);
    report__set_list(&r->state.last.summary.macs, s->last.summary.macs.v, s->last.summary.macs.n);
    for (size_t i = 0; i < REPORT_SECTIONS && i < s->digests.n; i++)
        if (hex_decode(s->digests.v[i], r->digests[i].sum.b, SHA256_LEN) == 0)
            r->digests[i].count = counts[i];
    for (size_t i = 0; i < s->addresses.n; i++) {
        struct str key = s->addresses.v[i], mac;
        struct report_address *a = vec_add(&r->addresses);
        a->text = str_dup(key);
        (void)str_cut(&key, ' ', &mac);
        a->mark = siphash(control__hash_key, key);
    }
    r->state.digests = r->state.addresses = (struct str_list){ 0 };
    r->state.epoch = r->state.before_peer = STR_NONE;
}

static int load(struct control *c, struct err *err)
{
    c->noun[NOUN_REPORTS] = xnew0(struct report_book);
    int r = policy__load(c, err);
    if (r == 0)
        r = enroll_key__load(c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_REPORTER, &reporter_row_record, load_one, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_REPORTER_STATE, &reporter_state_record, load_state, c, err);
    return r;
}

static void reporter_free(struct control *c, struct reporter *r, const struct err *why)
{
    struct str *texts[] = { &r->row.uuid,     &r->row.display_name, &r->row.hostname, &r->row.site_name, &r->row.version,
                            &r->row.platform, &r->row.release,      &r->row.claim,    &r->row.key_hint,  &r->row.rejection_reason,
                            &r->row.metadata.text, &r->row.client_key };
    reporter__set_policy(c, r, 0);
    HASH_DEL(report__book(c)->by_id, r);
    HASH_DELETE(hh_host, report__book(c)->by_host, r);
    reporter__waiting_end(r, why->code, why);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        report__set(texts[i], STR_NONE);
    free(r->row.told_ips.v);
    free(r->row.told_macs.v);
    free(r->state.last.summary.ips.v);
    free(r->state.last.summary.macs.v);
    for (size_t i = 0; i < r->addresses.n; i++)
        free(r->addresses.v[i].text);
    vec_done(&r->addresses);
    for (size_t i = 0; i < REPORT_SECTIONS; i++)
        mark_set_done(&r->rows[i]);
    mark_set_done(&r->ips);
    free(r->refusal);
    free(r);
}

static void free_all(struct control *c)
{
    struct reporter *r, *next;
    struct err why = { 0 };
    if (!report__book(c))
        return;
    err_set(&why, -ECANCELED, "server.stopping", "the server is stopping");
    HASH_ITER(hh, report__book(c)->by_id, r, next)
    reporter_free(c, r, &why);
    policy__free_all(c);
    enroll_key__free_all(c);
    free(report__book(c));
    c->noun[NOUN_REPORTS] = NULL;
}

static void forget(struct control *c, struct reporter *r)
{
    struct err why = { 0 };
    store_del_object(c->store, OBJECT_REPORTER, r->row.id);
    store_del_object(c->store, OBJECT_REPORTER_STATE, r->row.id);
    store_del_trail(c->store, TRAIL_CHECKIN, r->row.id);
    err_set(&why, -EACCES, "auth.bad_credential", "this agent was forgotten");
    reporter_free(c, r, &why);
}

static void host_gone(struct control *c, uint64_t host_id)
{
    struct reporter *r = reporter__by_host(c, host_id);
    if (r)
        forget(c, r);
}

void reporter__part(struct control *c, struct reporter *r)
{
    uint64_t host_id;
    if (accent_find(c, REPORT_DIALECT, r->row.uuid, &host_id, NULL) == 0)
        accent__part(c, host__by_id(c, host_id), REPORT_DIALECT, r->row.uuid);
    credential_forget(c, r->row.credential_id);
    forget(c, r);
}

/* Whoever decided, and through which surface: the key of a host that is not (any more) let in never comes back to life. Its tombstone
 * stays, so that its holder hears 403 and not 401. */
static void host_decided(struct control *c, uint64_t host_id)
{
    struct reporter *r = reporter__by_host(c, host_id);
    if (!r)
        return;
    switch (reporter__host_state(c, r)) {
    case HOST_APPROVED:
        r->row.approved_at = control__wall(c);
        r->row.rejected_at = 0;
        r->row.approval_required = false;
        report__set(&r->row.rejection_reason, STR_NONE);
        break;
    case HOST_REJECTED:
        r->row.rejected_at = control__wall(c);
        credential_revoke(c, r->row.credential_id, false);
        break;
    case HOST_REVOKED:
    case HOST_PENDING:
        credential_revoke(c, r->row.credential_id, false);
        break;
    }
    reporter__put(c, r);
}

static usec_t last_sign_of(const struct reporter *r)
{
    return r->state.last_seen_at > r->row.last_registration_at ? r->state.last_seen_at : r->row.last_registration_at;
}

bool reporter__is_newer(const struct control *c, uint64_t host_id, uint64_t other_id)
{
    const struct reporter *r = reporter__by_host(c, other_id), *old = reporter__by_host(c, host_id);
    return r && old && last_sign_of(r) > last_sign_of(old);
}

/* A machine has one reporter. Of two, the one that was heard last is the one that runs: the other was there before the machine was
 * installed anew, and its name and key go, or the living one would be handed neither its record nor a key. */
static void host_linked(struct control *c, uint64_t host_id, uint64_t other_id)
{
    struct reporter *r = reporter__by_host(c, other_id), *old = reporter__by_host(c, host_id);
    if (!r)
        return;
    if (old && !reporter__is_newer(c, host_id, other_id)) {
        reporter__part(c, r);
        return;
    }
    if (old)
        reporter__part(c, old);
    HASH_DELETE(hh_host, report__book(c)->by_host, r);
    r->row.host_id = host_id;
    HASH_ADD(hh_host, report__book(c)->by_host, row.host_id, sizeof(r->row.host_id), r);
    /* What was recorded came along, but for what @host_id had itself: of that, whoever keeps digests is asked for all. */
    const struct host *other = host__by_id(c, other_id);
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++)
        if (inventory__mark(other, (uint8_t)name_value(section_names, report_section_facts(s, false))))
            memset(&r->digests[s], 0xff, sizeof(r->digests[s]));
    forget_sets(r);
    if (r->row.approval_required) { /* the link has let it in */
        r->row.approval_required = false;
        r->row.approved_at = control__wall(c);
    }
    reporter__put(c, r);
    reporter__put_state(c, r);
}

const struct noun noun_reports = {
    .name = "reports",
    .load = load,
    .free = free_all,
    .host_gone = host_gone,
    .host_decided = host_decided,
    .host_linked = host_linked,
};
