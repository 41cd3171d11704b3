/* tests/unit/store/test_hosts.c - hosts, install tokens, users, API tokens, small values: what was put is
 * there after a restart. */
#include "fixture.h"

static struct str addresses[] = { STR("192.0.2.1"), STR("2001:db8::1") };
static struct kv claimed[] = { { STR("role"), STR("db") } };
static struct kv labels[] = { { STR("zeta"), STR("1") },
                              { STR("alpha"), STR("\"quoted\" \xc3\xa4\n") },
                              { STR("e"), STR("") } };

static struct host_row host(uint64_t id)
{
    struct host_row h = {
        .id = id,
        .state = HOST_APPROVED,
        .name = STR("web-1"),
        .dialect = STR("native"),
        .claims = { .hostname = STR("web"),
                    .machine_id = STR("m"),
                    .os = STR("Debian"),
                    .kernel = STR("6.1"),
                    .arch = STR("x86_64"),
                    .agent_version = STR("0.1"),
                    .addresses = { addresses, 2 },
                    .labels = { claimed, 1 },
                    .cpu_cores = 4,
                    .memory_bytes = 1ull << 60,
                    .disk_bytes = 5 },
        .labels = { labels, 3 },
        .csr_pem = STR("-----BEGIN"),
        .created_at = 11,
        .decided_at = 12,
        .decided_by = STR("alice"),
        .decided_why = STR("not ours"),
        .cert_serial = STR("0a"),
        .cert_not_after = USEC_NEVER,
        .token_id = 3,
        .clone_note = STR("two machines"),
    };
    snprintf(h.uuid, sizeof(h.uuid), "018bcfe5-6800-7000-8000-%012lx", (unsigned long)id);
    memset(h.fingerprint, (int)id, SHA256_LEN);
    return h;
}

static void check_host(void *ctx, const struct host_row *h, const struct seen_row *seen)
{
    struct fixture *f = ctx;
    struct host_row want = host(h->id);
    assert_int_equal(h->id, ++f->n_rows);
    assert_string_equal(h->uuid, want.uuid);
    assert_int_equal(h->state, HOST_APPROVED);
    assert_memory_equal(h->fingerprint, want.fingerprint, SHA256_LEN);
    assert_str(h->dialect, "native");
    assert_str(h->claims.hostname, "web");
    assert_str(h->claims.machine_id, "m");
    assert_str(h->claims.os, "Debian");
    assert_str(h->claims.kernel, "6.1");
    assert_str(h->claims.arch, "x86_64");
    assert_str(h->claims.agent_version, "0.1");
    assert_int_equal(h->claims.cpu_cores, 4);
    assert_int_equal(h->claims.disk_bytes, 5);
    assert_str(h->claims.addresses.v[0], "192.0.2.1");
    assert_int_equal(h->claims.addresses.n, 2);
    assert_str(h->claims.addresses.v[1], "2001:db8::1");
    assert_int_equal(h->claims.labels.n, 1);
    assert_str(h->claims.labels.v[0].value, "db");
    assert_true(h->claims.memory_bytes == 1ull << 60);
    assert_int_equal(h->labels.n, 3);
    for (size_t i = 0; i < 3; i++) { /* in the order they were put */
        assert_true(str_eq(h->labels.v[i].key, labels[i].key));
        assert_true(str_eq(h->labels.v[i].value, labels[i].value));
    }
    assert_str(h->csr_pem, "-----BEGIN");
    assert_int_equal(h->created_at, 11);
    assert_int_equal(h->decided_at, 12);
    assert_str(h->decided_by, "alice");
    assert_str(h->decided_why, "not ours");
    assert_str(h->cert_serial, "0a");
    assert_true(h->cert_not_after == USEC_NEVER);
    assert_int_equal(h->token_id, 3);
    assert_str(h->clone_note, "two machines");
    if (h->id == 1) {
        assert_str(h->name, "web-1");
        assert_true(seen->spool_epoch == UINT64_MAX && seen->acked_seq == 7 && seen->last_seen == 8);
    } else {
        assert_str(h->name, "other");
        assert_int_equal(seen->host_id, 2);
        assert_int_equal(seen->last_seen, 0);
    }
}

static void a_host_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    struct host_row a = host(1), b = host(2);
    b.name = STR("other");
    store_put_host(f->s, &b);
    store_put_host(f->s, &a);
    store_put_seen(f->s, &(struct seen_row){ 1, 5, 5, 5 });
    store_put_seen(f->s, &(struct seen_row){ 1, UINT64_MAX, 7, 8 });
    fixture_reopen(f);
    f->n_rows = 0;
    assert_int_equal(store_load_hosts(f->s, check_host, f, NULL), 0);
    assert_int_equal(f->n_rows, 2);
}

static void note_host(void *ctx, const struct host_row *h, const struct seen_row *seen)
{
    struct fixture *f = ctx;
    (void)seen;
    f->n_rows++;
    assert_str(h->name, "renamed");
    assert_int_equal(h->state, HOST_REVOKED);
    assert_int_equal(h->labels.n, 0);
}

static void a_second_put_replaces_and_del_frees_name_and_key(void **state)
{
    struct fixture *f = *state;
    struct host_row a = host(1), b = host(2);
    store_put_host(f->s, &a);
    fixture_commit(f);
    store_del_host(f->s, 1);
    memcpy(b.fingerprint, a.fingerprint, SHA256_LEN);
    store_put_host(f->s, &b); /* same name, same key: fine now */
    b.name = STR("renamed");
    b.state = HOST_REVOKED;
    b.labels.n = 0;
    store_put_host(f->s, &b);
    fixture_reopen(f);
    f->n_rows = 0;
    assert_int_equal(store_load_hosts(f->s, note_host, f, NULL), 0);
    assert_int_equal(f->n_rows, 1);
}

static void ids_are_never_given_twice(void **state)
{
    struct fixture *f = *state;
    struct store_next next;
    struct host_row h = host(41);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_true(next.host == 1 && next.token == 1 && next.job == 1 && next.task == 1 && next.event == 1 &&
                next.audit == 1 && next.user == 1 && next.api_token == 1);
    store_put_host(f->s, &h);
    fixture_commit(f);
    store_del_host(f->s, 41); /* the newest goes, its number does not come back */
    store_put_event(f->s, &(struct event){ .id = 9, .type = STR("x") });
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.host, 42);
    assert_int_equal(next.event, 10);
}

static void check_token(void *ctx, const struct token_row *t)
{
    struct fixture *f = ctx;
    f->n_rows++;
    assert_true(t->t.id == 5 && t->t.max_uses == 2 && t->t.n_uses == 1 && t->t.expires_at == 99 &&
                t->t.is_revoked && t->t.auto_approve);
    assert_int_equal(t->code_hash[31], 0xab);
    assert_int_equal(t->labels.n, 3);
    assert_str(t->labels.v[0].key, "zeta");
    assert_str(t->created_by, "bob");
    assert_str(t->note, "for the lab");
    assert_int_equal(t->created_at, 1);
}

static void install_tokens_come_back(void **state)
{
    struct fixture *f = *state;
    struct token_row t = { .t = { .id = 5, .max_uses = 2, .expires_at = 99 },
                           .labels = { labels, 3 },
                           .created_by = STR("bob"),
                           .note = STR("for the lab"),
                           .created_at = 1 };
    memset(t.code_hash, 0xab, SHA256_LEN);
    store_put_token(f->s, &t);
    t.t.n_uses = 1;
    t.t.is_revoked = t.t.auto_approve = true;
    store_put_token(f->s, &t);
    fixture_reopen(f);
    f->n_rows = 0;
    assert_int_equal(store_load_tokens(f->s, check_token, f, NULL), 0);
    assert_int_equal(f->n_rows, 1);
}

static void check_user(void *ctx, const struct user_row *u)
{
    struct fixture *f = ctx;
    f->n_rows++;
    assert_int_equal(u->id, 1);
    assert_str(u->name, "alice");
    assert_str(u->password_hash, "$y$2");
    assert_int_equal(u->role, ROLE_ADMIN);
    assert_true(u->is_disabled);
    assert_int_equal(u->created_at, 5);
}

static void check_api_token(void *ctx, const struct api_token_row *t)
{
    struct fixture *f = ctx;
    f->n_rows++;
    assert_true(t->id == 2 && t->user_id == 1 && t->created_at == 6 && t->expires_at == 7 &&
                t->last_used == 8 && t->is_revoked);
    assert_int_equal(t->hash[0], 0xcd);
    assert_str(t->name, "ci");
    assert_str(t->scope, "operator");
    assert_str(t->created_by, "alice");
    assert_str(t->hint, "x1y2");
}

static void users_and_their_tokens_come_back(void **state)
{
    struct fixture *f = *state;
    struct user_row u = { 1, STR("alice"), STR("$y$1"), ROLE_VIEWER, false, 5 };
    struct api_token_row t = { .id = 2,
                               .user_id = 1,
                               .hash = { 0xcd },
                               .name = STR("ci"),
                               .scope = STR("operator"),
                               .created_at = 6,
                               .expires_at = 7,
                               .created_by = STR("alice"),
                               .hint = STR("x1y2") };
    store_put_user(f->s, &u);
    store_put_api_token(f->s, &t);
    u.password_hash = STR("$y$2");
    u.role = ROLE_ADMIN;
    u.is_disabled = true;
    t.last_used = 8;
    t.is_revoked = true;
    store_put_user(f->s, &u);
    store_put_api_token(f->s, &t);
    fixture_reopen(f);
    f->n_rows = 0;
    assert_int_equal(store_load_users(f->s, check_user, f, NULL), 0);
    assert_int_equal(store_load_api_tokens(f->s, check_api_token, f, NULL), 0);
    assert_int_equal(f->n_rows, 2);
}

static void small_values_are_bytes(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_done) struct buf b = BUF(100), tiny = BUF(3);
    assert_int_equal(store_load_meta(f->s, "ca_key", &b, NULL), 0);
    store_put_meta(f->s, "ca_key", STR("first"));
    store_put_meta(f->s, "ca_key", str_bytes("a\0b\xff", 4));
    store_put_meta(f->s, "empty", STR(""));
    fixture_reopen(f);
    assert_int_equal(store_load_meta(f->s, "ca_key", &b, NULL), 1);
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.ptr, "a\0b\xff", 4);
    assert_int_equal(store_load_meta(f->s, "empty", &b, NULL), 1);
    assert_int_equal(b.len, 4);
    assert_int_equal(store_load_meta(f->s, "ca_key", &tiny, NULL), -ENOBUFS);
    assert_int_equal(store_load_meta(f->s, "nothing", &b, NULL), 0);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_host_comes_back_as_it_was_put),  T(a_second_put_replaces_and_del_frees_name_and_key),
        T(ids_are_never_given_twice),        T(install_tokens_come_back),
        T(users_and_their_tokens_come_back), T(small_values_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
