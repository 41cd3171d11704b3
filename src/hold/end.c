/* hold/end.c - what a hold leaves behind: `started` and `status`. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "hold/hold.h"

void hold_note_start(struct hold *h)
{
    struct hold_started s = { .pid = (uint32_t)h->pid, .at_us = h->started_at_us,
                              .pid_ticks = hold_pid_ticks((uint32_t)h->pid) };
    uint8_t bytes[STARTED_BYTES];
    int fd = openat(h->dir_fd, "started", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    hold_started_write(&s, bytes);
    (void)fd_write_all(fd, bytes, sizeof(bytes));
    (void)close(fd);
}

static void end_fill(const struct hold *h, struct hold_end *e)
{
    *e = (struct hold_end){
        .started_at_us = h->started_at_us,
        .finished_at_us = hold_wall(),
        .stdout_bytes = h->streams[0].kept,
        .stderr_bytes = h->streams[1].kept,
        .stdout_total = h->streams[0].total,
        .stderr_total = h->streams[1].total,
        .is_stdout_cut = h->streams[0].is_cut,
        .is_stderr_cut = h->streams[1].is_cut,
    };
    memcpy(e->message, h->message, sizeof(e->message));
    if (h->is_refused) {
        e->outcome = HOLD_REFUSED;
        e->started_at_us = 0;
        return;
    }
    if (WIFSIGNALED(h->wait_status)) {
        e->signal = WTERMSIG(h->wait_status);
        e->outcome = HOLD_SIGNALED;
    } else {
        e->exit_code = WEXITSTATUS(h->wait_status);
        e->outcome = HOLD_EXITED;
    }
    if (h->stop == STOP_TIMEOUT)
        e->outcome = HOLD_TIMED_OUT;
    else if (h->stop != STOP_NONE)
        e->outcome = HOLD_CANCELLED;
}

void hold_finish(struct hold *h)
{
    struct hold_end e;
    uint8_t bytes[END_MAX_BYTES];
    size_t n;
    int fd = openat(h->dir_fd, "status.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    end_fill(h, &e);
    n = hold_end_write(&e, bytes);
    /* Its block was taken at the start, so that a full disk cannot swallow the truth. */
    if (fd < 0 || fd_write_all(fd, bytes, n) < 0 || renameat(h->dir_fd, "status.tmp", h->dir_fd, "status") < 0) {
        fd_close(&fd);
        return; /* no status, no lock: the agent will call it lost, which is what it then is */
    }

    /* The agent hears of it before it is durable: the server's commit is what counts for it, and whatever a power cut takes
     * from here is either committed there or reads as lost (spec.h: torn files do not exist). */
    h->is_done = true;
    h->is_state_due = true;
    (void)hold_tell(h, hold_now());

    for (int i = 0; i < 2; i++)
        if (h->streams[i].kept > 0)
            (void)fdatasync(h->streams[i].file);
    (void)fsync(fd);
    (void)fsync(h->dir_fd);
    (void)close(fd);
}
