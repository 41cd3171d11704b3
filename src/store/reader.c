/* store/reader.c - the reader thread: one query after the other on a read-only handle, and backups between
 * them. */
#define LOG_TARGET "store"
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "store/store_priv.h"

enum { COPY_PAGES = 256, PROGRESS_EVERY = 4096 };

/* One read is one snapshot, however many statements it takes. */
static void run_read(struct reader *r, struct read *rd)
{
    int e = db_begin(r->db);

    if (e == 0) {
        e = rd->run(r->db, rd);
        if (e < 0)
            log_error("store.read_failed", "a read failed", LOG_CSTR("why", DB__DRIVER(r->db)->why(r->db)),
                      LOG_I64("code", e));
        db_rollback(r->db);
    }
    rd->result = e;
    atomic_fetch_add(&r->s->n_reads, 1);
    store__mail(r->s, &rd->m);
}

/* -- backup */

struct copying {
    struct copy_msg *msg;
    struct db_copy *copy;
    uint64_t told;
};

static void copy_end(struct reader *r, struct copying *c, int result)
{
    if (result < 0)
        log_error("store.backup_failed", "the backup failed", LOG_CSTR("path", c->msg->path),
                  LOG_I64("code", result), LOG_CSTR("why", c->msg->err.text));
    c->msg->result = result;
    db_copy_free(c->copy);
    store__mail(r->s, &c->msg->m);
    *c = (struct copying){ 0 };
}

static void copy_step(struct reader *r, struct copying *c)
{
    uint64_t done = 0, total = 0;
    int e = db_copy_step(c->copy, COPY_PAGES, &done, &total);

    if (c->msg->progress && (e == 0 || done - c->told >= PROGRESS_EVERY)) {
        struct progress_msg *m = xnew0(struct progress_msg);
        m->m.kind = MSG_PROGRESS;
        m->done = e == 0 ? total : done;
        m->total = total;
        c->told = done;
        store__mail(r->s, &m->m);
    }
    if (e != 1)
        copy_end(r, c, e);
}

static void copy_start(struct reader *r, struct copying *c, struct copy_msg *m)
{
    c->msg = m;
    int e = db_copy_open(r->s->path, m->path, &c->copy, &m->err);
    if (e < 0)
        copy_end(r, c, e);
}

void *reader_main(void *arg)
{
    struct reader *r = arg;
    struct copying copying = { 0 };

    pthread_setname_np(pthread_self(), "store-read");
    for (;;) {
        struct qmsg *m = queue_wait_all(r->s->to_reader, copying.msg ? 0 : -1);
        if (!m && queue_is_closed(r->s->to_reader))
            break;
        for (struct qmsg *next; m; m = next) {
            next = m->next;
            if (((struct msg *)m)->kind == MSG_COPY)
                copy_start(r, &copying, (struct copy_msg *)m);
            else
                run_read(r, (struct read *)m);
        }
        if (copying.msg)
            copy_step(r, &copying);
    }
    if (copying.msg)
        copy_end(r, &copying, -ECANCELED);
    return NULL;
}
