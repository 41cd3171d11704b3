/* tests/unit/control/report_fixture.h - reporters, their keys and their reports over the control fixture. */
#ifndef MUSTER_TEST_REPORT_FIXTURE_H
#define MUSTER_TEST_REPORT_FIXTURE_H

#include "fixture.h"

#include "control/reports.h"

#define REPORT_PEER "192.0.2.50"

/* -- people's part */
/* As if the field had been in the body. */
static inline void wish_for(const struct record *rec, struct seen *seen, const char *field)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        if (strcmp(rec->fields[i].name, field) == 0)
            seen->present |= 1ULL << i;
}
static inline uint64_t enroll_key_of(struct fixture *f, const struct enroll_key_wish *w, char text[SECRET_TEXT_MAX])
{
    const struct enroll_key *k;
    assert_int_equal(enroll_key_create(f->c, &f->admin, w, text, &k, &f->err), 0);
    return k->id;
}
static inline struct reporter_view view(struct fixture *f, uint64_t id)
{
    struct reporter_view v;
    assert_int_equal(reporter_find(f->c, id, &v, &f->err), 0);
    return v;
}

/* -- the agent's part */
static inline int register_with(struct fixture *f, const struct register_ask *ask, struct register_answer *a)
{
    f->err = (struct err){ 0 };
    int r = report_register(f->c, ask, a, &f->err);
    settle(f);
    return r;
}
static inline int pass_with(struct fixture *f, const char *api_key, struct client_key client, struct report_pass *ret)
{
    f->err = (struct err){ 0 };
    return report_authenticate(f->c, str_of(api_key), &client, REPORT_PEER, ret, &f->err);
}
struct report_told {
    int result;
    struct err err;
    struct report_answer a;
    struct report_checkin ck;
    bool is_done;
};
static inline void on_report_told(void *ctx, int result, const struct err *err, const struct report_answer *a)
{
    struct report_told *t = ctx;
    t->result = result;
    t->err = *err;
    if (result == 0) {
        t->a = *a;
        t->ck = *a->checkin;
    }
    t->is_done = true;
}
static inline struct report_told tell_from(struct fixture *f, const struct report_pass *pass, struct report *r, const char *peer)
{
    struct report_told t = { 0 };
    report_checkin(f->c, pass, r, peer, on_report_told, &t);
    while (!t.is_done) {
        turn(f);
        if (!t.is_done)
            fixture_wait(f);
    }
    settle(f);
    return t;
}

#endif
