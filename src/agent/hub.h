/* agent/hub.h - between the one link and the roles: starts them, hands them what arrives, sends what they say. Owns the spool.
 * Loop thread. */
#ifndef MUSTER_AGENT_HUB_H
#define MUSTER_AGENT_HUB_H

#include "agent/roles.h"
#include "agent/spool.h"

struct hub;
/* How the hub reaches the link (agent/link.c). */
struct hub_ops {
    bool (*is_up)(void *ctx);
    int64_t (*send)(void *ctx, const Muster__V1__AgentMessage *m);
    void (*kept)(void *ctx); /* the spool has something new */
    void *ctx;
};
struct hub_conf {
    struct loop *loop;
    const char *state_dir, *hold_path, *root;
    const struct policy *policy; /* lent; see hub_policy_changed() */
    uint64_t spool_max_bytes;
    struct role_settings settings; /* its strings are lent */
};
/* Opens the spool; roles come with hub_start(). 0 or -errno and @err. */
int hub_new(const struct hub_conf *conf, struct hub **ret, struct err *err);
void hub_free(struct hub *h);
DEFINE_AUTO(struct hub *, hub_free)
/* Starts the roles. One that the policy does not allow, or that fails, is told in the heartbeat and does not keep the others; what is
 * asked of it is answered (enum role_when_off). */
void hub_start(struct hub *h, const struct hub_ops *ops);
struct spool *hub_spool(struct hub *h);
void hub_tell(struct hub *h, const struct role_msg *m);
/* Names of the roles that are on, into @hello; health of all, into @beat. Strings live as long as the hub or @arena. */
void hub_fill_hello(struct hub *h, Muster__V1__Hello *hello, struct arena *arena);
void hub_fill_beat(struct hub *h, Muster__V1__Heartbeat *beat, struct arena *arena);
/* conf.policy has new content: roles start and stop accordingly. */
void hub_policy_changed(struct hub *h);
/* Does each role that @p names exist? 0; or -EINVAL ("policy.bad"): a misspelt one would be switched off without a word. */
int hub_check_policy(const struct policy *p, struct err *err);

#endif
