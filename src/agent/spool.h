/* agent/spool.h - messages the server has not acknowledged yet, kept on disk.
 *
 * A bounded FIFO in one append-only file. What spool_append() accepted survives a crash; what spool_ack() released is not sent
 * again (but after a crash, until the server has said once more how far it is). Sequence numbers grow as long as the file's
 * epoch stays the same. Owned by agent/link.c and used on its loop only: no locks, never touches the network. */
#ifndef MUSTER_AGENT_SPOOL_H
#define MUSTER_AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"

struct spool;

enum { SPOOL_OK = 0, SPOOL_FULL }; /* outcomes of spool_append(); failures are -errno */

/* Opens or creates @path (mode 0600), holding at most @max_bytes (4 KiB or more). A torn last record is cut off in silence: it was
 * never accepted. A file whose head is unreadable is replaced by an empty one with a new epoch. Returns 0 and gives *@ret to the
 * caller, to be released with spool_free(); or -EINVAL (@max_bytes), or -errno of the system call named in @err (may be NULL),
 * and *@ret is untouched. */
int spool_open(const char *path, size_t max_bytes, struct spool **ret, struct err *err);

/* Closes @s; NULL is a no-op. The file stays: its content is the point. */
void spool_free(struct spool *s);
DEFINE_AUTO(struct spool *, spool_free)

/* Copies @msg (1 byte or more) in and makes it durable before returning. Returns SPOOL_OK and sets *@ret_seq; SPOOL_FULL if it does
 * not fit (to drop or to wait is the caller's policy); or -errno, and @msg was not accepted. */
int spool_append(struct spool *s, struct str msg, uint64_t *ret_seq);

/* Looks at the oldest message. Returns 1 and lends *@ret_msg, valid until the next call on @s; 0 if the spool is empty; or -errno. */
int spool_peek(struct spool *s, struct str *ret_msg, uint64_t *ret_seq);
/* The same for the message behind @seq, a number this spool gave out (or 0: the oldest). */
int spool_next(struct spool *s, uint64_t seq, struct str *ret_msg, uint64_t *ret_seq);

/* Forgets all messages up to and including @seq; an older @seq is a no-op, one beyond the newest counts as the newest. */
void spool_ack(struct spool *s, uint64_t seq);

/* Puts on disk what is acknowledged by now, by leaving it out: for an orderly end, so that the next run knows it too. What was not
 * acknowledged stays, as do numbers and epoch. */
void spool_settle(struct spool *s);

/* Random, new with every new file. */
uint64_t spool_epoch(const struct spool *s);
/* Of the oldest message not acknowledged; 0: none. */
uint64_t spool_first_seq(struct spool *s);
/* Of the newest message ever accepted in this epoch; 0: none. */
uint64_t spool_last_seq(const struct spool *s);
/* True if nothing waits for an acknowledgement. */
bool spool_is_empty(const struct spool *s);
/* Throws everything away and begins a new epoch (the server remembers more than we do: this state directory is a copy of an older
 * one). 0 or -errno, and the old content stands. */
int spool_renew(struct spool *s);

#endif
