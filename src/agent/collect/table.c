/* agent/collect/table.c - the table of collectors, and one run of one of them; see collect.h. */
#include "agent/collect/source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/record.h"
#include "fleet/inventory.h"

#define MINUTES(n) ((n)*USEC_PER_MIN)

/* clang-format off */
const struct collector collectors[] = {
    /* section              every                 no history  is_changed              run */
    { SECTION_OS,           MINUTES(5),           false,      NULL,                   os__run },
    { SECTION_KERNEL,       USEC_PER_DAY,         false,      NULL,                   kernel__run },
    { SECTION_CPU,          USEC_PER_DAY,         false,      NULL,                   cpu__run },
    { SECTION_MEMORY,       USEC_PER_DAY,         false,      NULL,                   memory__run },
    { SECTION_DMI,          USEC_PER_DAY,         false,      NULL,                   dmi__run },
    { SECTION_DISKS,        USEC_PER_HOUR,        false,      NULL,                   disks__run },
    { SECTION_FILESYSTEMS,  MINUTES(15),          false,      NULL,                   filesystems__run },
    { SECTION_INTERFACES,   MINUTES(5),           false,      NULL,                   interfaces__run },
    { SECTION_ADDRESSES,    MINUTES(5),           false,      NULL,                   addresses__run },
    { SECTION_NEIGHBOURS,   USEC_PER_HOUR,        true,       NULL,                   neighbours__run },
    { SECTION_ROUTES,       MINUTES(5),           false,      NULL,                   routes__run },
    { SECTION_LISTENERS,    MINUTES(5),           false,      NULL,                   listeners__run },
    { SECTION_CONNECTIONS,  0,                    true,       NULL,                   connections__run },
    { SECTION_PACKAGES,     MINUTES(1),           false,      packages__is_changed,   packages__run },
    { SECTION_SERVICES,     MINUTES(5),           false,      NULL,                   services__run },
    { SECTION_USERS,        MINUTES(5),           false,      users__is_changed,      users__run },
    { SECTION_LOGINS,       MINUTES(5),           false,      NULL,                   logins__run },
    { SECTION_GPUS,         USEC_PER_DAY,         false,      NULL,                   gpus__run },
    { SECTION_PORTS,        MINUTES(1),           true,       ports__is_changed,      ports__run },
    { SECTION_N,            0,                    false,      NULL,                   NULL },
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(collectors) == SECTION_N + 1, "a row per section");

void collect_forget(struct collect_state *st, enum section s)
{
    assert(s < SECTION_N);
    memset(st->stamps[s], 0, sizeof(st->stamps[s]));
}

/* Each row has two lengths in a body. */
enum { ROW_OVERHEAD = 8 };

int collect_row(struct collect_out *out, struct str key, const struct record *rec, const void *obj)
{
    buf_reset(&out->scratch);
    struct jw w = JW(&out->scratch);
    record_write(rec, obj, &w);
    if (jw_done(&w) < 0 || key.len == 0 || key.len > LIMIT_ROW_BYTES / 4) {
        out->is_cut = true;
        return 0;
    }

    size_t bytes = ROW_OVERHEAD + key.len + out->scratch.len;
    if (out->n_rows == LIMIT_SECTION_ROWS || out->n_bytes + bytes > LIMIT_SECTION_BYTES) {
        out->is_cut = true;
        return -ENOBUFS;
    }
    struct fact_row row = { arena_str(out->arena, key), arena_str(out->arena, buf_as_str(&out->scratch)) };
    if (!row.key.ptr || !row.json.ptr) {
        out->is_cut = true;
        return -ENOBUFS;
    }
    if (out->n_rows == out->cap_rows) {
        out->cap_rows = out->cap_rows ? 2 * out->cap_rows : 64;
        out->rows = xreallocarray(out->rows, out->cap_rows, sizeof(*out->rows));
    }
    out->rows[out->n_rows++] = row;
    out->n_bytes += bytes;
    return 0;
}

int collect__missing(struct collect_out *out, const char *why)
{
    out->status = SECTION_MISSING;
    snprintf(out->message, sizeof(out->message), "%s", why);
    return 0;
}

int collect__failed(struct collect_out *out, int r, const char *what)
{
    if (!out->message[0])
        snprintf(out->message, sizeof(out->message), "%s: %s", what, r == -EBADMSG ? "cannot be understood" : strerror(-r));
    return r;
}

int collect__garbled(struct collect_out *out, const char *what, const char *why)
{
    snprintf(out->message, sizeof(out->message), "%s: %s", what, why);
    return -EBADMSG;
}

struct str collect__keep(struct collect_out *out, struct str s)
{
    return s.len ? arena_str(out->arena, s) : STR_NONE;
}

/* By key; rows with one key in the order they were added (their bytes sit at rising places of the array sorted). */
static int by_key(const void *a, const void *b)
{
    const struct fact_row *x = *(const struct fact_row *const *)a, *y = *(const struct fact_row *const *)b;
    int r = str_cmp(x->key, y->key);
    return r ? r : (x > y) - (x < y);
}

/* Sorts the rows and drops all but the first of each key. */
static void sort_rows(struct collect_out *out)
{
    if (out->n_rows < 2)
        return;
    AUTO_FREE const struct fact_row **by = xmalloc(out->n_rows * sizeof(*by));
    for (size_t i = 0; i < out->n_rows; i++)
        by[i] = &out->rows[i];
    qsort(by, out->n_rows, sizeof(*by), by_key);

    struct fact_row *sorted = xmalloc(out->n_rows * sizeof(*sorted));
    size_t n = 0;
    for (size_t i = 0; i < out->n_rows; i++)
        if (n == 0 || !str_eq(sorted[n - 1].key, by[i]->key))
            sorted[n++] = *by[i];
    free(out->rows);
    out->rows = sorted;
    out->n_rows = out->cap_rows = n;
}

static void out_init(struct collect_out *out)
{
    *out = (struct collect_out){
        /* a row's bytes are rounded up to 16 twice; the rest is the collector's own strings */
        .arena = arena_new(LIMIT_SECTION_BYTES + LIMIT_SECTION_ROWS * 32 + (2u << 20)),
        .scratch = BUF(LIMIT_ROW_BYTES),
        .status = SECTION_OK,
    };
}

static void out_done(struct collect_out *out)
{
    free(out->rows);
    buf_done(&out->scratch);
    arena_free(out->arena);
    *out = (struct collect_out){ 0 };
}

/* Runs the collector of @s; afterwards @out holds sorted rows, or none and why. */
static void run(enum section s, const char *root, struct collect_out *out)
{
    out_init(out);
    assert(collectors[s].section == s);
    int r = collectors[s].run(out, root);
    if (r < 0 && !(r == -ENOBUFS && out->is_cut)) {
        out->status = SECTION_FAILED;
        if (!out->message[0])
            snprintf(out->message, sizeof(out->message), "%s", strerror(-r));
    }
    if (out->status != SECTION_OK)
        out->n_rows = 0;
    else if (out->is_cut)
        snprintf(out->message, sizeof(out->message), "cut: more than %d rows or %d bytes, or a row of more than %d",
                 LIMIT_SECTION_ROWS, LIMIT_SECTION_BYTES, LIMIT_ROW_BYTES);
    sort_rows(out);
}

int collect_section(enum section s, const char *root, struct buf *body, enum section_status *ret_status,
                    char ret_message[COLLECT_MESSAGE_MAX])
{
    assert(s < SECTION_N);
    struct collect_out out;
    run(s, root, &out);
    *ret_status = out.status;
    snprintf(ret_message, COLLECT_MESSAGE_MAX, "%s", out.message);
    int r = body_make(out.rows, out.n_rows, body, NULL);
    out_done(&out);
    assert(r != -EINVAL); /* doubled keys are gone */
    return r;
}

int collect_facts_json(const char *root, const char *off, struct buf *buf)
{
    struct jw w = JW(buf);
    jw_map(&w);
    for (enum section s = 0; s < SECTION_N; s++) {
        if (collectors[s].every == 0)
            continue;
        struct collect_out out = { .status = SECTION_DISABLED };
        if (off)
            (void)snprintf(out.message, sizeof(out.message), "%s", off);
        else
            run(s, root, &out);
        jw_key(&w, name_of(section_names, (int)s));
        jw_map(&w);
        jw_key(&w, "status");
        jw_cstr(&w, name_of(section_status_names, (int)out.status));
        if (out.message[0]) {
            jw_key(&w, "message");
            jw_cstr(&w, out.message);
        }
        jw_key(&w, "rows");
        jw_map(&w);
        for (size_t i = 0; i < out.n_rows; i++) {
            jw_key_str(&w, out.rows[i].key);
            jw_raw(&w, out.rows[i].json);
        }
        jw_end_map(&w);
        jw_end_map(&w);
        out_done(&out);
    }
    jw_end_map(&w);
    return jw_done(&w);
}
