/* tests/unit/fleet/test_asset.c - the promises of fleet/asset.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "fleet/asset.h"

#define DAY USEC_PER_DAY

/* -- rows */
static uint64_t bit(const char *name)
{
    for (size_t i = 0; i < asset_wish_record.n_fields; i++)
        if (strcmp(asset_wish_record.fields[i].name, name) == 0)
            return (uint64_t)1 << i;
    fail_msg("no field %s", name);
    return 0;
}

static void a_new_row_has_the_usual_ports(void **state)
{
    (void)state;
    struct asset a;
    asset_defaults(&a, ASSET_ACTIVE, "agent");
    assert_int_equal(a.ssh_port, 22);
    assert_int_equal(a.node_exporter_port, 9100);
    assert_true(str_is(a.currency, "USD") && a.monitoring_enabled && a.status == ASSET_ACTIVE && a.provider_id.len == 0);
}

static void what_is_absent_stays_and_null_empties_only_what_may_be_empty(void **state)
{
    (void)state;
    static const char *const emptied[] = { "provider_id", "cpu_cores", "ram_mb", "disk_gb", "bandwidth_tb", "cost_monthly",
                                           "purchase_date", "expire_date" };
    const struct asset whole = { .hostname = STR("h"), .alias = STR("al"), .provider_id = STR("p"), .ssh_port = 1,
                                 .node_exporter_port = 2, .country = STR("c"), .city = STR("ci"), .dc_name = STR("d"),
                                 .currency = STR("EUR"), .cpu_cores = 3, .ram_mb = 4, .disk_gb = 5, .bandwidth_tb = STR("6"),
                                 .cost_monthly = STR("7"), .status = ASSET_ACTIVE, .purchase_date = STR("2020-01-01"),
                                 .expire_date = STR("2030-01-01"), .purpose = STR("other"), .vpn_protocol = STR("v"),
                                 .notes = STR("n"), .source = STR("s"), .monitoring_enabled = true };
    struct err err = { 0 };

    for (size_t i = 0; i < asset_wish_record.n_fields; i++) {
        const char *name = asset_wish_record.fields[i].name;
        struct asset_wish w = { .seen = { (uint64_t)1 << i, (uint64_t)1 << i } };
        struct asset a = whole;
        bool is_nullable = false;

        for (size_t k = 0; k < ARRAY_SIZE(emptied); k++)
            is_nullable |= strcmp(name, emptied[k]) == 0;
        assert_int_equal(asset_apply(&a, &w, &err), 0);
        for (size_t k = 0; k < asset_record.n_fields; k++) {
            const struct field *f = &asset_record.fields[k];
            const void *x = (const char *)&a + f->offset, *y = (const char *)&whole + f->offset;
            size_t size = f->type == FT_STR ? sizeof(struct str) : f->type == FT_BOOL ? sizeof(bool) : f->type == FT_I64 ? 8 : 4;

            if (f->type == FT_STR_LIST || f->type == FT_LIST || f->type == FT_JSON)
                continue;
            assert_int_equal(memcmp(x, y, size) != 0, is_nullable && strcmp(f->name, name) == 0);
        }
    }
}

static void a_wish_is_checked(void **state)
{
    (void)state;
    const struct {
        const char *field;
        struct asset_wish w;
        const char *slug;
    } rows[] = {
        { "hostname", { .hostname = STR(" \t") }, "request.bad" },
        { "status", { .status = ASSET_DELETED }, "field.enum" },
        { "purpose", { .purpose = STR("fun") }, "field.enum" },
        { "purpose", { .purpose = STR("vpn-relay") }, NULL },
        { "purpose", { .purpose = STR("") }, NULL },
        { "expire_date", { .expire_date = STR("2023-02-29") }, "field.format" },
        { "expire_date", { .expire_date = STR("2024-02-29") }, NULL },
        { "purchase_date", { .purchase_date = STR("2024-13-01") }, "field.format" },
        { "purchase_date", { .purchase_date = STR("24-1-1") }, "field.format" },
        { "cost_monthly", { .cost_monthly = { STR("\"9.99\"") } }, NULL },
        { "cost_monthly", { .cost_monthly = { STR("9.") } }, "field.format" },
        { "bandwidth_tb", { .bandwidth_tb = { STR("1e3") } }, "field.format" },
        { "bandwidth_tb", { .bandwidth_tb = { STR("true") } }, "field.format" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct asset_wish w = rows[i].w;
        struct asset a;
        struct err err = { 0 };
        asset_defaults(&a, ASSET_ACTIVE, "");
        a.hostname = STR("h");
        w.seen.present = bit(rows[i].field);
        assert_int_equal(asset_apply(&a, &w, &err), rows[i].slug ? -EINVAL : 0);
        assert_string_equal(err.slug, rows[i].slug ? rows[i].slug : "");
    }
}

static void decimals_are_digits_with_at_most_one_point(void **state)
{
    (void)state;
    static const char *const good[] = { "0", "12", "12.5", "-3", "0.01", "\"7\"", "123456789012345678901.12" };
    static const char *const bad[] = { "", "\"\"", ".", ".5", "5.", "1.2.3", "--1", "1-", "1e5", "NaN", "\"a\"", "1234567890123456789012.12", "-" };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_non_null(asset_decimal(str_of(good[i])).ptr);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_null(asset_decimal(str_of(bad[i])).ptr);
    assert_true(str_is(asset_decimal(STR("\"7.10\"")), "7.10"));
}

static void dates_are_days(void **state)
{
    (void)state;
    int64_t d = -1;
    assert_true(asset_date_days(STR("1970-01-01"), &d) && d == 0);
    assert_true(asset_date_days(STR("2000-03-01"), &d) && d == 11017);
    assert_false(asset_date_days(STR("1969-12-31"), &d));
    assert_false(asset_date_days(STR("2000-00-01"), &d));
    assert_false(asset_date_days(STR("2000-1-011"), &d));
    assert_false(asset_date_days(STR("2000/01/01"), &d));
    assert_false(asset_date_days(STR(""), &d));
}

static void a_set_provider_counts_as_said(void **state)
{
    (void)state;
    struct asset_wish w = { .seen = { bit("provider_id"), bit("provider_id") } };
    asset_wish_set_provider(&w, STR("p"));
    assert_true(field_is_present(&asset_wish_record, &w, "provider_id") && !field_is_null(&asset_wish_record, &w, "provider_id"));
}

/* -- life */
static void only_provisioning_becomes_active(void **state)
{
    (void)state;
    const int want[][3] = { { ASSET_PROVISIONING, ASSET_ACTIVE, 0 }, { ASSET_ACTIVE, ASSET_ACTIVE, 0 }, { ASSET_RETIRING, ASSET_RETIRING, 0 },
                            { ASSET_RETIRED, ASSET_RETIRED, 1 },     { ASSET_SUSPENDED, ASSET_SUSPENDED, 1 }, { ASSET_DELETED, ASSET_DELETED, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(asset_status_when_seen((enum asset_status)want[i][0]), want[i][1]);
        assert_int_equal(asset_is_unexpected((enum asset_status)want[i][0]), want[i][2]);
    }
}

static void online_is_a_beat_younger_than_180_seconds(void **state)
{
    (void)state;
    usec_t t = 1000 * DAY, edge = t + 180 * USEC_PER_SEC;
    assert_false(asset_is_online(0, t));
    assert_true(asset_is_online(t, t));
    assert_true(asset_is_online(t, edge - 1));
    assert_false(asset_is_online(t, edge));
}

static void expiring_is_due_within_the_days_or_overdue(void **state)
{
    (void)state;
    struct asset a = { .status = ASSET_ACTIVE, .expire_date = STR("2000-01-15") };
    int64_t due;
    assert_true(asset_date_days(a.expire_date, &due));
    usec_t day = (usec_t)due * DAY;
    assert_true(asset_is_expiring(&a, day - 14 * DAY, 14));
    assert_false(asset_is_expiring(&a, day - 14 * DAY - 1, 14));
    assert_true(asset_is_expiring(&a, day + 400 * DAY, 14));
    a.status = ASSET_RETIRED;
    assert_false(asset_is_expiring(&a, day, 14));
    a = (struct asset){ .status = ASSET_ACTIVE };
    assert_false(asset_is_expiring(&a, day, 14));
}

static void lists_go_by_status_then_expiry_with_none_last_then_name(void **state)
{
    (void)state;
    const struct asset in_order[] = {
        { .status = ASSET_ACTIVE, .expire_date = STR("2020-01-01"), .hostname = STR("z") },
        { .status = ASSET_ACTIVE, .expire_date = STR("2021-01-01"), .hostname = STR("b") },
        { .status = ASSET_ACTIVE, .expire_date = STR("2021-01-01"), .hostname = STR("c") },
        { .status = ASSET_ACTIVE, .hostname = STR("a") },
        { .status = ASSET_PROVISIONING, .hostname = STR("a") },
        { .status = ASSET_RETIRED, .expire_date = STR("2020-01-01"), .hostname = STR("a") },
    };
    for (size_t i = 0; i < ARRAY_SIZE(in_order); i++)
        for (size_t k = 0; k < ARRAY_SIZE(in_order); k++) {
            int d = asset_compare(&in_order[i], &in_order[k]);
            assert_int_equal(d < 0, i < k);
            assert_int_equal(d > 0, i > k);
        }
}

static void filters_let_through_what_they_name(void **state)
{
    (void)state;
    struct str tags[] = { STR("web,eu"), STR("x") };
    const struct asset a = { .status = ASSET_ACTIVE, .country = STR("NL"), .provider_id = STR("abc"), .purpose = STR("monitor"),
                             .tags = { tags, 2 }, .source = STR("agent"), .hostname = STR("h") };
    const struct asset_state st = { .last_heartbeat = 100 * DAY };
    usec_t now = 100 * DAY + 1;
    struct asset gone = a;
    gone.status = ASSET_DELETED;

    assert_true(asset_matches(&(struct asset_filter){ 0 }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ 0 }, &gone, &st, now));
    assert_true(asset_matches(&(struct asset_filter){ .status = ASSET_DELETED }, &gone, &st, now));
    assert_true(asset_matches(&(struct asset_filter){ .tag = STR("web,eu") }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ .tag = STR("web") }, &a, &st, now));
    assert_true(asset_matches(&(struct asset_filter){ .provider_id = STR("ABC"), .country = STR("NL") }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ .country = STR("nl") }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ .hostname = STR("H") }, &a, &st, now));
    assert_true(asset_matches(&(struct asset_filter){ .has_online = true, .is_online = true }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ .has_online = true, .is_online = false }, &a, &st, now));
    assert_false(asset_matches(&(struct asset_filter){ .has_expiring = true, .expiring_days = 9999 }, &a, &st, now));
}

/* -- addresses */
static struct asset_addresses list(struct asset_address *room, const char *text)
{
    struct asset_addresses l = { room, 0 };
    struct str rest = str_of(text), part;
    while (text[0] && str_cut(&rest, ' ', &part)) { /* "ip=label*" */
        struct str ip = part, label = STR("");
        bool is_manual = part.len && part.ptr[part.len - 1] == '*';
        ptrdiff_t at;
        part.len -= is_manual;
        ip = part;
        at = str_find_char(part, '=');
        if (at >= 0) {
            ip = str_sub(part, 0, (size_t)at);
            label = str_sub(part, (size_t)at + 1, part.len);
        }
        room[l.n++] = (struct asset_address){ ip, label, is_manual };
    }
    return l;
}
static void assert_list(const struct asset_addresses *l, const char *want)
{
    char text[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s%s%.*s%s", i ? " " : "", STR_FMT(l->v[i].ip), l->v[i].label.len ? "=" : "",
                              STR_FMT(l->v[i].label), l->v[i].is_manual ? "*" : "");
    assert_string_equal(text, want);
}

static void merging_keeps_labels_and_manual_entries(void **state)
{
    (void)state;
    const struct {
        const char *stored, *told, *want;
    } rows[] = {
        { "", "10.0.0.1=internal 1.1.1.1", "10.0.0.1=internal 1.1.1.1" },         /* new */
        { "1.1.1.1=up 2.2.2.2", "2.2.2.2=x 1.1.1.1=y", "2.2.2.2=x 1.1.1.1=up" },  /* kept, order of the agent */
        { "1.1.1.1=up 2.2.2.2=b", "1.1.1.1", "1.1.1.1=up" },                      /* removed */
        { "1.1.1.1=up* 2.2.2.2", "3.3.3.3", "3.3.3.3 1.1.1.1=up*" },              /* manual stays, behind */
        { "1.1.1.1* 2.2.2.2", "2.2.2.2 1.1.1.1=seen", "2.2.2.2 1.1.1.1=seen*" },  /* manual and seen */
        { "2001:DB8::1=a", "2001:db8::1=b", "2001:db8::1=a" },
        { "1.1.1.1=up 2.2.2.2=m*", "", "2.2.2.2=m*" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct asset_address a[8], b[8], room[ASSET_ADDRESSES];
        struct asset_addresses stored = list(a, rows[i].stored), told = list(b, rows[i].told), got;
        asset_addresses_by_agent(&stored, &told, room, &got);
        assert_list(&got, rows[i].want);
    }
}

static void what_an_operator_adds_is_manual(void **state)
{
    (void)state;
    struct asset_address a[8], b[8], room[ASSET_ADDRESSES];
    struct asset_addresses stored = list(a, "1.1.1.1 2.2.2.2=m*"), told = list(b, "2.2.2.2=n 3.3.3.3 1.1.1.1=l"), got;
    asset_addresses_by_operator(&stored, &told, room, &got);
    assert_list(&got, "2.2.2.2=n* 3.3.3.3* 1.1.1.1=l");
}

static void a_list_is_cleaned_and_bounded(void **state)
{
    (void)state;
    struct asset_address in[ASSET_ADDRESSES], room[ASSET_ADDRESSES];
    struct asset_addresses l = list(in, "1.1.1.1=a"), got;
    struct err err = { 0 };
    in[1] = (struct asset_address){ .ip = STR("  ") };
    in[2] = (struct asset_address){ .ip = STR(" 2.2.2.2 ") };
    in[3] = (struct asset_address){ .ip = STR("1.1.1.1"), .label = STR("again") };
    l.n = 4;
    assert_int_equal(asset_addresses_clean(&l, room, &got, &err), 0);
    assert_list(&got, "1.1.1.1=a 2.2.2.2");
    static const char *const bad[] = { "300.1.1.1", "1.2.3", "localhost", "1.1.1.1/24", "::g", "1.1.1.1 2", "[::1]" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        in[0].ip = str_of(bad[i]);
        l.n = 1;
        err = (struct err){ 0 };
        assert_int_equal(asset_addresses_clean(&l, room, &got, &err), -EINVAL);
        assert_string_equal(err.slug, "request.bad");
    }
}

struct seen_changes {
    char text[256];
};
static void on_change(void *ctx, const struct address_change *ch)
{
    struct seen_changes *s = ctx;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "%c%.*s%s ", ch->is_added ? '+' : '-', STR_FMT(ch->ip), ch->is_manual ? "*" : "");
}
static void a_difference_names_what_went_and_what_came(void **state)
{
    (void)state;
    struct asset_address a[8], b[8];
    struct asset_addresses from = list(a, "1.1.1.1=x 2.2.2.2"), to = list(b, "2.2.2.2=y 3.3.3.3");
    struct seen_changes s = { "" };
    asset_addresses_diff(&from, &to, true, on_change, &s);
    assert_string_equal(s.text, "-1.1.1.1* +3.3.3.3* ");
}

static void the_address_is_the_first_that_is_not_internal_else_the_first(void **state)
{
    (void)state;
    struct asset_address room[8];
    struct asset a = { .addresses = list(room, "10.0.0.1=internal 1.1.1.1 2.2.2.2") };
    assert_true(str_is(asset_address(&a), "1.1.1.1"));
    a.addresses = list(room, "10.0.0.1=internal 10.0.0.2=internal");
    assert_true(str_is(asset_address(&a), "10.0.0.1"));
    a.addresses.n = 0;
    assert_null(asset_address(&a).ptr);
}

/* -- dialling */
static void only_places_a_stranger_may_send_us_to_are_dialled(void **state)
{
    (void)state;
    const struct str own[] = { STR("203.0.113.1"), STR("2001:db8::1"), STR("fe80::1") };
    struct asset_dial_rules r = { .own = own, .n_own = 3 };
    static const char *const no[] = { "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.1.1", "fe80::2", "febf::1", "224.0.0.1",
                                      "239.1.1.1", "255.255.255.255", "ff02::1", "203.0.113.1", "2001:DB8:0::1", "::ffff:127.0.0.1",
                                      "::ffff:203.0.113.1", "::ffff:169.254.1.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
                                      "64:ff9b:1::10.0.0.1", "64:ff9b:1:a9fe:a9:fe00:808:808",
                                      "64:ff9b::203.0.113.1", "64:ff9b::", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:e000:1::", "2002:cb00:7101::7", "::127.0.0.1",
                                      "::169.254.169.254", "::2", "localhost", "", "1.2.3" };
    static const char *const yes[] = { "203.0.113.2", "10.0.0.1", "100.64.0.1", "223.255.255.255", "2001:db8::2", "fec0::1", "::ffff:10.0.0.1",
                                       "64:ff9b::203.0.113.2", "64:ff9b:2::7f00:1", "2002:a00:1::1", "::10.0.0.1" };
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        assert_false(asset_may_dial(str_of(no[i]), &r));
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        assert_true(asset_may_dial(str_of(yes[i]), &r));
    r.allow_loopback = true;
    assert_true(asset_may_dial(STR("127.0.0.1"), &r) && asset_may_dial(STR("::1"), &r) && asset_may_dial(STR("203.0.113.1"), &r));
    assert_false(asset_may_dial(STR("169.254.1.1"), &r));
}

static void the_places_are_public_ip_then_alias_then_the_list(void **state)
{
    (void)state;
    const struct asset_dial_rules r = { 0 };
    struct asset_address room[8];
    struct asset a = { .hostname = STR("h"), .alias = STR("edge.example"),
                       .addresses = list(room, "10.0.0.1=internal 169.254.1.1 198.51.100.2 198.51.100.3") };
    struct asset_state st = { .metrics_port = 9102, .public_ip = STR("198.51.100.1") };
    struct asset_dial d;
    struct err err = { 0 };

    assert_int_equal(asset_dial(&a, &st, &r, &d, &err), 0);
    assert_int_equal(d.n, 3);
    assert_int_equal(d.port, 9102);
    assert_true(str_is(d.place[0].host, "198.51.100.1") && !d.place[0].is_name);
    assert_true(str_is(d.place[1].host, "edge.example") && d.place[1].is_name);
    assert_true(str_is(d.place[2].host, "198.51.100.2"));

    static const char *const no_names[] = { "My server", "edge", "1.2.3.4", "a b.c", "http://x.y", ".x.y", "x.y:80", "-x.y" };
    st.public_ip = STR("127.0.0.1");
    for (size_t i = 0; i < ARRAY_SIZE(no_names); i++) {
        a.alias = str_of(no_names[i]);
        assert_int_equal(asset_dial(&a, &st, &r, &d, &err), 0);
        assert_int_equal(d.n, 1);
        assert_true(str_is(d.place[0].host, "198.51.100.2"));
    }
    a.addresses = list(room, "10.0.0.1=internal 169.254.1.1");
    assert_int_equal(asset_dial(&a, &st, &r, &d, &err), 0);
    assert_true(str_is(d.place[0].host, "10.0.0.1"));
    a.addresses = list(room, "127.0.0.1 169.254.1.1");
    assert_int_equal(asset_dial(&a, &st, &r, &d, &err), -EINVAL);
    assert_string_equal(err.slug, "asset.no_address");
}

static void the_port_is_the_last_beats_and_9102_before_the_first(void **state)
{
    (void)state;
    const struct asset_dial_rules r = { 0 };
    struct asset_address room[8];
    const struct asset a = { .hostname = STR("h"), .addresses = list(room, "198.51.100.2") };
    struct asset_dial d;
    struct err err = { 0 };
    const struct {
        uint32_t port;
        usec_t beat;
        int want, code;
    } rows[] = { { 0, 0, 9102, 0 }, { 0, 1, 0, -EINVAL }, { 1023, 1, 0, -EINVAL }, { 1024, 1, 1024, 0 }, { 65535, 1, 65535, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct asset_state st = { .metrics_port = rows[i].port, .last_heartbeat = rows[i].beat };
        assert_int_equal(asset_dial(&a, &st, &r, &d, &err), rows[i].code);
        if (rows[i].code == 0)
            assert_int_equal(d.port, rows[i].want);
    }
}

static void a_provider_has_a_name(void **state)
{
    (void)state;
    struct provider p = { .name = STR("n"), .rating = 3 };
    struct provider_wish w = { 0 };
    struct err err = { 0 };
    assert_int_equal(provider_apply(&p, &w, &err), 0);
    for (size_t i = 0; i < provider_wish_record.n_fields; i++)
        w.seen.present = w.seen.null |= (uint64_t)1 << i;
    assert_int_equal(provider_apply(&p, &w, &err), 0);
    assert_true(str_is(p.name, "n") && p.rating == 0);
    w.seen = (struct seen){ 1, 0 };
    w.name = STR(" ");
    assert_int_equal(provider_apply(&p, &w, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_row_has_the_usual_ports),
        cmocka_unit_test(what_is_absent_stays_and_null_empties_only_what_may_be_empty),
        cmocka_unit_test(a_wish_is_checked),
        cmocka_unit_test(decimals_are_digits_with_at_most_one_point),
        cmocka_unit_test(dates_are_days),
        cmocka_unit_test(a_set_provider_counts_as_said),
        cmocka_unit_test(only_provisioning_becomes_active),
        cmocka_unit_test(online_is_a_beat_younger_than_180_seconds),
        cmocka_unit_test(expiring_is_due_within_the_days_or_overdue),
        cmocka_unit_test(lists_go_by_status_then_expiry_with_none_last_then_name),
        cmocka_unit_test(filters_let_through_what_they_name),
        cmocka_unit_test(merging_keeps_labels_and_manual_entries),
        cmocka_unit_test(what_an_operator_adds_is_manual),
        cmocka_unit_test(a_list_is_cleaned_and_bounded),
        cmocka_unit_test(a_difference_names_what_went_and_what_came),
        cmocka_unit_test(the_address_is_the_first_that_is_not_internal_else_the_first),
        cmocka_unit_test(only_places_a_stranger_may_send_us_to_are_dialled),
        cmocka_unit_test(the_places_are_public_ip_then_alias_then_the_list),
        cmocka_unit_test(the_port_is_the_last_beats_and_9102_before_the_first),
        cmocka_unit_test(a_provider_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
