/* tests/unit/control/test_assets.c - machines: what agents and people do to them, and that it lasts. */
#include "fixture.h"

#include "control/assets.h"

static struct principal agent_of(struct fixture *f, const char *scope, bool bind, const struct credential **ret)
{
    char text[SECRET_TEXT_MAX];
    struct principal p = { 0 };
    f->err = (struct err){ 0 };
    const struct credential *cr = asset_key_create(f->c, &f->admin, STR("key"), str_of(scope), bind, text, &f->err);
    assert_non_null(cr);
    asset_principal(cr, &p);
    if (ret)
        *ret = cr;
    return p;
}
static struct asset_checkin report(const char *name)
{
    static struct heartbeat beat;
    return (struct asset_checkin){ .hostname = str_of(name), .may_create = true, .ssh_port = 22, .beat = &beat, .peer = "192.0.2.5",
                                   .state = { .system_info = { STR("{\"n\":1}") }, .metrics_port = 9102, .cpu_cores = 2 } };
}
static int send(struct fixture *f, const struct principal *p, struct asset_checkin in, bool is_register, struct asset_view *v)
{
    f->err = (struct err){ 0 };
    in.is_register = is_register;
    int r = asset_checkin(f->c, p, &in, v, &f->err);
    settle(f);
    return r;
}
static char *uuid_of(const struct asset_view *v)
{
    return str_dup(v->asset->uuid);
}
static size_t count_hosts(struct fixture *f)
{
    struct fleet_counts n;
    fleet_count(f->c, &n);
    return n.total;
}

static void a_registration_is_a_row_and_a_host(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_view v;
    struct host_view h;
    assert_int_equal(send(f, &p, report("web-1"), true, &v), 0);
    assert_true(v.is_online && v.asset->status == ASSET_ACTIVE && v.asset->provider_id.len == 0);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.state, HOST_APPROVED);
    assert_true(str_is(h.dialect, "sigma") && str_starts(h.decided_by, STR("sigma key")));
    assert_int_equal(h.claims.cpu_cores, 2);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
}

static void the_badge_and_presence_go_out_together(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_view v;
    struct host_view h;
    assert_int_equal(send(f, &p, report("web-1"), true, &v), 0);
    AUTO_FREE char *id = uuid_of(&v);
    pass(f, 179 * USEC_PER_SEC);
    assert_int_equal(asset_find(f->c, str_of(id), &v, &f->err), 0);
    assert_true(v.is_online);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_ONLINE);
    pass(f, 2 * USEC_PER_SEC);
    assert_int_equal(asset_find(f->c, str_of(id), &v, &f->err), 0);
    assert_false(v.is_online);
    assert_int_equal(host_find(f->c, STR("web-1"), &h, &f->err), 0);
    assert_int_equal(h.presence, PRESENCE_LATE);
}

static void all_of_it_is_there_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_address ips[] = { { STR("1.1.1.1"), STR("up"), false } };
    struct asset_checkin in = report("web-1");
    struct asset_view v;
    struct provider_view pv;
    const struct provider_wish pw = { .seen = { 1, 0 }, .name = STR("Acme") };
    in.addresses = (struct asset_addresses){ ips, 1 };
    assert_int_equal(send(f, &p, in, true, &v), 0);
    AUTO_FREE char *id = uuid_of(&v);
    assert_int_equal(provider_create(f->c, &f->admin, &pw, &pv, &f->err), 0);
    struct asset_wish w = { 0 };
    asset_wish_set_provider(&w, pv.provider->uuid);
    struct asset_extra x = { .is_given = true, .rest = { STR("{\"k\":1}") }, .retired_at = 7 };
    struct str others[] = { STR("old-1") };
    x.other_names = (struct str_list){ others, 1 };
    assert_int_equal(asset_change(f->c, &f->admin, str_of(id), &w, &x, &v, &f->err), 0);
    clock_turn(&f->clock, USEC_PER_SEC);
    assert_int_equal(send(f, &p, report("web-1"), false, &v), 0);
    usec_t beat = v.state->last_heartbeat;
    settle(f);
    restart(f);
    assert_int_equal(asset_find(f->c, str_of(id), &v, &f->err), 0);
    assert_true(str_is(v.asset->hostname, "web-1") && v.asset->addresses.n == 1 && str_is(v.asset->addresses.v[0].label, "up"));
    assert_true(str_is(v.asset->extra.text, "{\"k\":1}") && v.asset->retired_at == 7 && str_is(v.asset->other_names.v[0], "old-1"));
    assert_true(v.provider && str_is(v.provider->name, "Acme"));
    assert_int_equal(v.state->last_heartbeat, beat);
    assert_int_equal(v.state->metrics_port, 9102);
    assert_true(str_is(v.state->system_info.text, "{\"n\":1}"));
    /* by its other name too, and as the same host */
    assert_int_equal(send(f, &p, report("old-1"), false, &v), 0);
    assert_true(str_is(v.asset->uuid, id));
    assert_int_equal(count_hosts(f), 1);
}

static void a_beat_of_a_stranger_makes_a_row_or_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_checkin in = report("new");
    struct asset_view v;
    in.may_create = false;
    assert_int_equal(send(f, &p, in, false, &v), -ENOENT);
    assert_string_equal(f->err.slug, "asset.unknown");
    assert_int_equal(count_hosts(f), 0);
    in.may_create = true;
    assert_int_equal(send(f, &p, in, false, &v), 0);
    assert_int_equal(count_hosts(f), 1);
}

static void only_speakers_speak(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *scope;
        int want;
    } rows[] = { { "admin", 0 }, { "operator", 0 }, { "agent", 0 }, { "readonly", -EACCES } };
    struct asset_view v;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct principal p = agent_of(f, rows[i].scope, false, NULL);
        assert_int_equal(send(f, &p, report("web-1"), true, &v), rows[i].want);
    }
    assert_int_equal(send(f, &f->viewer, report("web-1"), true, &v), -EACCES);
    assert_int_equal(send(f, &f->admin, report("web-1"), true, &v), 0);
}

static void a_bound_key_is_bound_by_the_first_that_gets_in(void **state)
{
    struct fixture *f = *state;
    const struct credential *cr;
    struct principal p = agent_of(f, "agent", true, &cr);
    uint64_t id = cr->id;
    struct asset_view v;
    struct asset_checkin bad = report("first");
    bad.may_create = false;
    assert_int_equal(send(f, &p, bad, false, &v), -ENOENT); /* binds nothing */
    assert_int_equal(credential_by_id(f->c, id)->bound_hostname.len, 0);
    assert_int_equal(send(f, &p, report("mine"), true, &v), 0);
    assert_int_equal(send(f, &p, report("other"), true, &v), -EACCES);
    assert_int_equal(send(f, &p, report(" "), true, &v), -EINVAL); /* the body first */
    restart(f);
    assert_int_equal(send(f, &p, report("other"), true, &v), -EACCES);
    assert_int_equal(send(f, &p, report("mine"), false, &v), 0);
}

static void revoking_the_host_stops_its_agent_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_view v;
    assert_int_equal(send(f, &p, report("web-1"), true, &v), 0);
    AUTO_FREE char *id = uuid_of(&v);
    usec_t beat = v.state->last_heartbeat;
    assert_int_equal(enroll_revoke(f->c, &f->admin, STR("web-1"), STR("gone"), &f->err), 0);
    clock_turn(&f->clock, USEC_PER_SEC);
    assert_int_equal(send(f, &p, report("web-1"), false, &v), -EACCES);
    assert_string_equal(f->err.slug, "host.revoked");
    assert_int_equal(send(f, &p, report("web-1"), true, &v), -EACCES);
    assert_int_equal(asset_find(f->c, str_of(id), &v, &f->err), 0);
    assert_int_equal(v.state->last_heartbeat, beat);
    /* forgotten: the row stays, its agent makes a new host */
    assert_int_equal(host_forget(f->c, &f->admin, STR("web-1"), &f->err), 0);
    settle(f);
    assert_int_equal(send(f, &p, report("web-1"), false, &v), 0);
    assert_true(str_is(v.asset->uuid, id));
    assert_int_equal(count_hosts(f), 1);
}

static int create(struct fixture *f, const char *name, struct asset_view *v)
{
    const struct asset_wish w = { .seen = { 1, 0 }, .hostname = str_of(name) };
    f->err = (struct err){ 0 };
    int r = asset_create(f->c, &f->admin, &w, &(struct asset_extra){ 0 }, v, &f->err);
    settle(f);
    return r;
}

static void names_are_unique_among_the_living(void **state)
{
    struct fixture *f = *state;
    struct asset_view v;
    assert_int_equal(create(f, "a", &v), 0);
    AUTO_FREE char *a = uuid_of(&v);
    assert_int_equal(create(f, "a", &v), -EEXIST);
    assert_int_equal(create(f, "b", &v), 0);
    AUTO_FREE char *b = uuid_of(&v);
    const struct asset_wish to_a = { .seen = { 1, 0 }, .hostname = STR("a") };
    assert_int_equal(asset_change(f->c, &f->admin, str_of(b), &to_a, &(struct asset_extra){ 0 }, &v, &f->err), -EEXIST);
    assert_int_equal(asset_delete(f->c, &f->admin, str_of(a), &f->err), 0);
    assert_int_equal(asset_change(f->c, &f->admin, str_of(b), &to_a, &(struct asset_extra){ 0 }, &v, &f->err), 0);
    assert_int_equal(asset_restore(f->c, &f->admin, str_of(a), &v, &f->err), -EEXIST);
    assert_int_equal(asset_delete(f->c, &f->admin, str_of(b), &f->err), 0);
    assert_int_equal(asset_restore(f->c, &f->admin, str_of(a), &v, &f->err), 0);
    assert_int_equal(v.asset->status, ASSET_RETIRED);
    restart(f);
    assert_int_equal(create(f, "a", &v), -EEXIST);
}

/* One key makes as many machines as it likes: what they tell of themselves is bounded together. */
static void large_reports_have_room_together_small_ones_always(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    AUTO_FREE char *text = xcalloc(1, 64 << 10);
    struct asset_view v;
    int n = 0, r = 0;
    memset(text, 'x', (64 << 10) - 1);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + (64 << 10) - 3, "\"}", 2);
    struct asset_checkin large = report("host"), small = report("late");
    large.state.system_info.text = str_of(text);
    char name[32];
    while (r == 0 && n < 2000) {
        snprintf(name, sizeof(name), "host-%d", n);
        large.hostname = str_of(name);
        f->err = (struct err){ 0 };
        large.is_register = true;
        r = asset_checkin(f->c, &p, &large, &v, &f->err);
        n += r == 0;
    }
    settle(f);
    assert_int_equal(r, -EINVAL);
    assert_string_equal(f->err.slug, "field.too_long");
    assert_int_equal(n, (64 << 20) / ((64 << 10) - 1));
    assert_int_equal(send(f, &p, small, true, &v), 0);
    restart(f);
    assert_int_equal(send(f, &p, large, true, &v), -EINVAL);
    large.hostname = STR("host-0"); /* in the place of what it had */
    assert_int_equal(send(f, &p, large, false, &v), 0);
    small.hostname = STR("host-0");
    assert_int_equal(send(f, &p, small, false, &v), 0);
    large.hostname = STR("late");
    assert_int_equal(send(f, &p, large, false, &v), 0);
}

static void deleting_a_row_leaves_a_linked_host(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    const struct principal operator = { .kind = PRINCIPAL_TOKEN, .role = ROLE_OPERATOR, .name = "otto" };
    struct sim *m = sim_ready(f, "native-1");
    struct asset_view v;
    struct host_view h;
    assert_int_equal(send(f, &p, report("edge"), true, &v), 0);
    AUTO_FREE char *id = uuid_of(&v);
    assert_int_equal(host_link(f->c, &f->admin, STR("native-1"), STR("edge"), &f->err), 0);
    settle(f);
    assert_int_equal(asset_delete(f->c, &operator, str_of(id), &f->err), 0);
    settle(f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(host_find(f->c, STR("native-1"), &h, &f->err), 0);
        assert_int_equal(h.state, HOST_APPROVED);
        if (i == 0)
            restart(f);
    }
    assert_int_equal(send(f, &p, report("edge"), true, &v), 0); /* anew: a row and a host of its own */
    assert_false(str_is(v.asset->uuid, id));
    assert_int_equal(host_find(f->c, STR("edge"), &h, &f->err), 0);
    sim_free(m);
}

static void a_deleted_row_takes_no_other_step(void **state)
{
    struct fixture *f = *state;
    struct asset_view v;
    assert_int_equal(create(f, "a", &v), 0);
    AUTO_FREE char *a = uuid_of(&v);
    assert_int_equal(asset_restore(f->c, &f->admin, str_of(a), &v, &f->err), -EBUSY);
    assert_int_equal(asset_delete(f->c, &f->admin, str_of(a), &f->err), 0);
    assert_int_equal(asset_delete(f->c, &f->admin, str_of(a), &f->err), -ENOENT);
    assert_int_equal(asset_retire(f->c, &f->admin, str_of(a), &v, &f->err), -EBUSY);
    assert_int_equal(asset_change(f->c, &f->admin, str_of(a), &(struct asset_wish){ 0 }, &(struct asset_extra){ 0 }, &v, &f->err), -EBUSY);
}

static void viewers_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct asset_view v;
    struct provider_view pv;
    struct asset_dial d;
    char text[SECRET_TEXT_MAX];
    assert_int_equal(create(f, "a", &v), 0);
    AUTO_FREE char *a = uuid_of(&v);
    const struct principal *p = &f->viewer;
    const struct ports_wish one = { .count = 1 };
    assert_int_equal(asset_create(f->c, p, &(struct asset_wish){ 0 }, &(struct asset_extra){ 0 }, &v, &f->err), -EACCES);
    assert_int_equal(asset_change(f->c, p, str_of(a), &(struct asset_wish){ 0 }, &(struct asset_extra){ 0 }, &v, &f->err), -EACCES);
    assert_int_equal(asset_delete(f->c, p, str_of(a), &f->err), -EACCES);
    assert_int_equal(asset_retire(f->c, p, str_of(a), &v, &f->err), -EACCES);
    assert_int_equal(asset_restore(f->c, p, str_of(a), &v, &f->err), -EACCES);
    assert_int_equal(asset_ports(f->c, p, str_of(a), &one, &(struct asset_dial_rules){ 0 }, NULL, NULL, &d, &f->err), -EACCES);
    assert_int_equal(provider_create(f->c, p, &(struct provider_wish){ 0 }, &pv, &f->err), -EACCES);
    assert_int_equal(provider_delete(f->c, p, STR("x"), &f->err), -EACCES);
    assert_null(asset_key_create(f->c, p, STR("k"), STR("agent"), false, text, &f->err));
    assert_int_equal(asset_key_delete(f->c, p, 1, &f->err), -EACCES);
}

static void ports_are_counted_before_anybody_is_asked(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_address ips[] = { { STR("198.51.100.1"), STR(""), false } };
    struct asset_checkin in = report("web-1");
    struct asset_view v;
    struct asset_dial d;
    static const struct {
        uint32_t max, count;
        int want;
    } rows[] = { { 0, 0, -EINVAL }, { 0, 1, ASSET_PORTS_DIAL }, { 0, 100, ASSET_PORTS_DIAL }, { 0, 101, -EINVAL },
                 { 500, 500, ASSET_PORTS_DIAL }, { 500, 501, -EINVAL } };
    in.addresses = (struct asset_addresses){ ips, 1 };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct ports_wish w = { .count = rows[i].count };
        in.state.ports_max = rows[i].max;
        assert_int_equal(send(f, &p, in, true, &v), 0);
        AUTO_FREE char *id = uuid_of(&v);
        f->err = (struct err){ 0 };
        assert_int_equal(asset_ports(f->c, &f->admin, str_of(id), &w, &(struct asset_dial_rules){ 0 }, NULL, NULL, &d, &f->err), rows[i].want);
        assert_string_equal(f->err.slug, rows[i].want < 0 ? "field.range" : "");
    }
    assert_int_equal(d.port, 9102);
}

struct rows {
    size_t n;
    char text[512];
    int result;
};
static void on_history(void *ctx, uint64_t id, usec_t at, const struct address_change *ch)
{
    struct rows *r = ctx;
    size_t n = strlen(r->text);
    (void)id;
    (void)at;
    r->n++;
    snprintf(r->text + n, sizeof(r->text) - n, "%c%.*s%s ", ch->is_added ? '+' : '-', STR_FMT(ch->ip), ch->is_manual ? "*" : "");
}
static void on_history_done(void *ctx, int result)
{
    ((struct rows *)ctx)->result = result + 1;
}
static void addresses_that_came_and_went_are_kept_newest_first(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_address one[] = { { STR("1.1.1.1"), STR(""), false } }, two[] = { { STR("2.2.2.2"), STR(""), false } };
    struct asset_checkin in = report("web-1");
    struct asset_view v;
    struct rows r = { 0 };
    in.addresses = (struct asset_addresses){ one, 1 };
    assert_int_equal(send(f, &p, in, true, &v), 0);
    in.addresses = (struct asset_addresses){ two, 1 };
    assert_int_equal(send(f, &p, in, false, &v), 0);
    in.addresses = (struct asset_addresses){ 0 };
    assert_int_equal(send(f, &p, in, false, &v), 0); /* none: as they were */
    asset_history(f->c, v.id, 10, on_history, on_history_done, &r);
    while (!r.result)
        fixture_wait(f);
    assert_string_equal(r.text, "+2.2.2.2 -1.1.1.1 +1.1.1.1 ");
}

static void a_caller_beyond_its_bucket_waits(void **state)
{
    struct fixture *f = *state;
    struct principal shared = agent_of(f, "agent", false, NULL), bound = agent_of(f, "agent", true, NULL);
    struct asset_quota q;
    assert_int_equal(asset_admit(f->c, &bound, true, &q, &f->err), 0);
    assert_int_equal(q.limit, 300);
    assert_int_equal(q.remaining, 299);
    for (int i = 1; i < 300; i++)
        assert_int_equal(asset_admit(f->c, &bound, true, &q, &f->err), 0);
    assert_int_equal(q.remaining, 0);
    assert_int_equal(asset_admit(f->c, &bound, true, &q, &f->err), -EBUSY);
    assert_string_equal(f->err.slug, "rate.limited");
    assert_true(q.wait > 0);
    assert_int_equal(asset_admit(f->c, &bound, false, &q, &f->err), 0); /* its reading is counted apart */
    assert_int_equal(q.limit, 1000);
    assert_int_equal(asset_admit(f->c, &shared, true, &q, &f->err), 0);
    assert_int_equal(q.limit, 100000);
    clock_turn(&f->clock, USEC_PER_SEC);
    for (int i = 0; i < 5; i++)
        assert_int_equal(asset_admit(f->c, &bound, true, &q, &f->err), 0);
    assert_int_equal(asset_admit(f->c, &bound, true, &q, &f->err), -EBUSY);
}

static void many_callers_take_bounded_room(void **state)
{
    struct fixture *f = *state;
    struct asset_quota q;
    struct principal p = { .kind = PRINCIPAL_SESSION, .role = ROLE_VIEWER };
    for (int i = 0; i < 5000; i++) {
        snprintf(p.name, sizeof(p.name), "user-%d", i);
        assert_int_equal(asset_admit(f->c, &p, false, &q, &f->err), 0);
        assert_int_equal(q.remaining, 999);
    }
}

static void a_provider_that_goes_leaves_its_machines(void **state)
{
    struct fixture *f = *state;
    const struct provider_wish pw = { .seen = { 1, 0 }, .name = STR("Acme") };
    struct provider_view pv;
    struct asset_view v;
    assert_int_equal(provider_create(f->c, &f->admin, &pw, &pv, &f->err), 0);
    AUTO_FREE char *id = str_dup(pv.provider->uuid);
    assert_int_equal(provider_create(f->c, &f->admin, &pw, &pv, &f->err), -EEXIST);
    assert_int_equal(create(f, "a", &v), 0);
    AUTO_FREE char *a = uuid_of(&v);
    struct asset_wish w = { 0 };
    asset_wish_set_provider(&w, str_of(id));
    assert_int_equal(asset_change(f->c, &f->admin, str_of(a), &w, &(struct asset_extra){ 0 }, &v, &f->err), 0);
    assert_int_equal(provider_find(f->c, str_of(id), &pv, &f->err), 0);
    assert_int_equal(pv.n_assets, 1);
    assert_int_equal(provider_delete(f->c, &f->admin, str_of(id), &f->err), 0);
    assert_int_equal(asset_find(f->c, str_of(a), &v, &f->err), 0);
    assert_true(v.asset->provider_id.len == 0 && !v.provider);
    f->err = (struct err){ 0 };
    assert_int_equal(asset_change(f->c, &f->admin, str_of(a), &w, &(struct asset_extra){ 0 }, &v, &f->err), -EINVAL);
    assert_string_equal(f->err.slug, "field.provider");
    settle(f);
    restart(f);
    assert_int_equal(provider_find(f->c, str_of(id), &pv, &f->err), -ENOENT);
}

static void a_deleted_key_is_gone(void **state)
{
    struct fixture *f = *state;
    const struct credential *cr;
    (void)agent_of(f, "operator", false, &cr);
    uint64_t id = cr->id;
    assert_non_null(asset_key_find(f->c, id, &f->err));
    assert_int_equal(asset_key_delete(f->c, &f->admin, id, &f->err), 0);
    assert_null(asset_key_find(f->c, id, &f->err));
    assert_int_equal(asset_key_delete(f->c, &f->admin, id, &f->err), -ENOENT);
}

/* -- lists */
static uint64_t wish_bit(const char *name)
{
    for (size_t i = 0; i < asset_wish_record.n_fields; i++)
        if (strcmp(asset_wish_record.fields[i].name, name) == 0)
            return (uint64_t)1 << i;
    fail_msg("no such field: %s", name);
    return 0;
}
enum { ROWS = 40 };
struct page {
    char name[ROWS][8];
    size_t n;
};
static bool on_page(void *ctx, const struct asset_view *v)
{
    struct page *p = ctx;
    assert_true(p->n < ROWS);
    snprintf(p->name[p->n++], sizeof(p->name[0]), "%.*s", STR_FMT(v->asset->hostname));
    return true;
}
static struct asset wanted_of[2 * ROWS];
static int compare_wanted(const void *a, const void *b)
{
    return asset_compare(a, b);
}
static bool on_model(void *ctx, const struct asset_view *v)
{
    size_t *n = ctx;
    assert_true(*n < ARRAY_SIZE(wanted_of));
    wanted_of[(*n)++] = *v->asset;
    return true;
}
/* Against a naive copy: every page of every filter is what sorting all rows would give. */
static void check_pages(struct fixture *f)
{
    for (int status = 0; status <= ASSET_DELETED; status++)
        for (int more = 0; more < 3; more++)
            for (size_t skip = 0; skip <= 12; skip += 3) {
                const struct asset_filter flt = { .status = status,
                                                  .country = more == 1 ? STR("NL") : STR_NONE,
                                                  .hostname = more == 2 ? STR("h3") : STR_NONE };
                size_t n = 0;
                struct page got = { .n = 0 };
                size_t total = asset_list(f->c, &flt, ASSET_BY_NAME, on_model, &n);
                assert_int_equal(total, n);
                for (size_t i = 1; i < n; i++)
                    assert_true(asset_compare_names(&wanted_of[i - 1], &wanted_of[i]) < 0);
                if (n)
                    qsort(wanted_of, n, sizeof(*wanted_of), compare_wanted);
                assert_int_equal(asset_page(f->c, &flt, skip, 5, on_page, &got), n);
                assert_int_equal(got.n, skip >= n ? 0 : n - skip < 5 ? n - skip : 5);
                for (size_t i = 0; i < got.n; i++)
                    assert_true(str_is(wanted_of[skip + i].hostname, got.name[i]));
            }
}
static void lists_are_in_order_whatever_was_changed(void **state)
{
    struct fixture *f = *state;
    char id[ROWS][37], name[8], due[12];
    size_t n = 0;
    struct asset_view v;
    const struct asset_extra x = { 0 };
    srand(11);
    check_pages(f);
    for (int step = 0; step < 150; step++) {
        size_t at = n ? (size_t)rand() % n : 0;
        snprintf(name, sizeof(name), "h%d", rand() % 60);
        snprintf(due, sizeof(due), "2030-01-%02d", rand() % 28 + 1);
        struct asset_wish w = { 0 };
        f->err = (struct err){ 0 };
        switch (rand() % 5) {
        case 0:
        case 1:
            if (n == ROWS)
                break;
            w.hostname = str_of(name);
            w.country = rand() % 2 ? STR("NL") : STR("DE");
            w.seen.present = wish_bit("hostname") | wish_bit("country");
            if (asset_create(f->c, &f->admin, &w, &x, &v, &f->err) == 0)
                snprintf(id[n++], sizeof(id[0]), "%.*s", STR_FMT(v.asset->uuid));
            break;
        case 2:
            w.hostname = str_of(name);
            w.status = rand() % ASSET_DELETED + 1;
            w.expire_date = rand() % 3 ? str_of(due) : STR_NONE;
            w.seen.present = wish_bit("status") | wish_bit("expire_date") | (rand() % 2 ? wish_bit("hostname") : 0);
            if (n)
                (void)asset_change(f->c, &f->admin, str_of(id[at]), &w, &x, &v, &f->err);
            break;
        case 3:
            if (n)
                (void)asset_delete(f->c, &f->admin, str_of(id[at]), &f->err);
            break;
        default:
            if (n)
                (void)asset_restore(f->c, &f->admin, str_of(id[at]), &v, &f->err);
        }
        if (step % 10 == 0)
            check_pages(f);
    }
    settle(f);
    restart(f);
    check_pages(f);
}

/* -- the token of its metrics port */
static int set_token(struct fixture *f, const char *id, struct str token, bool is_null, struct asset_view *v)
{
    struct asset_wish w = { .metrics_token = token };
    const struct asset_extra x = { 0 };
    *(is_null ? &w.seen.null : &w.seen.present) = wish_bit("metrics_token");
    f->err = (struct err){ 0 };
    return asset_change(f->c, &f->admin, str_of(id), &w, &x, v, &f->err);
}
static void check_token(struct fixture *f, const struct asset *a, const char *want)
{
    AUTO(buf_done_secret) struct buf b = BUF(512);
    assert_int_equal(asset_token(f->c, a, &b), want != NULL);
    assert_true(str_is(buf_as_str(&b), want ? want : ""));
}
static size_t n_rows, n_leaks, n_told;
static void on_audited(void *ctx, const struct audit_row *a)
{
    (void)ctx;
    n_rows++;
    for (size_t i = 0; i < a->details.n; i++) {
        n_leaks += str_find(a->details.v[i].value, STR("s3cret")) >= 0;
        n_told += str_is(a->details.v[i].key, "metrics_token");
    }
}
static void a_token_is_kept_sealed_and_told_to_nobody(void **state)
{
    struct fixture *f = *state;
    struct principal p = agent_of(f, "agent", false, NULL);
    struct asset_view v, o;
    struct read_wait w = { .f = f };
    assert_int_equal(send(f, &p, report("web-1"), true, &v), 0);
    AUTO_FREE char *id = uuid_of(&v);
    assert_int_equal(send(f, &p, report("web-2"), true, &o), 0);
    AUTO_FREE char *other = uuid_of(&o);
    check_token(f, v.asset, NULL);
    assert_int_equal(set_token(f, id, STR("s3cret~!"), false, &v), 0);
    assert_true(v.asset->sealed_token.len > 0 && str_find(v.asset->sealed_token, STR("s3cret")) < 0);
    check_token(f, v.asset, "s3cret~!");
    /* what is sealed for one row is nothing in another */
    assert_int_equal(asset_find(f->c, str_of(other), &o, &f->err), 0);
    struct asset stolen = *o.asset;
    stolen.sealed_token = v.asset->sealed_token;
    check_token(f, &stolen, NULL);
    /* a beat leaves it alone, and so does a change of something else; a restart too */
    assert_int_equal(send(f, &p, report("web-1"), true, &v), 0);
    settle(f);
    restart(f);
    assert_int_equal(asset_find(f->c, str_of(id), &v, &f->err), 0);
    check_token(f, v.asset, "s3cret~!");
    /* blanks and line ends never get into a header */
    for (const char *const *bad = (const char *const[]){ "s3cret x", "s3cret\r\nX: y", "s\xc3\xa9", NULL }; *bad; bad++)
        assert_int_equal(set_token(f, id, str_of(*bad), false, &v), -EINVAL);
    char longest[ASSET_TOKEN_BYTES + 1];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[ASSET_TOKEN_BYTES] = '\0';
    assert_int_equal(set_token(f, id, str_of(longest), false, &v), 0);
    check_token(f, v.asset, longest);
    assert_int_equal(set_token(f, id, STR_NONE, true, &v), 0);
    check_token(f, v.asset, NULL);
    assert_int_equal(set_token(f, id, STR("s3cret"), false, &v), 0);
    assert_int_equal(asset_delete(f->c, &f->admin, str_of(id), &f->err), 0);
    assert_int_equal(asset_restore(f->c, &f->admin, str_of(id), &v, &f->err), 0);
    check_token(f, v.asset, NULL);
    settle(f);
    n_rows = n_leaks = n_told = 0;
    read_audit(f->c, 0, false, 10000, on_audited, read_finish, &w);
    read_wait_for(&w);
    assert_true(n_rows > 5);
    assert_int_equal(n_told, 5); /* set, set, cleared, set, cleared with the row */
    assert_int_equal(n_leaks, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(a_registration_is_a_row_and_a_host),
        T(the_badge_and_presence_go_out_together),
        T(all_of_it_is_there_after_a_restart),
        T(a_beat_of_a_stranger_makes_a_row_or_is_unknown),
        T(only_speakers_speak),
        T(a_bound_key_is_bound_by_the_first_that_gets_in),
        T(revoking_the_host_stops_its_agent_and_changes_nothing),
        T(names_are_unique_among_the_living),
        T(deleting_a_row_leaves_a_linked_host),
        T(large_reports_have_room_together_small_ones_always),
        T(a_deleted_row_takes_no_other_step),
        T(viewers_change_nothing),
        T(ports_are_counted_before_anybody_is_asked),
        T(addresses_that_came_and_went_are_kept_newest_first),
        T(a_caller_beyond_its_bucket_waits),
        T(many_callers_take_bounded_room),
        T(a_provider_that_goes_leaves_its_machines),
        T(a_deleted_key_is_gone),
        T(lists_are_in_order_whatever_was_changed),
        T(a_token_is_kept_sealed_and_told_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
