/* api/ws.h - the WebSocket of PORT+1: hello, ping, agent list, events (private to api/). Core loop's thread.
 */
#ifndef MUSTER_API_WS_H
#define MUSTER_API_WS_H

#include "api/state.h"

/* Fills a->ws_ops. */
void ws_init(struct api *a);
/* Lets subscribers that fell behind catch up; answers nobody. */
void ws_tick(struct api *a);
/* Closes all with 1001. */
void ws_drain(struct api *a);

#endif
