/* base/auto.h - scope-bound cleanup.
 *
 *   AUTO(spool_free) struct spool *s = NULL;   released when the scope ends
 *   *ret = TAKE(s);                            moved out: the scope releases nothing
 *
 * DEFINE_AUTO(type, fn) makes fn usable with AUTO for variables of pointer type @type;
 * DEFINE_AUTO_VALUE(type, fn) for structs by value (fn takes their address). */
#ifndef MUSTER_AUTO_H
#define MUSTER_AUTO_H

#define DEFINE_AUTO(type, fn)                                                                      \
    static inline __attribute__((unused)) void fn##__auto(type *p)                                 \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }

#define DEFINE_AUTO_VALUE(type, fn)                                                                \
    static inline __attribute__((unused)) void fn##__auto(type *p)                                 \
    {                                                                                              \
        fn(p);                                                                                     \
    }

#define AUTO(fn) __attribute__((cleanup(fn##__auto)))

#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) take__p = (p);                                                               \
        (p) = NULL;                                                                                \
        take__p;                                                                                   \
    })

#endif
