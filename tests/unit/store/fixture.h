/* tests/unit/store/fixture.h - a store in a directory of its own, and a loop that waits for its wake-ups. */
#ifndef MUSTER_TEST_STORE_FIXTURE_H
#define MUSTER_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "store/store.h"

struct fixture {
    char dir[64];
    char path[96];
    sem_t woken;
    struct store *s;
    const struct driver *driver;
    uint32_t max_open_units;
    usec_t hung_after;
    struct err err;
    /* of the last read */
    bool is_done;
    int result;
    size_t n_rows;
};

static inline void fixture__wake(void *ctx)
{
    sem_post(&((struct fixture *)ctx)->woken);
}

static inline int fixture_try_open(struct fixture *f)
{
    const struct store_conf conf = { .path = f->path,
                                     .wake = fixture__wake,
                                     .wake_ctx = f,
                                     .driver = f->driver,
                                     .max_open_units = f->max_open_units,
                                     .hung_after = f->hung_after };
    f->err = (struct err){ 0 };
    return store_open(&conf, &f->s, &f->err);
}

static inline void fixture_open(struct fixture *f)
{
    int e = fixture_try_open(f);
    if (e < 0)
        fail_msg("%d %s: %s", e, f->err.slug, f->err.text);
}

static inline void fixture_close(struct fixture *f)
{
    store_close(f->s);
    f->s = NULL;
}

/* Stops and starts: what is there now is what is on disk. */
static inline void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

static inline struct fixture *fixture_new(void)
{
    struct fixture *f = xnew0(struct fixture);
    snprintf(f->dir, sizeof(f->dir), "/tmp/muster-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/muster.db", f->dir);
    sem_init(&f->woken, 0, 0);
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    store_close(f->s);
    assert_int_equal(fd_remove_tree(f->dir), 0);
    sem_destroy(&f->woken);
    free(f);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = fixture_new();
    *state = f;
    fixture_open(f);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static inline void fixture__copy(const char *from, const char *to)
{
    AUTO(buf_done) struct buf b = BUF(256 << 20);
    assert_int_equal(fd_read_file(from, &b), 0);
    assert_int_equal(fd_replace_file(to, buf_as_str(&b), 0600, NULL), 0);
}

/* Another store, opened on the files as they are between two commits: what a crash leaves. Call when all is committed. */
static inline struct fixture *fixture_crashed(struct fixture *f)
{
    struct fixture *after = fixture_new();
    AUTO_FREE char *wal = xasprintf("%s-wal", f->path), *wal_copy = xasprintf("%s-wal", after->path);
    fixture__copy(f->path, after->path);
    fixture__copy(wal, wal_copy);
    fixture_open(after);
    return after;
}

/* Waits for one wake-up, at most 20 s (a test that hangs fails instead). */
static inline void fixture_wait(struct fixture *f)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    if (sem_timedwait(&f->woken, &until) < 0)
        fail_msg("the store did not call for 20 s");
    store_poll(f->s);
}

/* Seals and waits until all of it is durable. */
static inline void fixture_commit(struct fixture *f)
{
    store_seal(f->s);
    while (store_committed(f->s) < store_newest(f->s))
        fixture_wait(f);
}

static inline void fixture_done(void *ctx, int result)
{
    struct fixture *f = ctx;
    assert_false(f->is_done);
    f->is_done = true;
    f->result = result;
}

/* Before a read: forgets the last one. */
static inline void fixture_begin(struct fixture *f)
{
    f->is_done = false;
    f->result = 1234;
    f->n_rows = 0;
}

/* Seals, waits for done and returns its result. */
static inline int fixture_finish(struct fixture *f)
{
    store_seal(f->s);
    while (!f->is_done)
        fixture_wait(f);
    return f->result;
}

#define assert_str(s, cstr) assert_true(str_is((s), (cstr)))

#endif
