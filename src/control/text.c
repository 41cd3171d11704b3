/* control/text.c - foreign text made fit to keep, packed copies, shared spellings. Loop thread.
 *
 * Ten thousand hosts are held in memory: what a host claims is one block, and what many of them say alike
 * (operating system, kernel, architecture, version) is kept once. */
#include "base/text.h"

#include "control/core.h"

static bool is_clean(struct str s, size_t max)
{
    unsigned char wide = 0;
    if (s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        if (b < 0x20 || b == 0x7f)
            return false;
        wide |= b;
    }
    return wide < 0x80 || utf8_is_valid(s); /* nearly everything is ASCII */
}

struct str text__clean(struct arena *a, struct str s, size_t max)
{
    if (is_clean(s, max))
        return s;
    struct str cut = str_sub(s, 0, max);
    if (cut.len < s.len && utf8_is_valid(s))
        cut.len = utf8_whole_prefix(cut);
    AUTO(buf_done) struct buf b = BUF(3 * cut.len + 4);
    if (utf8_lossy(&b, cut) < 0)
        return STR_NONE;
    struct str mended = buf_as_str(&b);
    if (mended.len > max) {
        mended.len = max;
        mended.len = utf8_whole_prefix(mended);
    }
    for (size_t i = 0; i < mended.len; i++)
        if (b.ptr[i] < 0x20 || b.ptr[i] == 0x7f)
            b.ptr[i] = b.ptr[i] == '\n' || b.ptr[i] == '\t' ? ' ' : '?';
    return arena_str(a, mended);
}

char *text__dup_or_null(struct str s)
{
    return s.len ? str_dup(s) : NULL;
}

static struct str put(char **at, struct str s)
{
    struct str copy = { *at, s.len };
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

struct kv_list *kv__pack(const struct kv_list *l, struct arena *scratch)
{
    size_t n = 0, bytes = 0;
    struct kv clean[LIMIT_LABELS];
    for (size_t i = 0; l && i < l->n && n < LIMIT_LABELS; i++) {
        struct kv *kv = &clean[n];
        kv->key = text__clean(scratch, l->v[i].key, LIMIT_NAME);
        kv->value = text__clean(scratch, l->v[i].value, LIMIT_LABEL_VALUE);
        if (kv->key.len == 0)
            continue;
        bytes += kv->key.len + kv->value.len;
        n++;
    }
    struct kv_list *packed = xmalloc(sizeof(*packed) + n * sizeof(struct kv) + bytes);
    packed->v = (struct kv *)(packed + 1);
    packed->n = n;
    char *at = (char *)(packed->v + n);
    for (size_t i = 0; i < n; i++)
        packed->v[i] = (struct kv){ put(&at, clean[i].key), put(&at, clean[i].value) };
    return packed;
}

struct str kv__get(const struct kv_list *l, struct str key)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].key, key))
            return l->v[i].value;
    return STR_NONE;
}

/* -- spellings shared by many hosts */
const char *intern__get(struct control *c, struct str s)
{
    struct intern_entry *e;
    HASH_FIND(hh, c->interned, s.ptr ? s.ptr : "", s.len, e);
    if (!e) {
        e = xcalloc(1, sizeof(*e) + s.len + 1);
        e->len = (uint32_t)s.len;
        if (s.len)
            memcpy(e->text, s.ptr, s.len);
        HASH_ADD_KEYPTR(hh, c->interned, e->text, s.len, e);
    }
    e->n_refs++;
    return e->text;
}

void intern__put(struct control *c, const char *text)
{
    if (!text)
        return;
    struct intern_entry *e = (struct intern_entry *)(uintptr_t)(text - offsetof(struct intern_entry, text));
    if (--e->n_refs == 0) {
        HASH_DEL(c->interned, e);
        free(e);
    }
}

/* -- claims */
enum { CLAIMS_ADDRESSES = 32 };

static struct str intern(struct control *c, struct str s, size_t max)
{
    s = text__clean(c->scratch, s, max);
    return (struct str){ intern__get(c, s), s.len };
}

/* One block: the struct, its lists, then the bytes. */
struct host_claims *claims__pack(struct control *c, const struct host_claims *in)
{
    struct arena *a = c->scratch;
    arena_reset(a);
    struct str hostname = text__clean(a, in->hostname, LIMIT_HOSTNAME);
    struct str machine_id = text__clean(a, in->machine_id, 128);
    struct str addresses[CLAIMS_ADDRESSES];
    size_t n_addresses = 0, bytes = hostname.len + machine_id.len;
    for (size_t i = 0; i < in->addresses.n && n_addresses < CLAIMS_ADDRESSES; i++) {
        addresses[n_addresses] = text__clean(a, in->addresses.v[i], 64);
        bytes += addresses[n_addresses++].len;
    }
    AUTO_FREE struct kv_list *labels = kv__pack(&in->labels, a);
    for (size_t i = 0; i < labels->n; i++)
        bytes += labels->v[i].key.len + labels->v[i].value.len;

    struct host_claims *h =
        xmalloc(sizeof(*h) + n_addresses * sizeof(struct str) + labels->n * sizeof(struct kv) + bytes);
    *h = (struct host_claims){
        .cpu_cores = in->cpu_cores,
        .memory_bytes = in->memory_bytes,
        .disk_bytes = in->disk_bytes,
        .labels = { (struct kv *)(h + 1), labels->n },
    };
    h->addresses = (struct str_list){ (struct str *)(h->labels.v + labels->n), n_addresses };
    char *at = (char *)(h->addresses.v + n_addresses);
    h->hostname = put(&at, hostname);
    h->machine_id = put(&at, machine_id);
    for (size_t i = 0; i < n_addresses; i++)
        h->addresses.v[i] = put(&at, addresses[i]);
    for (size_t i = 0; i < labels->n; i++)
        h->labels.v[i] = (struct kv){ put(&at, labels->v[i].key), put(&at, labels->v[i].value) };
    h->os = intern(c, in->os, 256);
    h->kernel = intern(c, in->kernel, 256);
    h->arch = intern(c, in->arch, 64);
    h->agent_version = intern(c, in->agent_version, 64);
    return h;
}

void claims__free(struct control *c, struct host_claims *h)
{
    if (!h)
        return;
    intern__put(c, h->os.ptr);
    intern__put(c, h->kernel.ptr);
    intern__put(c, h->arch.ptr);
    intern__put(c, h->agent_version.ptr);
    free(h);
}

bool claims__eq(const struct host_claims *a, const struct host_claims *b)
{
    if (a->cpu_cores != b->cpu_cores || a->memory_bytes != b->memory_bytes ||
        a->disk_bytes != b->disk_bytes || a->addresses.n != b->addresses.n || a->labels.n != b->labels.n ||
        !str_eq(a->hostname, b->hostname) || !str_eq(a->machine_id, b->machine_id) || !str_eq(a->os, b->os) ||
        !str_eq(a->kernel, b->kernel) || !str_eq(a->arch, b->arch) ||
        !str_eq(a->agent_version, b->agent_version))
        return false;
    for (size_t i = 0; i < a->addresses.n; i++)
        if (!str_eq(a->addresses.v[i], b->addresses.v[i]))
            return false;
    for (size_t i = 0; i < a->labels.n; i++)
        if (!str_eq(a->labels.v[i].key, b->labels.v[i].key) ||
            !str_eq(a->labels.v[i].value, b->labels.v[i].value))
            return false;
    return true;
}
