/* control/link.h - how control addresses an agent, whatever accent carries it: implemented by api, upward by callback.
 *
 * A link is named by its id (generation-checked): calls on a dead link return -ENOTCONN and change nothing. Messages are queued in
 * order. control calls these only for what is committed (exceptions: a changed config, a question, input, the cancel of a task that is
 * none of ours). They never call back into control: a connection found dead is reported by checkin_gone() later. Loop thread. */
#ifndef MUSTER_CONTROL_LINK_H
#define MUSTER_CONTROL_LINK_H

#include "fleet/ids.h"
#include "wire/command.h"
#include "wire/facts.h"
#include "wire/ports.h"

struct link_config {
    uint32_t heartbeat_ms, max_running_tasks;
    uint64_t output_cap_bytes;
};
struct task_resume {
    uint64_t task_id;
    bool known, done;
    uint64_t stdout_offset, stderr_offset;
};
struct link_welcome {
    const char *host_uuid;
    uint64_t generation, acked_seq;
    struct link_config config;
    usec_t server_time;
    const struct task_resume *tasks;
    size_t n_tasks;
};

struct link_ops {
    int (*welcome)(void *ctx, struct link_id link, const struct link_welcome *w);
    int (*ack)(void *ctx, struct link_id link, uint64_t seq);
    int (*offer)(void *ctx, struct link_id link, const struct command *cmd);
    int (*cancel)(void *ctx, struct link_id link, uint64_t task_id, usec_t grace);
    int (*input)(void *ctx, struct link_id link, uint64_t task_id, uint64_t offset, struct str data, bool eof);
    int (*task_ack)(void *ctx, struct link_id link, uint64_t task_id, uint64_t stdout_offset, uint64_t stderr_offset,
                    bool finished);
    int (*resync)(void *ctx, struct link_id link, const struct str *sections, size_t n);
    int (*renewed)(void *ctx, struct link_id link, const char *cert_pem, const char *ca_pem, const char *error);
    int (*config)(void *ctx, struct link_id link, const struct link_config *config);
    int (*inventory_request)(void *ctx, struct link_id link, uint64_t request_id, struct str section);
    /* Says why and ends the link. */
    int (*goodbye)(void *ctx, struct link_id link, const char *slug, const char *text, usec_t reconnect_after, bool forever);
    /* Bytes queued towards the agent; negative when dead. */
    int64_t (*queued)(void *ctx, struct link_id link);
    /* Stops or resumes reading from this agent (the store is behind, or its quota is full). */
    int (*pause)(void *ctx, struct link_id link, bool paused);
    /* Free ports of the host: answered by ports_link_answer(). */
    int (*ports_request)(void *ctx, struct link_id link, uint64_t request_id, const struct ports_wish *w);
    void *ctx;
};

#endif
