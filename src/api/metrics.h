/* api/metrics.h - Prometheus text 0.0.4 (private to api/). Core loop's thread. */
#ifndef MUSTER_API_METRICS_H
#define MUSTER_API_METRICS_H

#include "api/state.h"

/* Appends every metric, live: 0 or -ENOBUFS. */
int metrics_write(const struct api *a, struct buf *out);
/* Appends @s as a label value: backslash, quote and newline escaped, other control characters and bad UTF-8
 * replaced. */
void metrics_label(struct buf *out, struct str s);

#endif
