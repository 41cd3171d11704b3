/* store/schema.h - migrations, upgraded in order. */
#ifndef MUSTER_STORE_SCHEMA_H
#define MUSTER_STORE_SCHEMA_H

#include <stdint.h>

#include "base/err.h"

struct db;

struct migration {
    uint32_t version; /* 1, 2, 3 ...; 0 ends the list */
    const char *name;
    const char *sql;
};
extern const struct migration store__migrations[]; /* generated from migrations/NNN_*.sql */

/* What this program writes. */
uint32_t schema_newest(void);
/* 0 when @db is ours and not newer than we are; *@ret_version 0: empty. "store.corrupt", "store.newer". */
int schema_check(struct db *db, const char *path, uint32_t *ret_version, struct err *err);
/* Runs what is missing, each migration in its own transaction. 0 or -errno and @err. */
int schema_migrate(struct db *db, const char *path, struct err *err);

#endif
