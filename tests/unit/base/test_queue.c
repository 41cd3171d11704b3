/* tests/unit/base/test_queue.c - the promises of base/queue.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/mem.h"
#include "base/queue.h"

enum { WRITERS = 4, EACH = 5000 };
struct msg {
    struct qmsg q;
    int writer, seq;
};

static struct qmsg *msg_new(int writer, int seq)
{
    struct msg *m = xnew0(struct msg);
    m->writer = writer;
    m->seq = seq;
    return &m->q;
}

static void order_is_kept_and_the_first_push_says_empty(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *q = queue_new();
    assert_null(queue_take_all(q));
    assert_true(queue_push(q, msg_new(0, 0)));
    assert_false(queue_push(q, msg_new(0, 1)));
    int seq = 0;
    for (struct qmsg *m = queue_take_all(q), *next; m; m = next) {
        next = m->next;
        assert_int_equal(((struct msg *)m)->seq, seq++);
        free(m);
    }
    assert_int_equal(seq, 2);
    assert_true(queue_push(q, msg_new(0, 2)));
    free(queue_take_all(q));
}

static void waiting_ends_at_a_message_a_time_out_or_the_end(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *q = queue_new();
    assert_null(queue_wait_all(q, 0));
    assert_null(queue_wait_all(q, 1));
    queue_push(q, msg_new(0, 0));
    free(queue_wait_all(q, -1));
    assert_false(queue_is_closed(q));
    queue_push(q, msg_new(0, 0));
    queue_close(q);
    free(queue_wait_all(q, -1)); /* what is inside comes out first */
    assert_null(queue_wait_all(q, -1));
    assert_true(queue_is_closed(q));
}

static struct queue *shared;

static void *writer(void *arg)
{
    for (int i = 0; i < EACH; i++)
        queue_push(shared, msg_new((int)(intptr_t)arg, i));
    return NULL;
}

static void every_message_of_every_thread_arrives_once_in_its_order(void **state)
{
    (void)state;
    shared = queue_new();
    pthread_t threads[WRITERS];
    int next_seq[WRITERS] = { 0 };
    for (intptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer, (void *)i), 0);
    for (int got = 0; got < WRITERS * EACH;) {
        for (struct qmsg *m = queue_wait_all(shared, -1), *next; m; m = next) {
            next = m->next;
            struct msg *msg = (struct msg *)m;
            assert_int_equal(msg->seq, next_seq[msg->writer]++);
            free(m);
            got++;
        }
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(queue_take_all(shared));
    queue_free(shared);
}

static void *closer(void *arg)
{
    queue_close(arg);
    return NULL;
}

static void close_wakes_a_reader_in_another_thread(void **state)
{
    (void)state;
    AUTO(queue_free) struct queue *q = queue_new();
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, closer, q), 0);
    assert_null(queue_wait_all(q, -1));
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_kept_and_the_first_push_says_empty),
        cmocka_unit_test(waiting_ends_at_a_message_a_time_out_or_the_end),
        cmocka_unit_test(every_message_of_every_thread_arrives_once_in_its_order),
        cmocka_unit_test(close_wakes_a_reader_in_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
