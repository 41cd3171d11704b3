/* base/vec.h - typed growable array (header-only).
 *
 *   VEC(int) v = {0};  *vec_add(&v) = 7;  for (size_t i = 0; i < v.n; i++) v.v[i];  vec_done(&v);
 *
 * All-zero is empty. Pointers into it are valid until the next vec_add. OOM aborts. */
#ifndef MUSTER_VEC_H
#define MUSTER_VEC_H

#include <string.h>

#include "base/mem.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n, cap;                                                                             \
    }

static inline void *vec__grow(void *p, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return p;
    *cap = *cap ? *cap * 2 : 8;
    return xreallocarray(p, *cap, size);
}

/* A new zeroed last element. */
#define vec_add(a)                                                                                 \
    ((a)->v = vec__grow((a)->v, &(a)->cap, (a)->n, sizeof(*(a)->v)),                               \
     memset(&(a)->v[(a)->n], 0, sizeof(*(a)->v)), &(a)->v[(a)->n++])
/* Removes element @i, keeping order / by moving the last one in. */
#define vec_del(a, i)                                                                              \
    (memmove(&(a)->v[i], &(a)->v[(i) + 1], ((a)->n - (i)-1) * sizeof(*(a)->v)), (a)->n--)
#define vec_del_swap(a, i) ((a)->v[i] = (a)->v[(a)->n - 1], (a)->n--)
#define vec_done(a) (free((a)->v), (a)->v = NULL, (a)->n = (a)->cap = 0)

#endif
