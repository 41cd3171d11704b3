/* base/conf_text.h - private to conf*.c: values and tables as text. */
#ifndef MUSTER_CONF_TEXT_H
#define MUSTER_CONF_TEXT_H

#include "base/conf.h"

/* Address of row @i's value in the options struct. */
void *conf__value(const struct conf *c, size_t i);
/* "10MiB", "30s", "42": the shortest text that reads back as @v. */
void conf__number(enum conf_type type, uint64_t v, char *dst, size_t size);
/* "a, b, c" of a row that has words. */
void conf__names(const struct conf_row *row, struct buf *out);

#endif
