/* cli/follow_show.c - what a followed job looks like: lines, bar, summary. See follow.h. */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/follow_priv.h"
#include "cli/print.h"

#define RESET "\x1b[0m"

enum { BAR_WIDTH = 24, BAR_LEAST = 6, SUMMARY_MAX = 50 };

/* Told apart on light and dark ground; red is for trouble. */
static const char *const colors[] = { "\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[33m",
                                      "\x1b[34m", "\x1b[96m", "\x1b[92m", "\x1b[95m" };

static void out(struct follow *f, int fd, struct str s)
{
    if (f->is_over)
        return;
    int r = print_out(fd, s);
    if (r == -EPIPE) {
        follow__cancel(f); /* nobody listens any more: what ran for them should stop */
        follow__leave(f, RC_PIPE);
    } else if (r < 0) {
        follow__cancel(f);
        follow__leave(f, cli_fail(f->cli, RC_FAILED, "output", "cannot write: %s", strerror(-r)));
    }
}

struct line_at {
    struct track *t;
    int stream;
    struct buf text; /* of all lines of one piece: written in one go */
};

static void put_line(void *ctx, struct str line, bool is_whole)
{
    struct line_at *at = ctx;
    struct cli *cli = at->t->f->cli;
    bool color = at->stream ? cli->err_color : cli->out_color;
    bool tty = at->stream ? cli->err_tty : cli->out_tty;
    bool colored = false;
    (void)is_whole; /* the last line gets its newline here: another host's would stick to it */
    if (color)
        buf_printf(&at->text, "%s%s" RESET " | ", colors[at->t->color % ARRAY_SIZE(colors)], at->t->host);
    else
        buf_printf(&at->text, "%s | ", at->t->host);
    if (tty)
        line_for_terminal(line, &at->text, &colored);
    else
        (void)buf_str(&at->text, line);
    buf_cstr(&at->text, colored ? RESET "\n" : "\n");
}

static void write_lines(struct follow *f, struct line_at *at)
{
    if (at->text.len) {
        follow__clear_bar(f);
        out(f, at->stream ? STDERR_FILENO : STDOUT_FILENO, buf_as_str(&at->text));
    }
    buf_done(&at->text);
}

void follow__show(struct follow *f, struct track *t, int stream, struct str data)
{
    if (f->is_json || f->conf->quiet_output)
        return;
    if (f->is_single) {
        out(f, stream ? STDERR_FILENO : STDOUT_FILENO, data);
        return;
    }
    struct line_at at = { .t = t, .stream = stream, .text = BUF(PRINT_MAX) };
    lines_feed(&t->lines[stream], data, put_line, &at);
    write_lines(f, &at);
}

void follow__flush(struct follow *f, struct track *t)
{
    for (int stream = 0; stream < 2; stream++) {
        struct line_at at = { .t = t, .stream = stream, .text = BUF(PRINT_MAX) };
        lines_flush(&t->lines[stream], put_line, &at);
        write_lines(f, &at);
    }
}

void follow__json(struct follow *f, const char *event, const struct node *data)
{
    AUTO(buf_done) struct buf b = BUF(PRINT_MAX);
    buf_printf(&b, "{\"event\":\"%s\",\"data\":", event);
    (void)node_write(data, &b);
    buf_cstr(&b, "}\n");
    out(f, STDOUT_FILENO, buf_as_str(&b));
}

void follow__missing(struct follow *f, struct track *t, int stream, uint64_t n)
{
    if (f->is_json || f->conf->quiet_output)
        return;
    follow__clear_bar(f);
    cli_note(f->cli, "%s: %llu bytes of %s are missing here (over the output limit, or no longer kept)",
             t->host, (unsigned long long)n, stream ? "standard error" : "standard output");
}

/* -- progress */

struct tally {
    uint64_t done, bad, running;
};

static struct tally tally_of(const struct follow *f)
{
    struct tally y = { 0 };
    for (size_t i = 0; i < f->tracks.n; i++) {
        const struct track *t = f->tracks.v[i];
        y.done += t->state == TRACK_DONE;
        y.bad += t->state == TRACK_DONE && t->result != RESULT_OK;
        y.running += t->state == TRACK_RUNNING;
    }
    return y;
}

static void put_counts(const struct follow *f, const struct tally *y, struct buf *b)
{
    char age[CLOCK_TEXT_MAX];
    buf_printf(b, "%llu/%llu done", (unsigned long long)y->done, (unsigned long long)f->n_total);
    if (y->bad)
        buf_printf(b, ", %llu failed", (unsigned long long)y->bad);
    if (y->running)
        buf_printf(b, ", %llu running", (unsigned long long)y->running);
    if (f->is_interrupted)
        buf_cstr(b, ", cancelling");
    clock_format_age(loop_now(f->loop) - f->started, age);
    buf_printf(b, "  %s", age);
}

void follow__bar(struct follow *f)
{
    if (f->is_single || !f->has_job || f->is_json || !f->cli->err_tty)
        return;
    struct tally y = tally_of(f);
    struct winsize ws = { 0 };
    AUTO(buf_done) struct buf b = BUF(1024), counts = BUF(512);
    (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &ws);
    size_t columns = ws.ws_col > 1 ? ws.ws_col : 80;
    put_counts(f, &y, &counts);
    /* Where it is narrow, the numbers say more than the bar. */
    size_t room = columns > counts.len + 4 ? columns - counts.len - 4 : 0, width = room < BAR_WIDTH ? room : BAR_WIDTH;
    if (width >= BAR_LEAST) {
        size_t fill = f->n_total ? width * y.done / f->n_total : 0;
        buf_char(&b, '[');
        for (size_t i = 0; i < width; i++)
            buf_char(&b, i < fill ? '#' : '.');
        buf_cstr(&b, "] ");
    }
    (void)buf_str(&b, buf_as_str(&counts));
    /* a line that wraps could not be wiped by one carriage return */
    struct str s = str_sub(buf_as_str(&b), 0, columns - 1);
    fprintf(stderr, "\r%.*s\x1b[K", STR_FMT(s));
    fflush(stderr);
    f->has_bar = true;
}

void follow__clear_bar(struct follow *f)
{
    if (!f->has_bar)
        return;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
    f->has_bar = false;
}

/* -- the end */

static const char *advice(const struct track *t)
{
    if (t->is_left)
        return "unreachable: it went away with the command; if it runs, it is cancelled when the host is back";
    if (t->result == RESULT_UNREACHABLE)
        return "unreachable: it did not connect in time";
    return t->text ? t->text : "no result";
}

static void summary_single(struct follow *f)
{
    struct track *t = f->tracks.n ? f->tracks.v[0] : NULL;
    if (!t)
        return;
    if (t->is_left)
        cli_note(f->cli,
                 "host.offline: %s went away before it said whether the command began. The job is cancelled, there as soon as "
                 "the host is back; how it ended: muster job %llu",
                 t->host, (unsigned long long)f->job_id);
    else if (t->result == RESULT_UNREACHABLE && t->gave_up)
        cli_note(f->cli,
                 "host.offline: %s is not connected; the job was cancelled so that nothing runs later by "
                 "surprise. To "
                 "leave it for when the host is back: muster run --detach",
                 t->host);
    else if (t->result == RESULT_UNREACHABLE || t->result == RESULT_TIMED_OUT ||
             t->result == RESULT_CANCELLED)
        cli_note(f->cli, "%s: %s", t->host, advice(t));
    else if (t->result == RESULT_FAILED && t->text && strncmp(t->text, "exit ", 5) != 0)
        cli_note(f->cli, "%s: %s", t->host, t->text);
}

void follow__summary(struct follow *f)
{
    follow__clear_bar(f);
    if (f->is_json)
        return;
    if (f->is_single) {
        summary_single(f);
        return;
    }
    struct tally y = tally_of(f);
    if (!y.bad)
        return;
    fprintf(stderr, "%llu of %llu hosts failed:\n", (unsigned long long)y.bad,
            (unsigned long long)f->n_total);
    size_t width = 0, shown = 0, gave_up = 0;
    for (size_t i = 0; i < f->tracks.n; i++) {
        size_t w = utf8_columns(str_of(f->tracks.v[i]->host));
        if (f->tracks.v[i]->result != RESULT_OK && w > width)
            width = w;
        gave_up += f->tracks.v[i]->gave_up && f->tracks.v[i]->result == RESULT_UNREACHABLE;
    }
    for (size_t i = 0; i < f->tracks.n && shown < SUMMARY_MAX; i++) {
        const struct track *t = f->tracks.v[i];
        if (t->state != TRACK_DONE || t->result == RESULT_OK)
            continue;
        int room = (int)(width - utf8_columns(str_of(t->host)));
        fprintf(stderr, "  %s%*s  %s\n", t->host, room, "", advice(t));
        shown++;
    }
    if (y.bad > shown)
        fprintf(stderr, "  and %llu more; all of them: muster job %llu\n",
                (unsigned long long)(y.bad - shown), (unsigned long long)f->job_id);
    if (gave_up)
        fprintf(stderr, "Unreachable hosts were taken off the job. To leave it for when they are back: "
                        "muster run --detach\n");
}
