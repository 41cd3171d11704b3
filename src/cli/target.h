/* cli/target.h - which server, and how we know it is the right one.
 *
 * Order: --server, --context, MUSTER_SERVER, the current context of the configuration file, the local admin
 * socket. A server named outright borrows pin and token from the context with the same address and from no
 * other: a token never goes to a stranger. No I/O but the configuration file and stat() of sockets. */
#ifndef MUSTER_CLI_TARGET_H
#define MUSTER_CLI_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"

/* One named server of the configuration file; strings are owned, NULL when absent. */
struct context {
    char *name, *server, *pin, *ca, *fleet, *user, *token;
    uint64_t token_id;
};
struct contexts {
    struct context *v;
    size_t n;
    char *current; /* name, or NULL */
    char *path;
    char *stray; /* of a file that is not (only) ours: a key we do not know; NULL */
};
void contexts_done(struct contexts *c);
DEFINE_AUTO_VALUE(struct contexts, contexts_done)

/* Where the file is: @path if given, else $XDG_CONFIG_HOME/muster/config.yaml, else
 * ~/.config/muster/config.yaml. Malloced. */
char *contexts_path(const char *path);
/* Reads the file at @path; a missing one is empty. 0; -EINVAL ("config.bad", says where), -EPERM
 * ("config.permissions": it holds a token and others may read it), or -errno ("config.read"). */
int contexts_load(struct contexts *c, const char *path, struct err *err);
/* Whether contexts_save() would write over a file that is not only ours; asked before a server is told to make a session that could not be kept.
 * 0; -EINVAL ("config.foreign"). */
int contexts_are_ours(const struct contexts *c, struct err *err);
/* Writes it atomically, mode 0600, making the directory (0700). 0; -EINVAL ("config.foreign": what was read was not only ours), or -errno
 * ("config.write"). */
int contexts_save(const struct contexts *c, struct err *err);
struct context *contexts_find(struct contexts *c, const char *name);
/* Finds or adds. */
struct context *contexts_add(struct contexts *c, const char *name);
void contexts_remove(struct contexts *c, struct context *x);

/* A server address taken apart. */
struct target {
    char *unix_path; /* or */
    char *host;      /* name or address without brackets */
    uint16_t port;
    bool is_tls;
    char *url; /* canonical: "https://host:8122", "unix:/run/muster/musterd.sock" */
    char *pin; /* 64 hex digits or NULL */
    char *ca;  /* PEM or NULL */
    char *fleet, *token, *context;
    bool is_default; /* nobody named it: the local socket was looked for */
};
void target_done(struct target *t);
DEFINE_AUTO_VALUE(struct target, target_done)

enum { TARGET_DEFAULT_PORT = 8122 };
/* Takes "https://HOST[:PORT]", "http://HOST[:PORT]", "HOST[:PORT]" (https) or "unix:PATH" apart into a zeroed
 * @t. 0 or -EINVAL ("server.bad"). */
int target_parse(struct target *t, const char *text, struct err *err);
/* True for 127.0.0.0/8, ::1 and "localhost". */
bool target_is_loopback(const struct target *t);
/* "sha256:HEX" or "HEX" -> 64 lower-case digits (malloced), or NULL and @err ("pin.bad"). */
char *pin_parse(const char *text, struct err *err);
/* The first local admin socket that exists, else the one a system installation would have; malloced. */
char *target_local_socket(void);

struct target_wish {
    const char *server; /* --server or MUSTER_SERVER */
    bool server_is_flag;
    const char *context; /* --context */
    const char *token; /* NULL: none was given; empty is refused ("token.empty") */
    const char *pin, *ca_file;
};
/* Decides as said above. 0, or negative and @err ("context.unknown", "server.no_pin", "server.cleartext",
 * ...). */
int target_resolve(struct target *t, const struct target_wish *w, struct contexts *c, struct err *err);

#endif
