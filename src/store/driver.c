/* store/driver.c - what every driver gets for free. */
#include "store/driver.h"

int db_run(struct db *db, const char *sql, const struct val *v, size_t n)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, sql, v, n, &r);

    if (e == 0)
        do
            e = rows_next(r);
        while (e == 1); /* rows nobody asked for */
    return e;
}

int db_number(struct db *db, const char *sql, const struct val *v, size_t n, int64_t *ret)
{
    AUTO(rows_done) struct rows *r = NULL;
    int e = db_query(db, sql, v, n, &r);

    if (e == 0)
        e = rows_next(r);
    if (e == 1)
        *ret = col_i64(r, 0);
    return e;
}

void col_copy(struct rows *r, int col, void *dst, size_t n)
{
    struct str s = col_str(r, col);

    memset(dst, 0, n);
    if (s.len == n)
        memcpy(dst, s.ptr, n);
}
