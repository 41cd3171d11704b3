/* server/tls_people.h - the certificate that people and programs see: the one of the options, or the fleet's own. Blocking reads. */
#ifndef MUSTER_SERVER_TLS_PEOPLE_H
#define MUSTER_SERVER_TLS_PEOPLE_H

#include "net/tls_ctx.h"
#include "server/options.h"

/* @conf, with the certificate and key of the options in place of its own where they name some. NULL and @err, which names the file. The
 * start, a reload and the doctor use this one. */
struct tls_ctx *tls_people_new(const struct options *o, const struct tls_server_conf *conf, struct err *err);

#endif
