/* store/driver.h - what a database must do. Two do (SQLite here; PostgreSQL when its issue comes), one is
 * scripted for tests.
 *
 * A handle is used by one thread at a time. SQL is plain: '?' parameters, upserts by key, indexed range
 * reads. A statement is prepared on first use and kept with the handle; its key is the address of the SQL
 * text, so pass string literals only, and do not run a statement again while its rows are still being read.
 *
 * Errors, from every function: -ENOSPC full, -EROFS read-only, -EIO, -EBUSY locked by another process (after
 * 2 s), -EEXIST a constraint said no, -EBADMSG corrupt or not a database, -ENOTSUP a statement it does not
 * understand (our mistake). */
#ifndef MUSTER_STORE_DRIVER_H
#define MUSTER_STORE_DRIVER_H

#include <stdbool.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"

/* One parameter. Texts and blobs are borrowed until the statement ran (db_run) or its rows are done
 * (db_query). */
struct val {
    enum { VAL_INT, VAL_TEXT, VAL_BLOB } type;
    int64_t i;
    struct str s;
};
#define V_INT(x) ((struct val){ .type = VAL_INT, .i = (int64_t)(x) })
#define V_TEXT(x) ((struct val){ .type = VAL_TEXT, .s = (x) })
#define V_BLOB(x) ((struct val){ .type = VAL_BLOB, .s = (x) })
#define VALS(...)                                                                                            \
    (const struct val[]){ __VA_ARGS__ }, sizeof((const struct val[]){ __VA_ARGS__ }) / sizeof(struct val)

enum { DB_WRITE = 1, DB_CREATE = 2 };

struct db;   /* begins with struct db_head */
struct rows; /* a running query; belongs to its handle */

struct driver {
    const char *name;
    /* @flags 0: read-only. *@ret, or -errno and @err. */
    int (*open)(const struct driver *self, const char *path, unsigned flags, struct db **ret,
                struct err *err);
    void (*close)(struct db *db);
    /* A script of several statements, unprepared. */
    int (*script)(struct db *db, const char *sql);
    /* begin: a write transaction if the handle may write, else a snapshot for reading. */
    int (*begin)(struct db *db);
    int (*commit)(struct db *db);
    void (*rollback)(struct db *db); /* also when none is open */
    /* Starts a statement. *@ret stays valid until rows_done(). */
    int (*query)(struct db *db, const char *sql, const struct val *v, size_t n, struct rows **ret);
    int (*next)(struct rows *r); /* 1 a row, 0 no more */
    int64_t (*col_int)(struct rows *r, int col);
    struct str (*col_bytes)(struct rows *r, int col); /* valid until the next call on @r */
    void (*rows_done)(struct rows *r);
    /* The schema's number, kept in the database. 0: empty. -EBADMSG: somebody else's database. */
    int (*version)(struct db *db, uint32_t *ret);
    int (*set_version)(struct db *db, uint32_t version); /* inside a transaction */
    /* Pages in the log after this handle's last commit. */
    uint32_t (*log_pages)(struct db *db);
    /* Moves committed pages home as far as no reader is in the way; any writing handle, beside the writer. How many
     * are left, or -errno. */
    int (*tidy)(struct db *db);
    /* Gives up to @n free pages back to the file system when there are many; between transactions. */
    void (*shrink)(struct db *db, uint32_t n);
    void (*sizes)(struct db *db, uint64_t *ret_db_bytes, uint64_t *ret_log_bytes);
    /* What the database said of the last failure, for people. */
    const char *(*why)(struct db *db);
};

struct db_head {
    const struct driver *driver;
};
#define DB__DRIVER(db) (((struct db_head *)(db))->driver)

extern const struct driver driver_sqlite;

static inline void db_close(struct db *db)
{
    if (db)
        DB__DRIVER(db)->close(db);
}
DEFINE_AUTO(struct db *, db_close)
static inline int db_script(struct db *db, const char *sql)
{
    return DB__DRIVER(db)->script(db, sql);
}
static inline int db_begin(struct db *db)
{
    return DB__DRIVER(db)->begin(db);
}
static inline int db_commit(struct db *db)
{
    return DB__DRIVER(db)->commit(db);
}
static inline void db_rollback(struct db *db)
{
    DB__DRIVER(db)->rollback(db);
}
/* Every driver's struct rows begins with this. */
struct rows_head {
    const struct driver *driver;
};
#define ROWS__DRIVER(r) (((struct rows_head *)(r))->driver)
static inline int db_query(struct db *db, const char *sql, const struct val *v, size_t n, struct rows **ret)
{
    return DB__DRIVER(db)->query(db, sql, v, n, ret);
}
static inline int rows_next(struct rows *r)
{
    return ROWS__DRIVER(r)->next(r);
}
static inline int64_t col_i64(struct rows *r, int col)
{
    return ROWS__DRIVER(r)->col_int(r, col);
}
static inline uint64_t col_u64(struct rows *r, int col)
{
    return (uint64_t)ROWS__DRIVER(r)->col_int(r, col);
}
static inline uint32_t col_u32(struct rows *r, int col)
{
    return (uint32_t)ROWS__DRIVER(r)->col_int(r, col);
}
static inline struct str col_str(struct rows *r, int col)
{
    return ROWS__DRIVER(r)->col_bytes(r, col);
}
static inline void rows_done(struct rows *r)
{
    if (r)
        ROWS__DRIVER(r)->rows_done(r);
}
DEFINE_AUTO(struct rows *, rows_done)

/* Runs a statement that hands out no rows. 0 or -errno. */
int db_run(struct db *db, const char *sql, const struct val *v, size_t n);
/* The first column of the first row as a number: 1 and *@ret, 0 when there is no row, -errno. */
int db_number(struct db *db, const char *sql, const struct val *v, size_t n, int64_t *ret);
/* @n bytes of a column into @dst; zeroes when the column has another length. */
void col_copy(struct rows *r, int col, void *dst, size_t n);

/* -- whole databases as files (SQLite only). Steps of a copy: see copies.c. */
struct db_copy;
/* Starts copying the database at @from (may be in use) into the new file @to. */
int db_copy_open(const char *from, const char *to, struct db_copy **ret, struct err *err);
/* The next @n pages: 1 more to do, 0 finished (fsynced), -errno. */
int db_copy_step(struct db_copy *c, int n, uint64_t *ret_done, uint64_t *ret_total);
/* Frees; removes @to unless the last step said 0. */
void db_copy_free(struct db_copy *c);
DEFINE_AUTO(struct db_copy *, db_copy_free)
/* Thorough check of the file's structure. 0; -EBADMSG and the first finding in @err. */
int db_integrity(struct db *db, struct err *err);

#endif
