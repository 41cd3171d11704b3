/* base/queue.c - see queue.h. A list under a mutex: the reader takes all of it at once, so the lock is held
 * for a few instructions on either side. */
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t some; /* on CLOCK_MONOTONIC */
    struct qmsg *head, **tail;
    bool is_closed;
};

struct queue *queue_new(void)
{
    struct queue *q = xnew0(struct queue);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->some, &attr);
    pthread_condattr_destroy(&attr);
    q->tail = &q->head;
    return q;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    assert(!q->head);
    pthread_cond_destroy(&q->some);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool queue_push(struct queue *q, struct qmsg *m)
{
    m->next = NULL;
    pthread_mutex_lock(&q->lock);
    bool was_empty = !q->head;
    *q->tail = m;
    q->tail = &m->next;
    if (was_empty)
        pthread_cond_signal(&q->some);
    pthread_mutex_unlock(&q->lock);
    return was_empty;
}

static struct qmsg *take(struct queue *q)
{
    struct qmsg *all = q->head;
    q->head = NULL;
    q->tail = &q->head;
    return all;
}

struct qmsg *queue_take_all(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct qmsg *all = take(q);
    pthread_mutex_unlock(&q->lock);
    return all;
}

struct qmsg *queue_wait_all(struct queue *q, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += timeout_ms % 1000 * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
    }
    pthread_mutex_lock(&q->lock);
    int r = 0;
    while (!q->head && !q->is_closed && r != ETIMEDOUT) {
        if (timeout_ms < 0)
            r = pthread_cond_wait(&q->some, &q->lock);
        else
            r = pthread_cond_timedwait(&q->some, &q->lock, &until);
    }
    struct qmsg *all = take(q);
    pthread_mutex_unlock(&q->lock);
    return all;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_cond_broadcast(&q->some);
    pthread_mutex_unlock(&q->lock);
}

bool queue_is_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool is_closed = q->is_closed;
    pthread_mutex_unlock(&q->lock);
    return is_closed;
}
