/* base/limits.h - every cap in the system, each with its reason. docs/internals/limits.md explains the family.
 * A parser takes its cap from here at birth; tests try one under, exact, one over. */
#ifndef MUSTER_LIMITS_H
#define MUSTER_LIMITS_H

enum {
    /* -- text and forms */
    LIMIT_JSON_DEPTH = 32,              /* our deepest document is 7 */
    LIMIT_JSON_BYTES = 4 << 20,         /* largest body any JSON route takes */
    LIMIT_YAML_BYTES = 1 << 20,         /* configuration and manifests are written by people */
    LIMIT_YAML_NODES = 20000,
    LIMIT_INFLATE_BYTES = 16 << 20,     /* output cap; a route may set less */
    LIMIT_QUERY_PARAMS = 64,
    LIMIT_ERRORS = 32,                  /* collected per document; more is noise */
    /* -- HTTP/1 */
    LIMIT_HTTP_HEAD_BYTES = 16 << 10,   /* request line and headers together: above it 431 */
    LIMIT_HTTP_HEADERS = 100,
    LIMIT_HTTP_PATH = 2048,             /* above it 414 */
    LIMIT_HTTP_BODY_DEFAULT = 64 << 10, /* where a route row does not say */
    LIMIT_HTTP_BODIES = 128 << 20,      /* of all connections together, while they are there; above it 503 */
    LIMIT_HTTP_PIPELINE = 8,
    LIMIT_HTTP_HEAD_MS = 10000,         /* slow loris: whole head within */
    LIMIT_HTTP_BODY_MS = 30000,         /* whole body within, when it is small */
    LIMIT_HTTP_IDLE_MS = 75000,
    /* -- HTTP/2 and gRPC */
    LIMIT_H2_STREAMS = 16,              /* concurrent per connection before it is authenticated and after */
    LIMIT_H2_RESETS = 100,              /* client resets per 10 s: rapid reset */
    LIMIT_GRPC_MESSAGE = 4 << 20,       /* gRPC's own default */
    LIMIT_PB_ARENA = 16 << 20,          /* what decoding one message may allocate */
    /* -- WebSocket */
    LIMIT_WS_MESSAGE = 1 << 20,
    /* -- connections */
    LIMIT_HANDSHAKE_MS = 15000,         /* TLS done within, counted from its start */
    LIMIT_HANDSHAKES = 256,             /* in flight; others wait, accepted but not started */
    LIMIT_WAITING_CONNS = 16384,        /* so many: 90 bytes and a descriptor each; the rest in the backlog */
    LIMIT_WAITING_MS = 60000,           /* for so long: agents give up sooner */
    LIMIT_PREAUTH_CONNS = 2000,         /* connections that have shown no valid credential */
    LIMIT_WRITE_HIGH = 1 << 20,         /* queued bytes before a writer must pause */
    LIMIT_WRITE_LOW = 256 << 10,
    LIMIT_STREAM_QUEUE = 4 << 20,       /* a subscriber further behind gets a gap mark */
    /* -- fleet */
    LIMIT_HOSTNAME = 255,
    LIMIT_NAME = 128,                   /* display names, user names, labels' keys */
    LIMIT_LABELS = 64,
    LIMIT_LABEL_VALUE = 256,
    LIMIT_SECTION_ROWS = 20000,         /* inventory rows a section */
    LIMIT_ROLE_HEALTH_BYTES = 1024,     /* what is kept of how the roles of a host are; an agent of ours needs about 300 */
    LIMIT_ROW_BYTES = 8 << 10,
    LIMIT_SECTION_BYTES = 3 << 20,      /* fits a gRPC message */
    LIMIT_ARGV = 1024,
    LIMIT_ARG_BYTES = 128 << 10,        /* Linux MAX_ARG_STRLEN */
    LIMIT_COMMAND_BYTES = 1 << 20,      /* argv, env and stdin of one command together */
    LIMIT_OUTPUT_CHUNK = 64 << 10,      /* one output frame */
    LIMIT_OBJECT_BYTES = 256 << 10,     /* one stored object or trail row as JSON */
    LIMIT_PENDING_HOSTS = 20000,        /* enrolment requests waiting for an operator */
};

#endif
