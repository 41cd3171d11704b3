/* fleet/ids.h - ids that cannot be swapped. 0 is "none". */
#ifndef MUSTER_FLEET_IDS_H
#define MUSTER_FLEET_IDS_H

#include <stdint.h>

struct host_id { uint64_t v; };
struct job_id { uint64_t v; };
struct task_id { uint64_t v; };
struct link_id { uint64_t v; }; /* a live connection: generation-checked */
struct user_id { uint64_t v; };
struct token_id { uint64_t v; };

#endif
