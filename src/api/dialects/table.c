/* api/dialects/table.c - the foreign accents' rows, in the order they are registered. An array: it can be read. */
#include "api/dialects/dialect.h"

const struct route_table *const dialect_tables[] = {
    NULL,
};
