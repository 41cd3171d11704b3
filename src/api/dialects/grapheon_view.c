/* api/dialects/grapheon_view.c - Graphēon's objects as its console reads them. What is ours stands behind what is upstream's. */
#include <stdio.h>

#include "api/dialects/grapheon.h"
#include "fleet/report_health.h"

static char *two(char *p, unsigned v)
{
    *p++ = (char)('0' + v / 10 % 10);
    *p++ = (char)('0' + v % 10);
    return p;
}

/* By hand: an answer has two dozen of them. Days to a date as in Hinnant, "chrono-compatible low-level date algorithms". */
void grapheon_format_time(usec_t t, char *dst)
{
    uint64_t secs = t / USEC_PER_SEC, z = secs / 86400 + 719468, era = z / 146097;
    unsigned us = (unsigned)(t % USEC_PER_SEC), s = (unsigned)(secs % 86400), doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = (unsigned)(yoe + era * 400) + (month <= 2);
    char *p = two(two(dst, year / 100), year);

    *p++ = '-';
    p = two(p, month);
    *p++ = '-';
    p = two(p, day);
    *p++ = 'T';
    p = two(p, s / 3600);
    *p++ = ':';
    p = two(p, s / 60 % 60);
    *p++ = ':';
    p = two(p, s % 60);
    *p++ = '.';
    p = two(two(two(p, us / 10000), us / 100), us);
    *p = '\0';
}

void grapheon_time(struct jw *w, const char *key, usec_t t)
{
    char text[32];

    jw_key(w, key);
    if (!t) {
        jw_null(w);
        return;
    }
    grapheon_format_time(t, text);
    jw_cstr(w, text);
}

static void text(struct jw *w, const char *key, struct str s)
{
    jw_key(w, key);
    if (s.len)
        jw_str(w, s);
    else
        jw_null(w);
}

static void number(struct jw *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    jw_u64(w, v);
}

static void id(struct jw *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    if (v)
        jw_u64(w, v);
    else
        jw_null(w);
}

static void flag(struct jw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

static void texts(struct jw *w, const char *key, const struct str *v, size_t n)
{
    jw_key(w, key);
    jw_list(w);
    for (size_t i = 0; i < n; i++)
        jw_str(w, v[i]);
    jw_end_list(w);
}

/* -- policies and keys */
void grapheon_policy(struct jw *w, const struct report_policy *p, int64_t agent_count)
{
    if (!p) {
        jw_null(w);
        return;
    }
    jw_map(w);
    number(w, "id", p->id);
    text(w, "name", p->name);
    jw_key(w, "description");
    if (p->has_description)
        jw_str(w, p->description);
    else
        jw_null(w);
    number(w, "checkin_interval_seconds", p->interval_s);
    number(w, "jitter_seconds", p->jitter_s);
    number(w, "command_timeout_seconds", p->command_timeout_s);
    jw_key(w, "enabled_commands");
    jw_map(w);
    for (const struct name *n = report_command_names; n->text; n++)
        if (p->commands_named & (uint32_t)n->value)
            flag(w, n->text, (p->commands_on & (uint32_t)n->value) != 0);
    jw_end_map(w);
    number(w, "max_report_bytes", p->max_report_bytes);
    flag(w, "is_active", p->is_active);
    grapheon_time(w, "created_at", p->created_at);
    grapheon_time(w, "updated_at", p->updated_at);
    jw_key(w, "agent_count");
    if (agent_count >= 0)
        jw_i64(w, agent_count);
    else
        jw_null(w);
    if (p->has_collectors)
        texts(w, "collectors", p->collectors.v, p->collectors.n);
    if (p->target_version.len) /* ours: unless an operator sets it, nobody sees it */
        text(w, "target_version", p->target_version);
    jw_end_map(w);
}

void grapheon_key(struct jw *w, struct control *c, const struct enroll_key *k)
{
    if (!k) {
        jw_null(w);
        return;
    }
    jw_map(w);
    number(w, "id", k->id);
    text(w, "name", k->name);
    jw_key(w, "description");
    if (k->has_description)
        jw_str(w, k->description);
    else
        jw_null(w);
    id(w, "default_policy_id", k->policy_id);
    flag(w, "auto_approve", k->auto_approve);
    flag(w, "is_active", k->is_active);
    grapheon_time(w, "expires_at", k->expires_at);
    id(w, "max_registrations", k->max_registrations);
    text(w, "key_prefix", k->hint);
    number(w, "registration_count", k->n_registrations);
    grapheon_time(w, "created_at", k->created_at);
    grapheon_time(w, "updated_at", k->updated_at);
    grapheon_time(w, "last_used_at", k->last_used_at);
    jw_key(w, "default_policy");
    grapheon_policy(w, report_policy_by_id(c, k->policy_id), -1);
    if (k->require_client_cert)
        flag(w, "require_client_cert", true);
    jw_end_map(w);
}

/* -- agents */
static const char *state_word(enum host_state s)
{
    switch (s) {
    case HOST_PENDING:
        return "pending";
    case HOST_APPROVED:
        return "active";
    case HOST_REJECTED:
        return "rejected";
    case HOST_REVOKED:
        break;
    }
    return "revoked";
}

static void registration(struct jw *w, const struct reporter_row *r)
{
    jw_key(w, "last_registration_summary");
    if (!r->last_registration_at) {
        jw_null(w);
        return;
    }
    jw_map(w);
    number(w, "address_count", r->n_told);
    texts(w, "ip_addresses", r->told_ips.v, r->told_ips.n);
    texts(w, "mac_addresses", r->told_macs.v, r->told_macs.n);
    jw_key(w, "metadata");
    if (r->metadata.text.len)
        jw_raw(w, r->metadata.text);
    else
        jw_null(w);
    if (r->rejection_reason.len)
        text(w, "rejection_reason", r->rejection_reason);
    jw_end_map(w);
}

static void flags(struct jw *w, const char *key, uint32_t mask)
{
    jw_key(w, key);
    jw_list(w);
    for (const struct name *n = report_flag_names; n->text; n++)
        if (mask & (uint32_t)n->value)
            jw_cstr(w, n->text);
    jw_end_list(w);
}

static void agent(struct jw *w, struct control *c, const struct reporter_view *v)
{
    const struct reporter_row *r = v->row;
    const struct reporter_state *s = v->state;

    number(w, "id", r->id);
    text(w, "agent_uuid", r->uuid);
    text(w, "display_name", r->display_name);
    text(w, "hostname", r->hostname);
    text(w, "site_name", r->site_name);
    id(w, "enrollment_key_id", r->enroll_key_id);
    id(w, "policy_id", r->policy_id);
    jw_key(w, "enrollment_state");
    jw_cstr(w, state_word(v->host_state));
    flag(w, "approval_required", r->approval_required);
    text(w, "agent_version", r->version);
    text(w, "platform", r->platform);
    text(w, "platform_release", r->release);
    flag(w, "is_active", r->is_active);
    text(w, "api_key_prefix", v->has_key ? r->key_hint : STR_NONE);
    grapheon_time(w, "approved_at", r->approved_at);
    grapheon_time(w, "rejected_at", r->rejected_at);
    grapheon_time(w, "api_key_issued_at", v->has_key ? r->key_issued_at : 0);
    grapheon_time(w, "last_registration_at", r->last_registration_at);
    texts(w, "last_ip_addresses", v->ips.v, v->ips.n);
    texts(w, "last_mac_addresses", v->macs.v, v->macs.n);
    registration(w, r);
    jw_key(w, "last_checkin_summary");
    if (s->has_report)
        grapheon_summary(w, &s->last, s->checkin_id, NULL);
    else
        jw_null(w);
    grapheon_time(w, "created_at", r->created_at);
    grapheon_time(w, "updated_at", s->last_seen_at > r->updated_at ? s->last_seen_at : r->updated_at);
    grapheon_time(w, "last_seen_at", s->last_seen_at);
    jw_key(w, "policy");
    grapheon_policy(w, v->policy, -1);
    jw_key(w, "enrollment_key");
    grapheon_key(w, c, v->key);
    text(w, "rejection_reason", r->rejection_reason);
    text(w, "host", v->host_name);
    flag(w, "is_claimed", r->claim.len > 0);
    if (r->client_key.len)
        text(w, "client_key_sha256", r->client_key);
    flags(w, "flags", s->flags);
    if (v->policy && v->policy->target_version.len) {
        text(w, "target_version", v->policy->target_version);
        flag(w, "version_skew", report_is_other_version(r->version, v->policy->target_version));
    }
}

void grapheon_agent(struct jw *w, struct control *c, const struct reporter_view *v)
{
    jw_map(w);
    agent(w, c, v);
    jw_end_map(w);
}

static void refusal(struct jw *w, const struct report_last_refusal *why)
{
    jw_key(w, "last_refusal");
    if (!why) {
        jw_null(w);
        return;
    }
    jw_map(w);
    grapheon_time(w, "at", why->at);
    jw_key(w, "code");
    jw_cstr(w, why->code);
    jw_key(w, "detail");
    jw_cstr(w, why->text);
    jw_key(w, "source_ip");
    jw_cstr(w, why->peer);
    jw_end_map(w);
}

void grapheon_agent_judged(struct jw *w, struct control *c, const struct reporter_view *v)
{
    struct reporter_health h;

    reporter_judge(c, v, &h);
    jw_map(w);
    agent(w, c, v);
    flag(w, "overdue", h.is_overdue);
    grapheon_time(w, "due_at", h.due_at);
    jw_key(w, "failing_collectors");
    jw_list(w);
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++)
        if (report_collector_fails(h.collectors[s]))
            jw_cstr(w, name_of(report_section_names, (int)s));
    jw_end_list(w);
    refusal(w, h.refusal);
    jw_end_map(w);
}

/* -- check-ins */
void grapheon_summary(struct jw *w, const struct report_checkin *ck, uint64_t checkin_id, const struct grapheon_seen_lists *all)
{
    const struct report_summary *s = &ck->summary;

    jw_map(w);
    number(w, "hosts_created", s->hosts_created);
    number(w, "arp_entries_created", s->neighbors_created);
    number(w, "connections_created", s->connections_created);
    texts(w, "ip_addresses_seen", all ? all->ips : s->ips.v, all ? all->n_ips : s->ips.n);
    texts(w, "mac_addresses_seen", all ? all->macs : s->macs.v, all ? all->n_macs : s->macs.n);
    number(w, "neighbor_count", s->n_neighbors);
    number(w, "connection_count", s->n_connections);
    number(w, "route_count", s->n_routes);
    number(w, "raw_import_id", checkin_id);
    number(w, "address_count", s->n_addresses);
    number(w, "ip_addresses_seen_count", s->n_ips);
    jw_end_map(w);
}

void grapheon_checkin(struct jw *w, const struct report_checkin *ck, uint64_t checkin_id, usec_t received_at,
                      const struct grapheon_seen_lists *all)
{
    const struct report_summary *s = &ck->summary;

    jw_map(w);
    number(w, "id", checkin_id);
    number(w, "agent_id", ck->reporter_id);
    number(w, "raw_import_id", checkin_id);
    grapheon_time(w, "observed_at", ck->observed_at);
    grapheon_time(w, "received_at", received_at);
    jw_key(w, "sequence_number");
    if (ck->has_sequence)
        jw_u64(w, ck->sequence);
    else
        jw_null(w);
    flag(w, "full_snapshot", ck->is_full);
    jw_key(w, "content_encoding");
    jw_cstr(w, ck->is_gzip ? "gzip" : "identity");
    text(w, "source_ip", ck->peer);
    jw_key(w, "auth_method");
    jw_cstr(w, "api_key");
    text(w, "api_key_prefix", ck->key_hint);
    jw_key(w, "summary");
    grapheon_summary(w, ck, checkin_id, all);
    jw_key(w, "status");
    jw_cstr(w, "accepted");
    jw_key(w, "error_message");
    jw_null(w);
    number(w, "records_created", s->hosts_created + s->neighbors_created + s->connections_created);
    number(w, "rows_rejected", ck->n_rejected);
    flags(w, "flags", ck->flags);
    jw_end_map(w);
}

/* -- pages */
void grapheon_page_begin(struct jw *w, uint64_t total, uint64_t skip, uint64_t limit)
{
    jw_map(w);
    number(w, "total", total);
    number(w, "skip", skip);
    number(w, "limit", limit);
    jw_key(w, "items");
    jw_list(w);
}

void grapheon_page_end(struct jw *w)
{
    jw_end_list(w);
    jw_end_map(w);
}
