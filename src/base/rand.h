/* base/rand.h - random bytes from the kernel (getrandom); aborts if the kernel has none. Any thread. */
#ifndef MUSTER_RAND_H
#define MUSTER_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *dst, size_t n);
uint64_t rand_u64(void);
/* Uniform in [0, n), n > 0. */
uint64_t rand_below(uint64_t n);

#endif
