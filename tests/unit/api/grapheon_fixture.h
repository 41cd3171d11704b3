/* tests/unit/api/grapheon_fixture.h - a check-in's body as grapheon_read_report() takes it. */
#ifndef MUSTER_TEST_GRAPHEON_FIXTURE_H
#define MUSTER_TEST_GRAPHEON_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "api/dialects/grapheon.h"

/* What every report must have. */
#define HEAD "\"agent_uuid\":\"u\",\"observed_at\":1"

static struct arena *arena;
static struct report r; /* the newest that was read */

static inline int setup(void **state)
{
    (void)state;
    arena = arena_new(64 << 20);
    return 0;
}
static inline int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static inline enum grapheon_read read_text(const char *text)
{
    arena_reset(arena);
    return grapheon_read_report(arena, str_of(text), false, &r);
}

#endif
