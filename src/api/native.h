/* api/native.h - the wire of muster-agent: muster.v1.Fleet over gRPC (private to api/). Core loop's thread.
 */
#ifndef MUSTER_API_NATIVE_H
#define MUSTER_API_NATIVE_H

#include "api/state.h"

/* Fills a->grpc_ops and a->link_ops. */
void native_init(struct api *a);
void native_done(struct api *a);
size_t native_n_links(const struct api *a);

#endif
