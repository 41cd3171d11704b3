/* agent/facts.h - the files STATE/facts/SECTION: what was last said of a section.
 *
 * A file is a head (magic and version, crc32c of the rest, status, digest) and the section's body. It is written whole or not at
 * all, but is not durable: one that is older only costs a Resync. Loop thread of the agent. */
#ifndef MUSTER_AGENT_FACTS_H
#define MUSTER_AGENT_FACTS_H

#include "fleet/inventory.h"

enum { FACTS_HEAD_BYTES = 4 + 4 + 4 + SHA256_LEN };

/* The body of @s below @state_dir into @b, which has room for the head, too. 0, *@ret_status and *@ret_digest; -EBADMSG of a file
 * that is torn or not ours, or -errno: then @b is of no use. */
int facts_read(const char *state_dir, enum section s, struct buf *b, uint32_t *ret_status, struct fact_digest *ret_digest);
/* 0, or -errno: then the file is as it was. */
int facts_write(const char *state_dir, enum section s, uint32_t status, const struct fact_digest *digest, struct str body);

#endif
