/* fleet/audit.c - see audit.h. */
#include "fleet/audit.h"

#include "base/buf.h"

static void add(struct buf *b, struct str s)
{
    (void)buf_le64(b, s.len); /* cannot fail: the maximum was computed from these very fields */
    (void)buf_str(b, s);
}

static void add_u64(struct buf *b, uint64_t v)
{
    (void)buf_le64(b, sizeof(v));
    (void)buf_le64(b, v);
}

static void row_hash(const struct audit_row *row, uint8_t ret[SHA256_LEN])
{
    const struct str fields[] = {
        row->principal, row->peer, row->verb, row->target, row->outcome, row->slug
    };
    size_t size = 8 + SHA256_LEN + 3 * 16;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        size += 8 + fields[i].len;
    for (size_t i = 0; i < row->details.n; i++)
        size += 16 + row->details.v[i].key.len + row->details.v[i].value.len;

    AUTO(buf_done) struct buf b = BUF(size);
    add(&b, str_bytes(row->prev, SHA256_LEN));
    add_u64(&b, row->id);
    add_u64(&b, row->at);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        add(&b, fields[i]);
    add_u64(&b, row->details.n);
    for (size_t i = 0; i < row->details.n; i++) {
        add(&b, row->details.v[i].key);
        add(&b, row->details.v[i].value);
    }
    sha256(buf_as_str(&b), ret);
}

void audit_seal(struct audit_row *row)
{
    row_hash(row, row->hash);
}

enum audit_verdict audit_check(const struct audit_row *prev, const struct audit_row *row)
{
    uint8_t hash[SHA256_LEN];

    row_hash(row, hash);
    if (memcmp(hash, row->hash, SHA256_LEN) != 0)
        return AUDIT_EDITED;
    if (prev && row->id != prev->id + 1)
        return AUDIT_GAP;
    if (prev && memcmp(row->prev, prev->hash, SHA256_LEN) != 0)
        return AUDIT_BROKEN_LINK;
    return AUDIT_OK;
}
