/* base/hash.h - checksums that are not secrets. Any thread. */
#ifndef MUSTER_HASH_H
#define MUSTER_HASH_H

#include <stdint.h>

#include "base/str.h"

/* CRC-32C (Castagnoli), start value 0; crc32c_more continues. */
uint32_t crc32c(struct str s);
uint32_t crc32c_more(uint32_t crc, struct str s);
/* SipHash-2-4 with a 16-byte key: for tables fed by peers. */
uint64_t siphash(const uint8_t key[16], struct str s);

#endif
