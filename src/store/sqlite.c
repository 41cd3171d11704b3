/* store/sqlite.c - driver.h over SQLite. The only file that has heard of sqlite3.h.
 *
 * WAL with synchronous=FULL: a commit is one fsync of the log. Checkpoints (moving pages home) are
 * store/tidy.c's business, not SQLite's: inside a commit, the one that happens to cross the line would pay. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "store/driver.h"

enum {
    APPLICATION_ID = 0x4d757374, /* "Must": what file(1) and we recognise */
    BUSY_MS = 2000,
    SLOTS = 256, /* statements a handle may keep: about three times what the nouns have */
};

struct rows {
    struct rows_head head;
    struct db *db;
    const char *sql;
    sqlite3_stmt *st;
    bool is_busy;
};

struct db {
    struct db_head head;
    sqlite3 *h;
    bool may_write;
    int wal_pages; /* in the log after the last commit */
    struct rows slots[SLOTS];
};

static int code(sqlite3 *h, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return -EEXIST;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return -EBADMSG;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_TOOBIG:
    case SQLITE_INTERNAL:
        return -ENOTSUP;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_NOMEM:
        fputs("out of memory\n", stderr);
        abort();
    default:
        break;
    }
    int sys = h ? sqlite3_system_errno(h) : 0;
    if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)
        return -ENOSPC;
    return sys == EROFS ? -EROFS : sys == EACCES ? -EACCES : -EIO;
}

/* -- statements */

static int prepare(struct db *db, const char *sql, struct rows **ret)
{
    size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 56;

    for (size_t n = 0; n < SLOTS; n++, i = (i + 1) % SLOTS) {
        struct rows *r = &db->slots[i];
        if (r->sql == sql) {
            if (r->is_busy) {
                fprintf(stderr, "statement run inside itself: %s\n", sql);
                abort();
            }
            *ret = r;
            return 0;
        }
        if (!r->sql) {
            int rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &r->st, NULL);
            if (rc != SQLITE_OK)
                return code(db->h, rc);
            r->head.driver = db->head.driver;
            r->sql = sql;
            r->db = db;
            *ret = r;
            return 0;
        }
    }
    fputs("too many statements\n", stderr);
    abort();
}

static int sqlite_query(struct db *db, const char *sql, const struct val *v, size_t n, struct rows **ret)
{
    struct rows *r = NULL;
    int e = prepare(db, sql, &r), rc = SQLITE_OK;

    if (e < 0)
        return e;
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        int at = (int)i + 1;
        const char *p = v[i].s.ptr ? v[i].s.ptr : "";
        if (v[i].type == VAL_INT)
            rc = sqlite3_bind_int64(r->st, at, v[i].i);
        else if (v[i].type == VAL_TEXT)
            rc = sqlite3_bind_text64(r->st, at, p, v[i].s.len, SQLITE_STATIC, SQLITE_UTF8);
        else
            rc = sqlite3_bind_blob64(r->st, at, p, v[i].s.len, SQLITE_STATIC);
    }
    if (rc != SQLITE_OK)
        return code(db->h, rc);
    r->is_busy = true;
    *ret = r;
    return 0;
}

static int sqlite_next(struct rows *r)
{
    int rc = sqlite3_step(r->st);
    return rc == SQLITE_ROW ? 1 : code(r->db->h, rc);
}

static int64_t sqlite_col_int(struct rows *r, int col)
{
    return sqlite3_column_int64(r->st, col);
}

static struct str sqlite_col_bytes(struct rows *r, int col)
{
    const void *p = sqlite3_column_blob(r->st, col); /* first: it decides the form that _bytes measures */
    return str_bytes(p ? p : "", (size_t)sqlite3_column_bytes(r->st, col));
}

static void sqlite_rows_done(struct rows *r)
{
    sqlite3_reset(r->st);
    r->is_busy = false;
}

/* -- transactions */

static int sqlite_script(struct db *db, const char *sql)
{
    return code(db->h, sqlite3_exec(db->h, sql, NULL, NULL, NULL));
}

static int sqlite_begin(struct db *db)
{
    return db_run(db, db->may_write ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0);
}

static int sqlite_commit(struct db *db)
{
    return db_run(db, "COMMIT", NULL, 0);
}

static void sqlite_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->h))
        (void)sqlite_script(db, "ROLLBACK"); /* on failure SQLite has rolled back by itself */
}

static int pragma_number(struct db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->h, sql, -1, &st, NULL);

    if (rc != SQLITE_OK)
        return code(db->h, rc);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    int e = code(db->h, rc);
    sqlite3_finalize(st);
    return e;
}

static int sqlite_version(struct db *db, uint32_t *ret)
{
    int64_t app = 0, version = 0, n_tables = 0;
    int e = pragma_number(db, "PRAGMA application_id", &app);

    if (e == 0)
        e = pragma_number(db, "PRAGMA user_version", &version);
    if (e == 0)
        e = pragma_number(db, "SELECT count(*) FROM sqlite_master", &n_tables);
    if (e < 0)
        return e;
    if (app != APPLICATION_ID && (app != 0 || n_tables != 0))
        return -EBADMSG;
    *ret = (uint32_t)version;
    return 0;
}

static int sqlite_set_version(struct db *db, uint32_t version)
{
    char sql[96];

    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %u", APPLICATION_ID,
             version);
    return sqlite_script(db, sql);
}

static uint32_t sqlite_log_pages(struct db *db)
{
    return (uint32_t)db->wal_pages;
}

static int sqlite_tidy(struct db *db)
{
    int in_log = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);

    if (rc != SQLITE_OK)
        return code(db->h, rc);
    return in_log < 0 ? 0 : in_log - moved;
}

static void sqlite_shrink(struct db *db, uint32_t n)
{
    int64_t n_free = 0, n_all = 0;
    char sql[64];

    if (pragma_number(db, "PRAGMA freelist_count", &n_free) < 0 ||
        pragma_number(db, "PRAGMA page_count", &n_all) < 0)
        return;
    if (n_free < 1024 || n_free < n_all / 8)
        return; /* new rows will want them soon */
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%u)", n);
    (void)sqlite_script(db, sql);
}

static uint64_t file_size(const char *path, const char *suffix)
{
    struct stat st;
    AUTO_FREE char *p = xasprintf("%s%s", path, suffix);
    return stat(p, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void sqlite_sizes(struct db *db, uint64_t *ret_db_bytes, uint64_t *ret_log_bytes)
{
    const char *path = sqlite3_db_filename(db->h, "main");
    *ret_db_bytes = file_size(path, "");
    *ret_log_bytes = file_size(path, "-wal");
}

static const char *sqlite_why(struct db *db)
{
    return sqlite3_errmsg(db->h);
}

static int on_wal(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct db *db = arg;

    (void)h;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

/* -- life */

static void sqlite_close(struct db *db)
{
    for (size_t i = 0; i < SLOTS; i++)
        sqlite3_finalize(db->slots[i].st);
    sqlite3_close_v2(db->h);
    free(db);
}

/* SQLite would make it 0644; the log and the index file copy the mode of this one. */
static int make_file(const char *path)
{
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd_sync_parent(path);
    if (errno != EEXIST)
        return -errno;
    return chmod(path, 0600) == 0 || errno == EROFS ? 0 : -errno;
}

static int settle(struct db *db)
{
    /* secure_delete: FAST wipes freed rows where that costs no extra write (Debian's default wipes every
     * page). */
    static const char common[] = "PRAGMA cache_size=-16384; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
                                 "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";
    static const char writer[] =
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864;"
        "PRAGMA secure_delete=FAST;";

    sqlite3_busy_timeout(db->h, BUSY_MS);
    int e = sqlite_script(db, common);
    if (e == 0 && db->may_write)
        e = sqlite_script(db, writer);
    if (e == 0 && db->may_write)
        sqlite3_wal_hook(db->h, on_wal, db);
    return e;
}

static int sqlite_open(const struct driver *self, const char *path, unsigned flags, struct db **ret,
                       struct err *err)
{
    AUTO(db_close) struct db *db = xnew0(struct db);
    int how = flags & DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, e;

    db->head.driver = self;
    db->may_write = flags & DB_WRITE;
    if (flags & DB_CREATE && (e = make_file(path)) < 0)
        return err_set(err, e, e == -EROFS ? "store.read_only" : "store.open",
                       "cannot make the database %s: %m", path);
    /* FULLMUTEX off: a handle is used by one thread at a time */
    e = code(db->h,
             sqlite3_open_v2(path, &db->h, how | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL));
    if (e < 0)
        return err_set(err, e, "store.open", "cannot open the database %s: %s", path, sqlite3_errmsg(db->h));
    sqlite3_extended_result_codes(db->h, 1);
    sqlite3_limit(db->h, SQLITE_LIMIT_ATTACHED, 0);
    if (db->may_write && sqlite3_db_readonly(db->h, "main") == 1)
        return err_set(err, -EROFS, "store.read_only",
                       "the database %s may not be written: check its owner, its mode and its file system",
                       path);
    e = settle(db);
    if (e == -EBADMSG)
        return err_set(err, e, "store.corrupt",
                       "%s is damaged or no database (%s). Move the state directory away and bring a backup back with "
                       "`musterd restore FILE`; "
                       "`musterd doctor` says more",
                       path, sqlite3_errmsg(db->h));
    if (e < 0)
        return err_set(err, e,
                       e == -EROFS    ? "store.read_only"
                       : e == -ENOSPC ? "store.disk_full"
                                      : "store.open",
                       "cannot use the database %s: %s", path, sqlite3_errmsg(db->h));
    *ret = TAKE(db);
    return 0;
}

const struct driver driver_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .script = sqlite_script,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .query = sqlite_query,
    .next = sqlite_next,
    .col_int = sqlite_col_int,
    .col_bytes = sqlite_col_bytes,
    .rows_done = sqlite_rows_done,
    .version = sqlite_version,
    .set_version = sqlite_set_version,
    .log_pages = sqlite_log_pages,
    .tidy = sqlite_tidy,
    .shrink = sqlite_shrink,
    .sizes = sqlite_sizes,
    .why = sqlite_why,
};

int db_integrity(struct db *db, struct err *err)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(db->h, "PRAGMA integrity_check(1)", -1, &st, NULL), e;

    if (rc != SQLITE_OK)
        return err_set(err, -EBADMSG, "store.corrupt", "%s", sqlite3_errmsg(db->h));
    rc = sqlite3_step(st);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : sqlite3_errmsg(db->h);
    e = text && strcmp(text, "ok") == 0
            ? 0
            : err_set(err, -EBADMSG, "store.corrupt", "%s", text ? text : "no answer");
    sqlite3_finalize(st);
    return e;
}

/* -- copies: into "to.part", renamed only when whole and on disk */

struct db_copy {
    sqlite3 *from, *to;
    sqlite3_backup *run;
    char *path, *part;
    bool is_done;
};

static int copy_fail(struct db_copy *c, int e, const char *what, struct err *err)
{
    return err_set(err, e,
                   e == -ENOSPC    ? "store.disk_full"
                   : e == -EBADMSG ? "store.corrupt"
                                   : "store.io",
                   "%s: %s", what,
                   c->to && sqlite3_errcode(c->to) != SQLITE_OK ? sqlite3_errmsg(c->to)
                   : c->from                                    ? sqlite3_errmsg(c->from)
                                                                : strerror(-e));
}

int db_copy_open(const char *from, const char *to, struct db_copy **ret, struct err *err)
{
    AUTO(db_copy_free) struct db_copy *c = xnew0(struct db_copy);
    int e;

    if (access(to, F_OK) == 0)
        return err_set(err, -EEXIST, "store.exists", "%s exists already; choose a new file", to);
    AUTO_FREE char *part = xasprintf("%s.part~", to);
    unlink(part);
    AUTO_FD int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, -errno, "store.io", "cannot make %s: %m", part);
    c->path = xstrdup(to);
    c->part = TAKE(part);
    e = code(c->from, sqlite3_open_v2(from, &c->from, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));
    if (e < 0)
        return copy_fail(c, e, from, err);
    sqlite3_busy_timeout(c->from, BUSY_MS);
    e = code(c->to, sqlite3_open_v2(c->part, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (e == 0)
        e = code(c->to,
                 sqlite3_exec(c->to, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF", NULL, NULL, NULL));
    /* An open read transaction keeps the source at one moment: without it every foreign commit would restart
     * the copy. */
    if (e == 0)
        e = code(c->from,
                 sqlite3_exec(c->from, "BEGIN; SELECT count(*) FROM sqlite_master", NULL, NULL, NULL));
    if (e < 0)
        return copy_fail(c, e, from, err);
    c->run = sqlite3_backup_init(c->to, "main", c->from, "main");
    if (!c->run)
        return copy_fail(c, code(c->to, sqlite3_errcode(c->to)), to, err);
    *ret = TAKE(c);
    return 0;
}

/* One plain file: out of WAL mode, on disk, under its real name. */
static int copy_finish(struct db_copy *c)
{
    int e = code(c->to, sqlite3_backup_finish(c->run));

    c->run = NULL;
    if (e == 0)
        e = code(c->to, sqlite3_close(c->to));
    c->to = NULL;
    if (e == 0) {
        e = code(c->to, sqlite3_open_v2(c->part, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
        if (e == 0)
            e = code(c->to, sqlite3_exec(c->to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL));
        sqlite3_close(c->to);
        c->to = NULL;
    }
    if (e < 0)
        return e;
    AUTO_FD int fd = open(c->part, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    if (renameat2(AT_FDCWD, c->part, AT_FDCWD, c->path, RENAME_NOREPLACE) < 0)
        return -errno;
    c->is_done = true;
    return fd_sync_parent(c->path);
}

int db_copy_step(struct db_copy *c, int n, uint64_t *ret_done, uint64_t *ret_total)
{
    int rc = sqlite3_backup_step(c->run, n);
    uint64_t total = (uint64_t)sqlite3_backup_pagecount(c->run);

    *ret_total = total;
    *ret_done = total - (uint64_t)sqlite3_backup_remaining(c->run);
    if (rc == SQLITE_OK)
        return 1;
    return rc == SQLITE_DONE ? copy_finish(c) : code(c->to, rc);
}

void db_copy_free(struct db_copy *c)
{
    if (!c)
        return;
    if (c->run)
        sqlite3_backup_finish(c->run);
    sqlite3_close(c->to);
    sqlite3_close(c->from);
    if (c->part && !c->is_done)
        unlink(c->part);
    free(c->path);
    free(c->part);
    free(c);
}
