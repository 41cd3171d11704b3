/* cli/outcome.c - see outcome.h. */
#include "cli/outcome.h"

#include <string.h>

#include "base/text.h"
#include "cli/views.h"

static void put_signal(int64_t signo, struct buf *out)
{
    const char *abbrev = signo > 0 && signo < 65 ? sigabbrev_np((int)signo) : NULL;
    buf_printf(out, "killed by signal %lld", (long long)signo);
    if (abbrev)
        buf_printf(out, " (SIG%s)", abbrev);
}

void outcome_text(const struct task_view *t, struct buf *out)
{
    struct str o = t->outcome;
    if (str_is(o, "exited")) {
        buf_printf(out, "exit %lld", (long long)t->exit_code);
    } else if (str_is(o, "signaled")) {
        put_signal(t->signal, out);
    } else if (str_is(o, "timed_out")) {
        buf_cstr(out, "timed out");
    } else if (str_is(o, "expired")) {
        buf_cstr(out, "expired: the host did not connect in time");
    } else if (str_is(o, "lost")) {
        buf_cstr(out, "lost: the host cannot tell how it ended");
    } else {
        (void)text_printable(out, o);
    }
    if (t->exit_code > 0 && !str_is(o, "exited")) /* it ended by itself when it was stopped */
        buf_printf(out, ", exit %lld", (long long)t->exit_code);
    if (t->message.len) {
        buf_cstr(out, ": ");
        (void)text_printable(out, str_sub(t->message, 0, 200));
    }
}

enum task_result outcome_result(const struct task_view *t, bool gave_up)
{
    struct str o = t->outcome;
    if (str_is(o, "exited"))
        return t->exit_code == 0 ? RESULT_OK : RESULT_FAILED;
    if (str_is(o, "timed_out"))
        return RESULT_TIMED_OUT;
    if (str_is(o, "expired"))
        return RESULT_UNREACHABLE;
    if (str_is(o, "cancelled")) /* one that had started all the same was reached */
        return gave_up && !t->started_at ? RESULT_UNREACHABLE : RESULT_CANCELLED;
    return RESULT_FAILED;
}

int outcome_code(const struct task_view *t, bool gave_up, bool is_interrupted)
{
    enum task_result r = outcome_result(t, gave_up);
    switch (r) {
    case RESULT_OK:
        return RC_OK;
    case RESULT_TIMED_OUT:
    case RESULT_UNREACHABLE:
        return RC_UNREACHABLE;
    case RESULT_CANCELLED:
        return is_interrupted ? RC_INTERRUPTED : RC_FAILED;
    case RESULT_FAILED:
        break;
    }
    if (str_is(t->outcome, "exited"))
        return t->exit_code > 0 && t->exit_code < 256 ? (int)t->exit_code : RC_FAILED;
    if (str_is(t->outcome, "signaled"))
        return t->signal > 0 && t->signal < 128 ? 128 + (int)t->signal : RC_FAILED;
    return RC_FAILED;
}

void outcome_count(struct outcome_counts *c, enum task_result r)
{
    switch (r) {
    case RESULT_OK:
        c->ok++;
        break;
    case RESULT_FAILED:
        c->failed++;
        break;
    case RESULT_TIMED_OUT:
        c->timed_out++;
        break;
    case RESULT_UNREACHABLE:
        c->unreachable++;
        break;
    case RESULT_CANCELLED:
        c->cancelled++;
        break;
    }
}

int outcome_job_code(const struct outcome_counts *c, bool is_interrupted)
{
    uint32_t bad = c->failed + c->timed_out + c->unreachable + c->cancelled;
    if (bad == 0)
        return RC_OK;
    if (is_interrupted && c->cancelled)
        return RC_INTERRUPTED;
    if (c->ok)
        return RC_PARTIAL;
    return c->unreachable == bad ? RC_UNREACHABLE : RC_FAILED;
}
