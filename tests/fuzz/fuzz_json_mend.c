/* fuzz: codec - JSON that is mended and cut into rows: good JSON reads as before, and a row that was good stands in its list. */
#include <stdint.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "codec/json_mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What json_parse() takes as it is, it takes as the same afterwards. */
static void whole(struct arena *a, struct str text)
{
    AUTO(buf_done) struct buf first = BUF(8 << 20);
    AUTO(buf_done) struct buf second = BUF(8 << 20);
    struct str mended, python;
    struct node *node;

    if (json_mend_text(a, text, &mended) < 0 || json_mend_python(a, text, &python) < 0)
        return;
    if (mended.len > text.len || python.len > text.len + text.len / 3)
        abort();
    if (json_parse(a, text, LIMIT_JSON_BYTES, &node, NULL) < 0 || node_write(node, &first) < 0)
        return;
    if (json_parse(a, python, LIMIT_JSON_BYTES, &node, NULL) < 0)
        return; /* an arena too small for it */
    if (node_write(node, &second) < 0 || !str_eq(buf_as_str(&first), buf_as_str(&second)))
        abort();
}

static void cut(struct arena *a, struct str text)
{
    struct err err = { 0 };
    struct json_rows rows;
    struct str row;
    size_t n = 0;
    int r = json_split(a, text, LIMIT_JSON_BYTES, "jobs", &rows, &err);

    if ((r < 0) != err_is(&err) || (r == JSON_NO_LIST && rows.n != 0))
        abort();
    if (r != JSON_SPLIT)
        return;
    for (; json_rows_next(&rows, &row); n++) {
        struct str id = json_row_text(row, "id");

        if (row.len == 0 || row.ptr < text.ptr || row.ptr + row.len > text.ptr + text.len || !utf8_is_valid(id))
            abort();
    }
    if (n != rows.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);

    whole(a, str_bytes(data, n));
    arena_reset(a);
    cut(a, str_bytes(data, n));
    return 0;
}
