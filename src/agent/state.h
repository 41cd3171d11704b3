/* agent/state.h - what the agent keeps: its key, its certificate, whom it trusts, who it is. One directory, mode 0700.
 *
 *   key.pem        private key, 0600: the host's identity, made once
 *   cert.pem       client certificate of the server's CA, renewed at 2/3 of its life
 *   ca.pem         the CA of the server this host belongs to
 *   identity.json  {"host_id","fleet","server"}
 *   link.json      how the link is, for `muster-agent status`; not durable, not needed
 *   lock           flock()ed by the running agent, holds its pid
 *   spool, facts/, tasks/   see spool.h, roles/inventory.c, exec.h
 * Files are replaced as a whole (base/fd.h). Loop thread. */
#ifndef MUSTER_AGENT_STATE_H
#define MUSTER_AGENT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/pki.h"
#include "base/uuid.h"

struct state {
    char *dir;
    int lock_fd;
    char *key_pem, *cert_pem, *ca_pem; /* NULL: not there yet */
    struct pki_cert cert;              /* what cert_pem says */
    char host_id[UUID_TEXT_MAX];       /* "" before approval */
    char *fleet, *server;              /* NULL before the first answer */
};

/* Opens @dir, making it, and sets its mode to 0700. Refused: a foreign owner ("state.owner"), a key others can read
 * ("state.secret_readable"), a second agent ("state.busy"; only with state_open(), which locks). 0 or -errno and @err. */
int state_open(const char *dir, struct state **ret, struct err *err);
/* The same, but makes, changes and locks nothing (`status`): a missing directory is -ENOENT. */
int state_peek(const char *dir, struct state **ret, struct err *err);
void state_free(struct state *s);
DEFINE_AUTO(struct state *, state_free)

/* Makes the key if there is none. */
int state_make_key(struct state *s, struct err *err);
/* Replaces file and member. The certificate must carry our key ("state.foreign_certificate"). 0 or -errno and @err. */
int state_set_ca(struct state *s, const char *pem, struct err *err);
int state_set_cert(struct state *s, const char *pem, struct err *err);
int state_set_identity(struct state *s, const char *host_id, const char *fleet, const char *server, struct err *err);

/* "sha256:<hex>" of the key: what the operator compares. */
enum { STATE_FINGERPRINT_MAX = 80 };
void state_fingerprint(const struct state *s, char ret[STATE_FINGERPRINT_MAX]);

/* How the link is. */
struct link_note {
    bool is_connected;
    const char *server;
    uint64_t since, last_ack; /* wall; 0: never */
    const char *why;          /* the last failure, or "" */
};
void state_note_link(struct state *s, const struct link_note *n);
/* The pid of the agent that holds the lock; 0: none runs. */
uint64_t state_running_pid(const struct state *s);

#endif
