/* store/tidy.c - checkpoints: pages of the log go home on a thread of their own, beside the writer.
 *
 * A checkpoint writes thousands of scattered pages and fsyncs the database: 50 to 100 ms in which, on the
 * writer's thread, nothing is acknowledged. So the bulk is moved here, on a second writing handle, while
 * commits go on. The log can begin anew only when all of it is home; the rest that came in meanwhile is moved
 * by the writer between two commits (it is short then).
 *
 *   writer:  commit commit [log > TIDY_PAGES: ask] commit commit commit [answer: move the rest] commit
 *   tidy:                                   move ........... move .. */
#include "store/store_priv.h"

enum { TIDY_PAGES = 4000, REST_PAGES = 400, ROUNDS = 8, TIDY_IDLE = 0, TIDY_ASKED, TIDY_ANSWERED };

void *tidy_main(void *arg)
{
    struct store *s = arg;

    pthread_setname_np(pthread_self(), "store-tidy");
    for (;;) {
        struct qmsg *m = queue_wait_all(s->to_tidy, -1);
        if (!m && queue_is_closed(s->to_tidy))
            break;
        for (struct qmsg *next; m; m = next) {
            next = m->next;
            free(m);
        }
        for (int i = 0; i < ROUNDS && !atomic_load(&s->is_closing); i++)
            if (DB__DRIVER(s->tidy_db)->tidy(s->tidy_db) <= REST_PAGES)
                break;
        atomic_store(&s->tidy_state, TIDY_ANSWERED);
    }
    return NULL;
}

static void move_rest(struct writer *w)
{
    int left = DB__DRIVER(w->db)->tidy(w->db);

    w->tidy_at = TIDY_PAGES + (left == 0 ? 0 : DB__DRIVER(w->db)->log_pages(w->db));
    w->tidied_at_commit = atomic_load(&w->s->n_commits);
}

void tidy__after_commit(struct writer *w)
{
    struct store *s = w->s;

    switch (atomic_load(&s->tidy_state)) {
    case TIDY_IDLE:
        if (DB__DRIVER(w->db)->log_pages(w->db) >= (w->tidy_at ? w->tidy_at : TIDY_PAGES)) {
            struct msg *m = xnew0(struct msg);
            m->kind = MSG_TIDY;
            atomic_store(&s->tidy_state, TIDY_ASKED);
            queue_push(s->to_tidy, &m->q);
        }
        break;
    case TIDY_ANSWERED:
        move_rest(w);
        atomic_store(&s->tidy_state, TIDY_IDLE);
        break;
    default:
        break;
    }
}

void tidy__when_idle(struct writer *w)
{
    if (atomic_load(&w->s->tidy_state) != TIDY_ASKED &&
        w->tidied_at_commit != atomic_load(&w->s->n_commits)) {
        move_rest(w);
        atomic_store(&w->s->tidy_state, TIDY_IDLE);
    }
}
