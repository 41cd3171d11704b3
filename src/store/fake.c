/* store/fake.c - see fake.h. Linked into tests only. */
#include "store/fake.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static struct {
    int pass, fail, error, n_failed;
    bool hold, is_held;
} script;

void fake_fail_commits(int after, int n, int error)
{
    pthread_mutex_lock(&lock);
    script.pass = after;
    script.fail = n;
    script.error = error;
    pthread_mutex_unlock(&lock);
}

void fake_hold(bool on)
{
    pthread_mutex_lock(&lock);
    script.hold = on;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

void fake_wait_held(void)
{
    pthread_mutex_lock(&lock);
    while (!script.is_held)
        pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
}

void fake_reset(void)
{
    pthread_mutex_lock(&lock);
    memset(&script, 0, sizeof(script));
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

int fake_n_failed(void)
{
    pthread_mutex_lock(&lock);
    int n = script.n_failed;
    pthread_mutex_unlock(&lock);
    return n;
}

static int next_verdict(void)
{
    int e = 0;

    pthread_mutex_lock(&lock);
    while (script.hold) {
        script.is_held = true;
        pthread_cond_broadcast(&moved);
        pthread_cond_wait(&moved, &lock);
    }
    script.is_held = false;
    if (script.pass > 0) {
        script.pass--;
    } else if (script.fail > 0) {
        script.fail--;
        script.n_failed++;
        e = script.error;
    }
    pthread_mutex_unlock(&lock);
    return e;
}

static struct driver passing; /* driver_sqlite with our commit; a handle keeps its address */

static int fake_commit(struct db *db)
{
    int e = next_verdict();

    if (e < 0) {
        driver_sqlite.rollback(db);
        return e;
    }
    return driver_sqlite.commit(db);
}

static int fake_open(const struct driver *self, const char *path, unsigned flags, struct db **ret,
                     struct err *err)
{
    (void)self;
    passing = driver_sqlite;
    passing.commit = fake_commit;
    return driver_sqlite.open(&passing, path, flags, ret, err);
}

const struct driver driver_fake = { .name = "fake", .open = fake_open };
