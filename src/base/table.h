/* base/table.h - uthash, with a hash whose text both compilers take without a warning (header-only).
 *
 * For tables whose keys no peer can choose. Where one can, the hash has a secret: control/core.h.
 *
 * uthash's own default falls through a switch with comments that clang does not read. FNV is a loop, and as good for keys of some
 * bytes. A table is used within one source file or behind functions: nobody else has to know the hash. */
#ifndef MUSTER_TABLE_H
#define MUSTER_TABLE_H

#define HASH_FUNCTION(keyptr, keylen, hashv) HASH_FNV(keyptr, keylen, hashv)
#include <uthash.h>

#endif
