/* net/mailbox.h - messages into a loop from any thread: base/queue + a wake-up. Wake-ups coalesce, so the
 * reader drains fully each time. */
#ifndef MUSTER_NET_MAILBOX_H
#define MUSTER_NET_MAILBOX_H

#include "base/queue.h"
#include "net/loop.h"

struct mailbox;
/* Called on the loop for each message, in order; the message is the callee's. */
typedef void (*mailbox_fn)(void *ctx, struct qmsg *m);

struct mailbox *mailbox_new(struct loop *l, mailbox_fn fn, void *ctx);
/* Loop thread; drains what is inside through @fn first. */
void mailbox_free(struct mailbox *m);
DEFINE_AUTO(struct mailbox *, mailbox_free)
/* Any thread. */
void mailbox_post(struct mailbox *m, struct qmsg *msg);

#endif
