/* net/mailbox.c - base/queue plus a wake-up of the loop. mailbox_post: any thread; the rest: loop thread. */
#include "net/mailbox.h"

#include <assert.h>

#include "base/mem.h"
#include "net/loop_priv.h"

struct mailbox {
    uv_async_t async;
    struct queue *queue;
    mailbox_fn fn;
    void *ctx;
};

static void drain(struct mailbox *m)
{
    struct qmsg *msg = queue_take_all(m->queue), *next;

    for (; msg; msg = next) {
        next = msg->next;
        msg->next = NULL;
        m->fn(m->ctx, msg);
    }
}

static void on_async(uv_async_t *h)
{
    drain(h->data);
}

struct mailbox *mailbox_new(struct loop *l, mailbox_fn fn, void *ctx)
{
    struct mailbox *m = xnew0(struct mailbox);
    int r = uv_async_init(&l->uv, &m->async, on_async);

    assert(r == 0);
    (void)r;
    m->async.data = m;
    uv_unref((uv_handle_t *)&m->async);
    m->queue = queue_new();
    m->fn = fn;
    m->ctx = ctx;
    return m;
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

void mailbox_free(struct mailbox *m)
{
    if (!m)
        return;
    drain(m);
    queue_free(TAKE(m->queue));
    uv_close((uv_handle_t *)&m->async, on_closed);
}

void mailbox_post(struct mailbox *m, struct qmsg *msg)
{
    /* Only the push onto an empty queue wakes: the reader takes everything at once. */
    if (queue_push(m->queue, msg))
        uv_async_send(&m->async);
}
