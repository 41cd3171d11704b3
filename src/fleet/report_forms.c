/* fleet/report_forms.c - one socket under two keys. Pure.
 *
 * "tcp 0.0.0.0:22 * pid 900" is its key for reporters that tell removals, "tcp 0.0.0.0:22 *" for those that do not. A reporter may do now
 * the one and now the other; then the form that is recorded is found for the form that was told. Without the process two of them on one
 * address are one row, the last one told: so a removal of either takes it. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "fleet/report.h"

/* Without its process; @key itself when it has none. */
static struct str without_process(struct str key)
{
    size_t at = key.len;

    while (at > 0 && key.ptr[at - 1] >= '0' && key.ptr[at - 1] <= '9')
        at--;
    at -= at > 0 && key.ptr[at - 1] == '-';
    struct str head = str_sub(key, 0, at);
    return at < key.len && str_ends(head, STR(" pid ")) ? str_sub(head, 0, head.len - 5) : key;
}

/* The other form of @key, which is not recorded as it is: true if that one is. */
static bool stands_without(const struct mark_set *have, const uint8_t mark_key[16], struct str key, uint64_t mark, struct str *ret,
                           uint64_t *ret_mark)
{
    struct str plain = without_process(key);

    if (plain.len == key.len || mark_set_has(have, mark))
        return false;
    *ret = plain;
    *ret_mark = siphash(mark_key, plain);
    return mark_set_has(have, *ret_mark);
}

static void match_removed(const struct mark_set *have, const uint8_t mark_key[16], struct report_rows *rows)
{
    struct str key;
    uint64_t mark;

    for (size_t i = 0; i < rows->n_removed; i++)
        if (stands_without(have, mark_key, rows->removed[i], rows->removed_marks[i], &key, &mark)) {
            rows->removed[i] = key;
            rows->removed_marks[i] = mark;
        }
}

/* What is told with its process from now on does not stay without it, too. */
static void *replace_plain(const struct mark_set *have, const uint8_t mark_key[16], struct report_rows *rows)
{
    const size_t room = rows->n_removed + rows->n_rows;
    struct str key, *keys = NULL;
    uint64_t mark, *marks = NULL;

    for (size_t i = 0; i < rows->n_rows; i++) {
        if (!stands_without(have, mark_key, rows->rows[i].key, rows->marks[i], &key, &mark))
            continue;
        if (!keys) {
            keys = xcalloc(room, sizeof(*keys) + sizeof(*marks));
            marks = (uint64_t *)(void *)(keys + room);
            for (size_t k = 0; k < rows->n_removed; k++) {
                keys[k] = rows->removed[k];
                marks[k] = rows->removed_marks[k];
            }
            rows->removed = keys;
            rows->removed_marks = marks;
        }
        keys[rows->n_removed] = key;
        marks[rows->n_removed++] = mark;
    }
    return keys;
}

static void keep_process(const struct mark_set *have, const uint8_t mark_key[16], struct report_rows *rows)
{
    for (size_t i = 0; i < rows->n_rows; i++) {
        const struct str whole = { rows->rows[i].key.ptr, rows->rows[i].key.len + rows->tails[i] };

        if (!rows->tails[i])
            continue;
        uint64_t mark = siphash(mark_key, whole);
        if (!mark_set_has(have, mark))
            continue;
        rows->rows[i].key = whole;
        rows->marks[i] = mark;
    }
}

void *report_match_forms(const struct mark_set *have, const uint8_t mark_key[16], bool tells_removals, struct report_rows *rows)
{
    if (have->n == 0)
        return NULL;
    if (!tells_removals) {
        if (rows->tails)
            keep_process(have, mark_key, rows);
        return NULL;
    }
    match_removed(have, mark_key, rows);
    return replace_plain(have, mark_key, rows);
}
