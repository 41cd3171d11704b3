/* api/openapi.h - the OpenAPI 3.1 document of all registered routes (private to api/). Pure. */
#ifndef MUSTER_API_OPENAPI_H
#define MUSTER_API_OPENAPI_H

#include "api/router.h"
#include "base/buf.h"

/* Appends the document: 0 or -ENOBUFS. */
int openapi_write(const struct router *r, struct buf *out);

#endif
