/* control/report_checkin.c - a report comes in: who it is from, what is new in it, what is kept of it. Loop thread.
 *
 * A check-in becomes deltas of the host's sections (kept once, by the inventory), one short row of the trail and the reporter's
 * state. The inventory takes the deltas blind: whether the reporter's idea of a section is ours is judged here, by the reporter's own
 * digest over what it told (docs/wire/grapheon.md), because refused rows count in it and our rows are not written as it writes them. */
#include "control/report_priv.h"

enum {
    IPS_MAX = 50000,                                       /* addresses remembered of one reporter, to count new ones */
    SECTION_BYTES_MAX = LIMIT_SECTION_BYTES - (256 << 10), /* room for rows that grow */
    ADDRESSES_BYTES_MAX = 64 << 10,
    FLAGS_STANDING = REPORT_F_SKEW | REPORT_F_BACK | REPORT_F_SHARED,
};

/* -- who is it */
static int judge(struct control *c, struct reporter *r, const struct credential *cr, struct err *err)
{
    enum host_state state = r ? reporter__host_state(c, r) : HOST_PENDING;
    bool is_known = r && cr && r->row.credential_id == cr->id;
    switch (checkin_judge(is_known, cr && cr->revoked_at, r && r->row.is_active, state)) {
    case CHECKIN_NO_KEY:
        return err_set(err, -EACCES, "auth.bad_credential",
                       is_known && r->row.is_active ? "this API key was revoked: register again" : "this API key is not known here");
    case CHECKIN_STATE:
        return err_set(err, -EACCES,
                       state == HOST_PENDING    ? "host.pending"
                       : state == HOST_REJECTED ? "host.rejected"
                                                : "host.revoked",
                       "this agent is %s", name_of(host_state_names, (int)state));
    case CHECKIN_OK:
        break;
    }
    return 0;
}

/* The key, and what it came over: CERT_OK or CERT_BIND, or -EACCES. */
static int admit(struct control *c, struct reporter *r, const struct credential *cr, const struct client_key *client, struct err *err)
{
    int e = judge(c, r, cr, err);
    return e < 0 ? e : reporter__judge_cert(c, r, enroll_key_by_id(c, r->row.enroll_key_id), client, true, err);
}

int report_authenticate(struct control *c, struct str text, const struct client_key *client, const char *peer, struct report_pass *ret,
                        struct err *err)
{
    const struct credential *cr;
    struct err why = { 0 };
    *ret = (struct report_pass){ 0 };
    (void)credential_check(c, SECRET_GRAPHEON_AGENT, text, peer, &cr, &why);
    struct reporter *r = cr ? reporter__by_host(c, cr->host_id) : NULL;
    int e = admit(c, r, cr, client, err);
    if (e < 0) {
        char who[160] = "";
        if (r)
            snprintf(who, sizeof(who), "agent:%.*s", STR_FMT(r->row.uuid));
        reporter__refused(c, r, peer, err);
        return credential_refused(c, who, peer, err);
    }
    const struct policy_entry *p = policy__by_id(c, r->row.policy_id);
    *ret = (struct report_pass){ r->row.id, cr->id, p ? p->p.max_report_bytes : 262144, *client };
    return 0;
}

int report_refused(struct control *c, const struct report_pass *pass, const char *peer, const struct err *err)
{
    struct reporter *r = reporter__by_id(c, pass->reporter_id);
    struct details d = { 0 };
    char who[160] = "";
    reporter__refused(c, r, peer, err);
    if (r)
        snprintf(who, sizeof(who), "agent:%.*s", STR_FMT(r->row.uuid));
    refusal__row(c, REFUSED_CALLER, who, peer, "report.checkin", r ? r->row.uuid : STR_NONE, "denied", err->slug,
                 details_str(&d, "why", str_of(err->text)));
    return err->code;
}

/* -- present addresses */
static void address_drop(struct reporter *r, uint64_t mark)
{
    for (size_t i = 0; i < r->addresses.n; i++)
        if (r->addresses.v[i].mark == mark) {
            free(r->addresses.v[i].text);
            vec_del_swap(&r->addresses, i);
            return;
        }
}

static void take_addresses(struct reporter *r, const struct report_rows *in, bool is_full)
{
    size_t bytes = 0;
    for (size_t i = 0; is_full && i < r->addresses.n; i++)
        free(r->addresses.v[i].text);
    if (is_full)
        r->addresses.n = 0;
    for (size_t i = 0; i < in->n_removed; i++)
        address_drop(r, in->removed_marks[i]);
    for (size_t i = 0; i < r->addresses.n; i++)
        bytes += strlen(r->addresses.v[i].text);
    for (size_t i = 0; i < in->n_rows; i++) {
        struct str mac = in->macs[i].len ? in->macs[i] : STR("-");
        address_drop(r, in->marks[i]);
        bytes += mac.len + 1 + in->rows[i].key.len;
        if (r->addresses.n >= REPORT_ADDRESSES_MAX || bytes > ADDRESSES_BYTES_MAX)
            return; /* the inventory has them all; this is what is shown in one line */
        struct report_address *a = vec_add(&r->addresses);
        a->mark = in->marks[i];
        a->text = xasprintf("%.*s %.*s", STR_FMT(mac), STR_FMT(in->rows[i].key));
    }
}

/* -- one section */
struct section_news {
    uint64_t n_created, n_created_with_mac;
    bool is_resync, is_cut;
};

static bool is_over(const struct reporter *r, const struct report_rows *in, size_t s)
{
    uint64_t n = r->rows[s].n, bytes = r->bytes[s];
    for (size_t i = 0; i < in->n_rows; i++)
        if (!mark_set_has(&r->rows[s], in->marks[i])) {
            n++;
            bytes += in->rows[i].key.len + in->rows[i].json.len + 8;
        }
    return n > LIMIT_SECTION_ROWS || bytes > SECTION_BYTES_MAX;
}

static void count_rows(struct reporter *r, const struct report_rows *in, size_t s, bool is_full, struct section_news *news)
{
    struct mark_set old = { 0 };
    uint64_t row_bytes = r->rows[s].n ? r->bytes[s] / r->rows[s].n : 0;
    if (is_full) {
        old = r->rows[s];
        r->rows[s] = (struct mark_set){ 0 };
        r->bytes[s] = 0;
    }
    for (size_t i = 0; i < in->n_removed && !is_full; i++)
        if (mark_set_del(&r->rows[s], in->removed_marks[i]))
            r->bytes[s] -= row_bytes < r->bytes[s] ? row_bytes : r->bytes[s];
    for (size_t i = 0; i < in->n_rows; i++) {
        if (!mark_set_add(&r->rows[s], in->marks[i]))
            continue;
        r->bytes[s] += in->rows[i].key.len + in->rows[i].json.len + 8;
        if (mark_set_has(&old, in->marks[i]))
            continue;
        news->n_created++;
        news->n_created_with_mac += in->macs && in->macs[i].len;
    }
    mark_set_done(&old);
}

/* Does the reporter have what we have? A full section that is wrong in itself would come just as wrong again: it is not asked for. */
static bool digest_fits(struct reporter *r, const struct report_rows *in, size_t s, bool is_full)
{
    struct report_digest after;
    report_digest_step(&r->digests[s], is_full, &in->added, &in->gone, &after);
    r->digests[s] = after;
    return !in->has_digest || is_full || report_digest_eq(&after, &in->digest);
}

static void take_rows(struct control *c, struct reporter *r, const struct report *in, const struct report_rows *rows, size_t s,
                      struct section_news *news)
{
    enum section_status status = rows->status ? rows->status : SECTION_OK;
    char note[160] = "";
    /* Who keeps digests and told nothing so far (or nothing while its collector failed) tells all of it now, if the digest is of that:
     * who begins with digests may have told the rest without. */
    bool is_every = in->is_full || rows->is_whole;
    bool is_all = is_every || (rows->has_digest && r->digests[s].count == 0 && rows->gone.count == 0 &&
                                report_digest_eq(&rows->added, &rows->digest));
    bool is_full = is_all && status == SECTION_OK && (is_every || rows->n_rows || r->rows[s].n);

    news->is_resync = !digest_fits(r, rows, s, is_every);
    if (!is_full && rows->n_rows == 0 && rows->n_removed == 0 && status == SECTION_OK && !rows->n_truncated) {
        enum section_status known;
        struct fact_digest digest;
        if (accent_section(c, r->row.host_id, reporter__section(c, r, s), &known, &digest) && known == SECTION_OK)
            return; /* a heartbeat: nothing is new, nothing is written */
    }
    if (!is_full && is_over(r, rows, s)) {
        /* Additions only, and a section has an end: the newest rows are the truer ones. */
        is_full = r->is_cut[s] = news->is_cut = true;
        log_info("report.cut", "a section is full: rows told earlier are given up", LOG_STR("agent", r->row.uuid),
                 LOG_STR("section", reporter__section(c, r, s)));
    } else if (is_full) {
        r->is_cut[s] = rows->n_dropped > 0;
    }
    news->is_cut |= rows->n_dropped > 0;
    if (r->is_cut[s])
        snprintf(note, sizeof(note), "not all of it: more rows were told than a section holds");
    else if (rows->n_truncated)
        snprintf(note, sizeof(note), "%llu rows were left out by the agent", (unsigned long long)rows->n_truncated);
    const struct section_delta d = {
        .name = reporter__section(c, r, s),
        .status = status,
        .message = str_of(note),
        .full = is_full,
        .rows = rows->rows,
        .n_rows = rows->n_rows,
        .removed = is_full ? NULL : rows->removed,
        .n_removed = is_full ? 0 : rows->n_removed,
        .taken_at = in->observed_at,
    };
    struct err err = { 0 };
    int e = accent_facts(c, r->row.host_id, &d, true, &err);
    if (e != DELTA_TAKE) {
        log_warn("report.section", "a section was not taken", LOG_STR("agent", r->row.uuid), LOG_STR("section", d.name), LOG_ERR(&err));
        news->is_resync |= rows->has_digest;
        return;
    }
    if (s == REPORT_ADDRESSES)
        take_addresses(r, rows, is_full);
    count_rows(r, rows, s, is_full, news);
}

static void take_section(struct control *c, struct reporter *r, const struct report *in, size_t s, struct section_news *news)
{
    struct report_rows rows = in->sections[s];
    bool may_match = s == REPORT_CONNECTIONS && !in->is_full && !rows.is_whole;
    void *block = may_match ? report_match_forms(&r->rows[s], report_mark_key(), in->tells_removals, &rows) : NULL;
    take_rows(c, r, in, &rows, s, news);
    free(block);
}

/* -- what the reporter says of itself */
static bool take_texts(struct reporter *r, const struct report *in)
{
    const struct {
        struct str *dst;
        struct str value;
    } texts[] = {
        { &r->row.hostname, in->hostname }, { &r->row.version, in->version }, { &r->row.platform, in->platform }, { &r->row.release, in->release },
    };
    bool is_changed = false;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].value.len && !str_eq(*texts[i].dst, texts[i].value)) {
            report__set(texts[i].dst, texts[i].value);
            is_changed = true;
        }
    return is_changed;
}

static uint32_t flags_of(struct control *c, const struct reporter *r, const struct report *in, const char *peer,
                         enum sequence_verdict seq)
{
    uint32_t flags = seq == SEQUENCE_BACK ? REPORT_F_BACK : 0;
    if (report_is_skewed(in->observed_at, control__wall(c)))
        flags |= REPORT_F_SKEW;
    if (report_is_shared(str_of(peer), str_of(r->peer), str_of(r->before_peer)))
        flags |= REPORT_F_SHARED;
    if (in->n_rejected)
        flags |= REPORT_F_REJECTED;
    if (in->is_missing_collector)
        flags |= REPORT_F_MISSING;
    return flags;
}

/* Told once, when it begins: an operator who watches wants the news, not every check-in. */
static void warn_once(struct control *c, struct reporter *r, uint32_t flags)
{
    uint32_t fresh = flags & ~r->state.flags & FLAGS_STANDING;
    char words[64] = "";
    size_t n = 0;
    for (const struct name *f = report_flag_names; f->text; f++)
        if (fresh & (uint32_t)f->value)
            n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%s", n ? " " : "", f->text);
    r->state.flags = flags & FLAGS_STANDING;
    if (!fresh)
        return;
    struct details d = { 0 };
    event__host(c, "report.suspect", host__by_id(c, r->row.host_id), details_str(&d, "flags", str_of(words)));
}

static void remember(struct reporter *r, const struct report *in, const char *peer)
{
    struct report_summary *s = &r->state.last.summary;
    if (strcmp(r->peer, peer) != 0) {
        snprintf(r->before_peer, sizeof(r->before_peer), "%s", r->peer);
        snprintf(r->peer, sizeof(r->peer), "%s", peer);
    }
    (void)str_copy(str_sub(in->epoch, 0, 64), r->epoch, sizeof(r->epoch));
    if (in->has_sequence)
        r->state.sequence = in->sequence;
    r->state.has_sequence = in->has_sequence;
    r->state.tells_removals = in->tells_removals;
    report__set_list(&s->ips, in->ips, in->n_ips < REPORT_SEEN_MAX ? in->n_ips : REPORT_SEEN_MAX);
    report__set_list(&s->macs, in->macs, in->n_macs < REPORT_SEEN_MAX ? in->n_macs : REPORT_SEEN_MAX);
}

static uint64_t count_hosts(struct reporter *r, const struct report *in)
{
    uint64_t n = 0;
    if (r->ips.n + in->n_ip_marks > IPS_MAX)
        mark_set_clear(&r->ips);
    for (size_t i = 0; i < in->n_ip_marks; i++)
        n += mark_set_add(&r->ips, in->ip_marks[i]);
    return n;
}

/* -- one report */
static void record(struct control *c, struct reporter *r, const struct report *in, uint32_t flags, const struct section_news *news)
{
    struct report_checkin *last = &r->state.last;
    struct report_summary *sum = &last->summary;
    last->reporter_id = r->row.id;
    last->sequence = in->sequence;
    last->has_sequence = in->has_sequence;
    last->is_full = in->is_full;
    last->is_gzip = in->is_gzip;
    last->observed_at = in->observed_at;
    last->peer = str_of(r->peer);
    (void)str_copy(r->row.key_hint, r->key_hint, sizeof(r->key_hint));
    last->key_hint = str_of(r->key_hint);
    last->flags = flags;
    last->n_rejected = (uint32_t)in->n_rejected;
    sum->neighbors_created = news[REPORT_NEIGHBORS].n_created_with_mac;
    sum->connections_created = news[REPORT_CONNECTIONS].n_created;
    sum->n_addresses = in->n_addresses;
    sum->n_neighbors = in->n_neighbors;
    sum->n_connections = in->n_connections;
    sum->n_routes = in->n_routes;
    sum->n_ips = in->n_ips;
    sum->n_macs = in->n_macs;
    r->state.checkin_id = c->next.trail++;
    /* No key: a repeat was found by the state, which is committed with the row. */
    const struct trail_row row = {
        .id = r->state.checkin_id, .kind = TRAIL_CHECKIN, .parent = r->row.id, .at = r->state.last_seen_at
    };
    store_put_trail(c->store, &row, &report_checkin_record, last);
    reporter__put_state(c, r);
}

static void answer(struct reporter *r, bool is_resync, bool is_repeat, struct report_answer *ret)
{
    r->state.last.peer = str_of(r->peer);
    r->state.last.key_hint = str_of(r->key_hint);
    *ret = (struct report_answer){
        .reporter_id = r->row.id,
        .checkin_id = r->state.checkin_id,
        .received_at = r->state.last_seen_at,
        .checkin = &r->state.last,
        .is_resync = is_resync,
        .is_repeat = is_repeat,
    };
}

static int apply(struct control *c, struct reporter *r, const struct report_waiting *w, struct report_answer *ret, struct err *err)
{
    const struct report *in = w->r;
    struct section_news news[REPORT_SECTIONS] = { 0 };
    bool is_resync = false;
    /* It may have been decided about meanwhile. */
    int cert = admit(c, r, credential_by_id(c, w->pass.credential_id), &w->pass.client, err), e;
    if (cert < 0) {
        reporter__refused(c, r, w->peer, err);
        return credential_refused(c, "", w->peer, err);
    }
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (!str_eq(in->uuid, r->row.uuid)) {
        err_set(err, -EEXIST, "report.uuid", "agent_uuid is not the one this API key belongs to");
        return report_refused(c, &w->pass, w->peer, err);
    }
    e = accent_seen(c, r->row.host_id, w->peer, NULL, reporter__every(c, r), err);
    if (e < 0)
        return e;
    if (cert == CERT_BIND) {
        reporter__bind_cert(c, r, &w->pass.client, w->peer);
        reporter__put(c, r);
    }
    enum sequence_verdict seq = sequence_judge(in->epoch, in->has_sequence, in->sequence, str_of(r->epoch),
                                               r->state.has_report && r->state.has_sequence, r->state.sequence);
    r->state.last_seen_at = control__wall(c);
    if (seq == SEQUENCE_REPEAT) {
        answer(r, (r->state.last.flags & REPORT_F_RESYNC) != 0, true, ret);
        return 0;
    }
    uint32_t flags = flags_of(c, r, in, w->peer, seq);
    uint64_t hosts_created = count_hosts(r, in);
    for (size_t s = 0; s < REPORT_SECTIONS; s++) {
        take_section(c, r, in, s, &news[s]);
        is_resync |= news[s].is_resync;
        flags |= news[s].is_cut ? REPORT_F_DROPPED : 0;
    }
    flags |= is_resync ? REPORT_F_RESYNC : 0;
    warn_once(c, r, flags);
    remember(r, in, w->peer);
    r->state.has_report = true;
    r->state.last.summary.hosts_created = hosts_created;
    bool is_changed = take_texts(r, in), is_first_use = !r->row.key_is_used;
    r->row.key_is_used = true;
    if (is_changed || in->sections[REPORT_ADDRESSES].n_rows || in->sections[REPORT_ADDRESSES].n_removed)
        reporter__tell_host(c, r, w->peer, NULL);
    if (is_changed || is_first_use)
        reporter__put(c, r);
    record(c, r, in, flags, news);
    answer(r, is_resync, false, ret);
    return 0;
}

/* -- in order, after its sets are here */
static void finish(struct control *c, struct reporter *r, struct report_waiting *w)
{
    struct report_answer a = { 0 };
    struct err err = { 0 };
    int e = apply(c, r, w, &a, &err);
    w->done(w->ctx, e, &err, &a);
}

void reporter__waiting_end(struct reporter *r, int result, const struct err *err)
{
    struct report_waiting *w, *next;
    DL_FOREACH_SAFE(r->waiting, w, next)
    {
        DL_DELETE(r->waiting, w);
        w->done(w->ctx, result, err, NULL);
        free(w);
    }
}

void reporter__loaded(struct control *c, struct reporter *r)
{
    struct report_waiting *w;
    while ((w = r->waiting)) {
        DL_DELETE(r->waiting, w);
        finish(c, r, w);
        free(w);
    }
}

void report_checkin(struct control *c, const struct report_pass *pass, struct report *in, const char *peer, report_fn done, void *ctx)
{
    struct reporter *r = reporter__by_id(c, pass->reporter_id);
    struct report_waiting w = { .pass = *pass, .r = in, .done = done, .ctx = ctx };
    struct err err = { 0 };
    snprintf(w.peer, sizeof(w.peer), "%s", peer);
    if (!r) {
        err_set(&err, -EACCES, "auth.bad_credential", "this API key is not known here");
        done(ctx, -EACCES, &err, NULL);
        return;
    }
    if (r->is_loaded && !r->waiting) {
        finish(c, r, &w);
        return;
    }
    struct report_waiting *kept = xmemdup(&w, sizeof(w));
    DL_APPEND(r->waiting, kept);
    if (!r->is_loading)
        reporter__load_sets(c, r);
}
