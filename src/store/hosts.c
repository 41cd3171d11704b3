/* store/hosts.c - hosts and when they were seen. */
#include <errno.h>

#include "base/limits.h"
#include "store/lazy.h"

/* -- writer */

struct put_host {
    struct host_row h;
    struct str addresses, claimed_json, labels_json;
};

#define HOST_COLS                                                                                            \
    "id, uuid, state, name, fingerprint, dialect, hostname, machine_id, os, kernel, arch, agent_version,"    \
    " addresses, claimed_json, cpu_cores, memory_bytes, disk_bytes, labels_json, csr_pem, created_at,"       \
    " decided_at, decided_by, cert_serial, cert_not_after, token_id, clone_note, decided_why"

static int put_host(struct writer *w, const void *args)
{
    const struct put_host *p = args;
    const struct host_row *h = &p->h;
    const struct host_claims *c = &h->claims;

    return db_run(
        w->db,
        "INSERT INTO host (" HOST_COLS ")"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET"
        " uuid = excluded.uuid, state = excluded.state, name = excluded.name,"
        " fingerprint = excluded.fingerprint, dialect = excluded.dialect, hostname = excluded.hostname,"
        " machine_id = excluded.machine_id, os = excluded.os, kernel = excluded.kernel, arch = excluded.arch,"
        " agent_version = excluded.agent_version, addresses = excluded.addresses,"
        " claimed_json = excluded.claimed_json, cpu_cores = excluded.cpu_cores,"
        " memory_bytes = excluded.memory_bytes, disk_bytes = excluded.disk_bytes,"
        " labels_json = excluded.labels_json, csr_pem = excluded.csr_pem, created_at = excluded.created_at,"
        " decided_at = excluded.decided_at, decided_by = excluded.decided_by,"
        " cert_serial = excluded.cert_serial, cert_not_after = excluded.cert_not_after,"
        " token_id = excluded.token_id, clone_note = excluded.clone_note, decided_why = excluded.decided_why",
        VALS(V_INT(h->id), V_TEXT(str_of(h->uuid)), V_INT(h->state), V_TEXT(h->name),
             V_BLOB(str_bytes(h->fingerprint, SHA256_LEN)), V_TEXT(h->dialect), V_TEXT(c->hostname),
             V_TEXT(c->machine_id), V_TEXT(c->os), V_TEXT(c->kernel), V_TEXT(c->arch),
             V_TEXT(c->agent_version), V_TEXT(p->addresses), V_TEXT(p->claimed_json), V_INT(c->cpu_cores),
             V_INT(c->memory_bytes), V_INT(c->disk_bytes), V_TEXT(p->labels_json), V_TEXT(h->csr_pem),
             V_INT(h->created_at), V_INT(h->decided_at), V_TEXT(h->decided_by), V_TEXT(h->cert_serial),
             V_INT(h->cert_not_after), V_INT(h->token_id), V_TEXT(h->clone_note), V_TEXT(h->decided_why)));
}

static int del_host(struct writer *w, const void *args)
{
    uint64_t id = *(const uint64_t *)args;
    int e = high__raise(w, "host", id);

    if (e == 0)
        e = db_run(w->db, "DELETE FROM host WHERE id = ?", VALS(V_INT(id)));
    if (e == 0)
        e = db_run(w->db, "DELETE FROM seen WHERE host_id = ?", VALS(V_INT(id)));
    if (e == 0)
        e = facts__forget(w, id);
    lazy_forget(w, id);
    return e;
}

static int put_seen(struct writer *w, const void *args)
{
    lazy_seen(w, args);
    return 0;
}

/* -- loop */

static struct str keep_lines(struct store *s, const struct str_list *list)
{
    buf_reset(&s->scratch);
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            (void)buf_cstr(&s->scratch, "\n");
        (void)buf_str(&s->scratch, list->v[i]);
    }
    return store__keep(s, buf_as_str(&s->scratch));
}

void store_put_host(struct store *s, const struct host_row *h)
{
    struct put_host *p = OP(s, put_host, struct put_host);
    const struct host_claims *c = &h->claims;

    p->h = *h;
    p->addresses = keep_lines(s, &c->addresses);
    p->claimed_json = store__keep_map(s, &c->labels);
    p->labels_json = store__keep_map(s, &h->labels);
    p->h.labels = (struct kv_list){ 0 };
    p->h.claims = (struct host_claims){
        .hostname = store__keep(s, c->hostname),
        .machine_id = store__keep(s, c->machine_id),
        .os = store__keep(s, c->os),
        .kernel = store__keep(s, c->kernel),
        .arch = store__keep(s, c->arch),
        .agent_version = store__keep(s, c->agent_version),
        .cpu_cores = c->cpu_cores,
        .memory_bytes = c->memory_bytes,
        .disk_bytes = c->disk_bytes,
    };
    p->h.name = store__keep(s, h->name);
    p->h.dialect = store__keep(s, h->dialect);
    p->h.csr_pem = store__keep(s, h->csr_pem);
    p->h.decided_by = store__keep(s, h->decided_by);
    p->h.decided_why = store__keep(s, h->decided_why);
    p->h.cert_serial = store__keep(s, h->cert_serial);
    p->h.clone_note = store__keep(s, h->clone_note);
}

void store_del_host(struct store *s, uint64_t id)
{
    *OP(s, del_host, uint64_t) = id;
}

void store_put_seen(struct store *s, const struct seen_row *r)
{
    *OP(s, put_seen, struct seen_row) = *r;
}

/* -- start-up */

enum { RESET_ABOVE = 1 << 20 }; /* resetting for every row would give the memory back and ask for it again */

/* Borrows from the row. */
static void col_lines(struct rows *r, int col, struct arena *a, struct str_list *ret)
{
    struct str text = col_str(r, col), line;
    size_t n = 1;

    *ret = (struct str_list){ 0 };
    if (text.len == 0)
        return;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    struct str *v = arena_array(a, n, sizeof(*v));
    while (v && str_cut(&text, '\n', &line))
        v[ret->n++] = line;
    ret->v = v;
}

static void host_from_row(struct rows *r, struct arena *a, struct host_row *h, struct seen_row *seen)
{
    *h = (struct host_row){
        .id = col_u64(r, 0),
        .state = (enum host_state)col_u32(r, 2),
        .name = col_str(r, 3),
        .dialect = col_str(r, 5),
        .claims = {
            .hostname = col_str(r, 6),
            .machine_id = col_str(r, 7),
            .os = col_str(r, 8),
            .kernel = col_str(r, 9),
            .arch = col_str(r, 10),
            .agent_version = col_str(r, 11),
            .cpu_cores = col_u32(r, 14),
            .memory_bytes = col_u64(r, 15),
            .disk_bytes = col_u64(r, 16),
        },
        .csr_pem = col_str(r, 18),
        .created_at = col_u64(r, 19),
        .decided_at = col_u64(r, 20),
        .decided_by = col_str(r, 21),
        .cert_serial = col_str(r, 22),
        .cert_not_after = col_u64(r, 23),
        .token_id = col_u64(r, 24),
        .clone_note = col_str(r, 25),
        .decided_why = col_str(r, 26),
    };
    (void)str_copy(col_str(r, 1), h->uuid, sizeof(h->uuid));
    col_copy(r, 4, h->fingerprint, SHA256_LEN);
    col_lines(r, 12, a, &h->claims.addresses);
    col_map(r, 13, a, &h->claims.labels);
    col_map(r, 17, a, &h->labels);
    *seen = (struct seen_row){ h->id, col_u64(r, 27), col_u64(r, 28), col_u64(r, 29) };
}

int store_load_hosts(struct store *s,
                     void (*fn)(void *ctx, const struct host_row *h, const struct seen_row *seen), void *ctx,
                     struct err *err)
{
    struct db *db = store__load_db(s);
    AUTO(arena_free) struct arena *a = arena_new(2 * (size_t)LIMIT_JSON_BYTES);
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(
        db,
        "SELECT " HOST_COLS ","
        " COALESCE(spool_epoch, 0), COALESCE(acked_seq, 0), COALESCE(last_seen, 0)"
        " FROM host LEFT JOIN seen ON seen.host_id = host.id ORDER BY id",
        NULL, 0, &r);

    while (e == 0 && (e = rows_next(r)) == 1) {
        struct host_row h;
        struct seen_row seen;
        host_from_row(r, a, &h, &seen);
        fn(ctx, &h, &seen);
        if (arena_used(a) > RESET_ABOVE)
            arena_reset(a);
        e = 0;
    }
    return e < 0 ? store__err(err, e, "read the hosts in", s->path, db) : 0;
}

/* The next id of a noun: above what is there and what ever was. */
static int next_of(struct db *db, const char *noun, const char *max_sql, uint64_t *ret)
{
    int64_t max = 0, high = 0;
    int e = db_number(db, max_sql, NULL, 0, &max);

    if (e >= 0)
        e = db_number(db, "SELECT id FROM high WHERE noun = ?", VALS(V_TEXT(str_of(noun))), &high);
    *ret = (uint64_t)(max > high ? max : high) + 1;
    return e < 0 ? e : 0;
}

int store_load_next(struct store *s, struct store_next *ret, struct err *err)
{
    struct db *db = store__load_db(s);
    const struct {
        const char *noun, *sql;
        uint64_t *ret;
    } nouns[] = {
        { "host", "SELECT COALESCE(MAX(id), 0) FROM host", &ret->host },
        { "token", "SELECT COALESCE(MAX(id), 0) FROM install_token", &ret->token },
        { "job", "SELECT COALESCE(MAX(id), 0) FROM job", &ret->job },
        { "task", "SELECT COALESCE(MAX(id), 0) FROM task", &ret->task },
        { "event", "SELECT COALESCE(MAX(id), 0) FROM event", &ret->event },
        { "audit", "SELECT COALESCE(MAX(id), 0) FROM audit", &ret->audit },
        { "user", "SELECT COALESCE(MAX(id), 0) FROM account", &ret->user },
        { "api_token", "SELECT COALESCE(MAX(id), 0) FROM api_token", &ret->api_token },
        { "trail", "SELECT COALESCE(MAX(id), 0) FROM trail", &ret->trail },
    };
    int e = 0;

    for (size_t i = 0; i < ARRAY_SIZE(nouns) && e == 0; i++)
        e = next_of(db, nouns[i].noun, nouns[i].sql, nouns[i].ret);
    return e < 0 ? store__err(err, e, "read", s->path, db) : 0;
}
