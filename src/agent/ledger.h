/* agent/ledger.h - which tasks this host has ever taken: the reason why none runs twice.
 *
 * A file of fixed slots, made whole at its birth, so that taking a task costs one write and one fdatasync of a block that is
 * already there. The newest LEDGER_SLOTS ids are remembered; a slot is used again only when its task was forgotten, oldest
 * first. Loop thread of the agent. */
#ifndef MUSTER_AGENT_LEDGER_H
#define MUSTER_AGENT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct ledger;
enum { LEDGER_SLOTS = 4096, LEDGER_SLOT_BYTES = 16 };

enum ledger_state {
    LEDGER_NEVER,     /* not in the book */
    LEDGER_QUEUED,    /* accepted; no hold was started */
    LEDGER_STARTED,   /* a hold was, or may have been, started: must never be started again */
    LEDGER_FORGOTTEN, /* the server has its end */
};

/* Opens or makes the book @name in @dir_fd. A torn slot is empty. 0, or -errno and @err. */
int ledger_open(int dir_fd, const char *name, struct ledger **ret, struct err *err);
void ledger_free(struct ledger *g);
DEFINE_AUTO(struct ledger *, ledger_free)

enum ledger_state ledger_get(const struct ledger *g, uint64_t task_id);
/* Puts @task_id into @state. QUEUED and STARTED are durable when this returns 0; FORGOTTEN becomes so in its own time (seeing a
 * task once more than needed is harmless). -ENOSPC when every slot is in use, or -errno of the write: then nothing changed. */
int ledger_set(struct ledger *g, uint64_t task_id, enum ledger_state state);
/* Visits what is queued or started, in slot order: *@iter starts at 0; false at the end. */
bool ledger_next(const struct ledger *g, uint32_t *iter, uint64_t *ret_id, enum ledger_state *ret_state);

#endif
