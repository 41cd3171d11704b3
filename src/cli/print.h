/* cli/print.h - any record as an aligned table, as lines for one object, or as plain names; colour only where
 * a person looks. Everything a host or the server said is made safe for a terminal. Pure but for print_out().
 */
#ifndef MUSTER_CLI_PRINT_H
#define MUSTER_CLI_PRINT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/field.h"

enum { PRINT_MAX = 1 << 30 };

struct table;
/* The columns of @rec: those with a heading, members of embedded records in their place; FIELD_WIDE ones if
 * @wide. */
struct table *table_of(const struct record *rec, bool wide);
/* Columns by name, for rows that have no record. */
struct table *table_named(const struct str *headings, size_t n);
void table_free(struct table *t);
DEFINE_AUTO(struct table *, table_free)
/* A row from an object of the table's record; times as ages up to @now, as dates when @now is 0. */
void table_add(struct table *t, const void *obj, usec_t now);
/* A row from as many cells as there are columns; each is made printable. */
void table_add_cells(struct table *t, const struct str *cells);
size_t table_rows(const struct table *t);
/* Appends headings and rows, two spaces between columns, none at line ends. A column that is "-" in every row
 * stays out unless @all_columns. */
void table_write(const struct table *t, bool color, bool all_columns, struct buf *out);

/* Appends one object as "name: value" lines, members of embedded records indented; empty ones are left out.
 */
void print_object(const struct record *rec, const void *obj, usec_t now, struct buf *out);
/* Appends the cell of the FIELD_ID column and a newline. */
void print_name(const struct record *rec, const void *obj, struct buf *out);

/* "1.4 GiB", "512 B". Appended. */
void print_bytes(uint64_t n, struct buf *out);
/* The escape sequence for a state word ("ready", "failed" ...), or "". */
const char *print_color_of(struct str word);

/* Writes to @fd: 0, or -errno (-EPIPE: the reader left). */
int print_out(int fd, struct str s);

#endif
