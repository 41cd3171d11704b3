/* store/facts.h - what facts.c and history.c share (private to this folder). */
#ifndef MUSTER_STORE_FACTS_H
#define MUSTER_STORE_FACTS_H

#include "store/store_priv.h"

/* The section as it is now, its newest delta being @last_id, appended to @out: 1, 0 when nothing is known,
 * -errno. */
int facts__current(struct db *db, uint64_t host_id, struct str section, int64_t last_id, struct buf *out);
/* Columns host_id, section, status, message, digest, taken_at, received_at, n_rows, last_id. Strings are the
 * row's. */
void facts__head(struct rows *r, struct fact_head *h);

/* How many open deltas of this section are folded: 17 to 32, each its own number. Hosts that began together report together, and
 * thousands of sections folded at once would make everybody else wait. */
uint32_t facts__fold_at(uint64_t host_id, struct str section);

#endif
