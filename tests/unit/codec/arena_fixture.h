/* tests/unit/codec/arena_fixture.h - what most tests of readers begin with: an arena for what is read, and room for an error. Included last: it
 * takes the name "a". */
#ifndef MUSTER_TEST_CODEC_ARENA_FIXTURE_H
#define MUSTER_TEST_CODEC_ARENA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"

enum { ARENA_BYTES = 8 << 20 };

static struct arena *a;
static struct err err;

static inline int setup(void **state)
{
    (void)state;
    a = arena_new(ARENA_BYTES);
    err_reset(&err);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

#endif
