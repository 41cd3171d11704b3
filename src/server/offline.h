/* server/offline.h - what musterd does besides serving: config, doctor, backup, restore. Blocking. */
#ifndef MUSTER_SERVER_OFFLINE_H
#define MUSTER_SERVER_OFFLINE_H

#include "server/options.h"

enum { EXIT_CONFIG = 78 }; /* EX_CONFIG of sysexits.h */

/* Each returns the exit code and has said everything. */
int offline_config(const struct conf *c, const char **words, size_t n);
int offline_doctor(const struct conf *c, const struct options *o);
/* Online through the local socket; of a server that does not run, a checked copy of its file. */
int offline_backup(const struct options *o, const char *file);
int offline_restore(const struct options *o, const char *file);

#endif
