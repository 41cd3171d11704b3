/* server/server.h - introductions: build, wire, start, drain, stop. Core loop's thread. */
#ifndef MUSTER_SERVER_H
#define MUSTER_SERVER_H

#include "base/conf.h"
#include "server/options.h"

/* Runs the server until it is told to stop. Returns the exit code: 0 after a drain; 1 when it could not start
 * (one sentence on standard error). @c and @o are the loaded options; @argc, @argv are kept for reloads. */
int server_main(struct conf *c, struct options *o, int argc, char **argv);

#endif
