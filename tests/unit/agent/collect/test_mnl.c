/* tests/unit/agent/collect/test_mnl.c - what collect/ relies on of libmnl. Built twice, with libmnl and with mnl_static.c in its place:
 * the same promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum { SEQ = 7, PORT = 42 };

struct dump {
    _Alignas(struct nlmsghdr) char bytes[512];
    size_t len;
};

static struct nlmsghdr *message(struct dump *d, uint16_t type, const void *payload, size_t len)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(d->bytes + d->len);

    nlh->nlmsg_type = type;
    nlh->nlmsg_seq = SEQ;
    nlh->nlmsg_pid = PORT;
    if (len)
        memcpy(mnl_nlmsg_put_extra_header(nlh, len), payload, len);
    d->len += MNL_ALIGN(nlh->nlmsg_len);
    return nlh;
}

static int seen;

static int count(const struct nlmsghdr *nlh, void *ctx)
{
    (void)ctx;
    seen++;
    return nlh->nlmsg_type == RTM_DELROUTE ? MNL_CB_STOP : MNL_CB_OK;
}

static int run(const struct dump *d)
{
    seen = 0;
    errno = 0;
    return mnl_cb_run(d->bytes, d->len, SEQ, PORT, count, NULL);
}

static void a_dump_goes_on_until_it_is_done(void **state)
{
    struct dump d = { .len = 0 };
    int zero = 0;

    (void)state;
    message(&d, RTM_NEWROUTE, "12345", 5);
    message(&d, NLMSG_NOOP, NULL, 0);
    message(&d, RTM_NEWROUTE, NULL, 0);
    assert_int_equal(run(&d), MNL_CB_OK); /* more to come */
    assert_int_equal(seen, 2);
    message(&d, NLMSG_DONE, &zero, sizeof(zero));
    message(&d, RTM_NEWROUTE, NULL, 0);
    assert_int_equal(run(&d), MNL_CB_STOP);
    assert_int_equal(seen, 2);
}

static void whoever_reads_may_stop(void **state)
{
    struct dump d = { .len = 0 };

    (void)state;
    message(&d, RTM_DELROUTE, NULL, 0);
    message(&d, RTM_NEWROUTE, NULL, 0);
    assert_int_equal(run(&d), MNL_CB_STOP);
    assert_int_equal(seen, 1);
}

static void an_error_is_the_kernels_errno(void **state)
{
    struct dump d = { .len = 0 }, ack = { .len = 0 }, torn = { .len = 0 };
    struct nlmsgerr e = { .error = -EPERM };

    (void)state;
    message(&d, NLMSG_ERROR, &e, sizeof(e));
    assert_int_equal(run(&d), MNL_CB_ERROR);
    assert_int_equal(errno, EPERM);
    e.error = 0;
    message(&ack, NLMSG_ERROR, &e, sizeof(e));
    assert_int_equal(run(&ack), MNL_CB_STOP);
    message(&torn, NLMSG_ERROR, &e, sizeof(e) - 4);
    assert_int_equal(run(&torn), MNL_CB_ERROR);
    assert_int_equal(errno, EBADMSG);
}

static void answers_to_others_and_torn_dumps_are_refused(void **state)
{
    struct dump d = { .len = 0 };
    struct nlmsghdr *nlh = message(&d, RTM_NEWROUTE, NULL, 0);

    (void)state;
    nlh->nlmsg_seq++;
    assert_int_equal(run(&d), MNL_CB_ERROR);
    assert_int_equal(errno, EPROTO);
    nlh->nlmsg_seq--;
    nlh->nlmsg_pid++;
    assert_int_equal(run(&d), MNL_CB_ERROR);
    assert_int_equal(errno, ESRCH);
    nlh->nlmsg_pid--;
    nlh->nlmsg_flags = NLM_F_DUMP_INTR;
    assert_int_equal(run(&d), MNL_CB_ERROR);
    assert_int_equal(errno, EINTR);
    assert_int_equal(seen, 0);
}

static void lengths_that_lie_end_the_walk(void **state)
{
    struct dump d = { .len = 0 };

    (void)state;
    message(&d, RTM_NEWROUTE, NULL, 0);
    struct nlmsghdr *nlh = message(&d, RTM_NEWROUTE, NULL, 0);

    for (uint32_t len = 0; len < sizeof(*nlh); len++) {
        nlh->nlmsg_len = len;
        assert_int_equal(run(&d), MNL_CB_OK);
        assert_int_equal(seen, 1);
    }
    nlh->nlmsg_len = sizeof(*nlh) + 1;
    assert_int_equal(run(&d), MNL_CB_OK);
    assert_int_equal(seen, 1);
    for (size_t cut = 0; cut < sizeof(*nlh); cut++) {
        seen = 0;
        assert_int_equal(mnl_cb_run(d.bytes, cut, SEQ, PORT, count, NULL), MNL_CB_OK);
        assert_int_equal(seen, 0);
    }
}

static void messages_and_attributes_are_read_where_they_are(void **state)
{
    struct dump d = { .len = 0 };
    struct {
        struct nlattr head;
        uint32_t value;
    } a = { { .nla_len = 8, .nla_type = NLA_F_NESTED | 3 }, 77 };
    const struct nlmsghdr *nlh = message(&d, RTM_NEWROUTE, &a, sizeof(a));
    const struct nlattr *attr = mnl_nlmsg_get_payload(nlh);

    (void)state;
    assert_int_equal(mnl_nlmsg_get_payload_len(nlh), 8);
    assert_int_equal(mnl_attr_get_type(attr), 3);
    assert_int_equal(mnl_attr_get_payload_len(attr), 4);
    assert_int_equal(mnl_attr_get_u32(attr), 77);
    assert_memory_equal(mnl_attr_get_payload(attr), &a.value, 4);
}

static void a_socket_asks_the_kernel_and_too_small_a_buffer_says_so(void **state)
{
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    struct dump d = { .len = 0 };
    struct rtgenmsg family = { .rtgen_family = 0 };
    _Alignas(struct nlmsghdr) char small[16], large[32 << 10];

    (void)state;
    assert_non_null(nl);
    assert_return_code(mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID), errno);
    assert_int_not_equal(mnl_socket_get_portid(nl), 0);
    struct nlmsghdr *nlh = message(&d, RTM_GETLINK, &family, sizeof(family));

    nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    nlh->nlmsg_pid = 0;
    assert_int_equal(mnl_socket_sendto(nl, nlh, nlh->nlmsg_len), nlh->nlmsg_len);
    assert_int_equal(mnl_socket_recvfrom(nl, small, sizeof(small)), -1);
    assert_int_equal(errno, ENOSPC);
    ssize_t n = mnl_socket_recvfrom(nl, large, sizeof(large));

    assert_true(n > 0);
    assert_true(mnl_cb_run(large, (size_t)n, SEQ, mnl_socket_get_portid(nl), count, NULL) >= 0);
    assert_return_code(mnl_socket_close(nl), errno);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dump_goes_on_until_it_is_done),
        cmocka_unit_test(whoever_reads_may_stop),
        cmocka_unit_test(an_error_is_the_kernels_errno),
        cmocka_unit_test(answers_to_others_and_torn_dumps_are_refused),
        cmocka_unit_test(lengths_that_lie_end_the_walk),
        cmocka_unit_test(messages_and_attributes_are_read_where_they_are),
        cmocka_unit_test(a_socket_asks_the_kernel_and_too_small_a_buffer_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
