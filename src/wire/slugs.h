/* wire/slugs.h - every error slug with its HTTP and gRPC status: one table. Slugs are stable; sentences are not. */
#ifndef MUSTER_WIRE_SLUGS_H
#define MUSTER_WIRE_SLUGS_H

/* X(slug, http, grpc) */
#define WIRE_SLUGS(X)                                                                              \
    X("request.bad", 400, 3)                                                                       \
    X("request.too_large", 413, 8)                                                                 \
    X("request.media_type", 415, 3)                                                                \
    X("request.encoding", 415, 3)                                                                  \
    X("request.timeout", 408, 4)                                                                   \
    X("json.syntax", 400, 3)                                                                       \
    X("json.duplicate", 400, 3)                                                                    \
    X("json.depth", 400, 3)                                                                        \
    X("json.utf8", 400, 3)                                                                         \
    X("json.too_large", 413, 8)                                                                    \
    X("field.invalid", 400, 3)                                                                     \
    X("route.unknown", 404, 12)                                                                    \
    X("route.method", 405, 12)                                                                     \
    X("auth.required", 401, 16)                                                                    \
    X("auth.bad_credential", 401, 16)                                                              \
    X("auth.expired", 401, 16)                                                                     \
    X("auth.disabled", 401, 16)                                                                    \
    X("auth.revoked", 403, 7)                                                                      \
    X("auth.denied", 403, 7)                                                                       \
    X("auth.origin", 403, 7)                                                                       \
    X("rate.limited", 429, 8)                                                                      \
    X("host.unknown", 404, 5)                                                                      \
    X("host.ambiguous", 409, 9)                                                                    \
    X("host.state", 409, 9)                                                                        \
    X("host.revoked", 403, 7)                                                                      \
    X("host.rejected", 403, 7)                                                                     \
    X("host.pending", 403, 9)                                                                      \
    X("host.name_taken", 409, 6)                                                                   \
    X("host.offline", 409, 14)                                                                     \
    X("host.timeout", 504, 4)                                                                      \
    X("host.cannot", 409, 9)                                                                       \
    X("host.linked", 409, 9)                                                                       \
    X("ports.disabled", 409, 9)                                                                    \
    X("ports.count", 400, 3)                                                                       \
    X("ports.too_few", 409, 8)                                                                     \
    X("ports.failed", 502, 14)                                                                     \
    X("asset.unknown", 404, 5)                                                                     \
    X("asset.name_taken", 409, 6)                                                                  \
    X("asset.state", 409, 9)                                                                       \
    X("asset.no_metrics", 400, 9)                                                                  \
    X("asset.no_address", 400, 9)                                                                  \
    X("asset.port", 400, 9)                                                                        \
    X("provider.unknown", 404, 5)                                                                  \
    X("provider.name_taken", 409, 6)                                                               \
    X("foreign_key.unknown", 404, 5)                                                               \
    X("agent.unreachable", 502, 14)                                                                \
    X("agent.bad_answer", 502, 14)                                                                 \
    X("agent.refused", 502, 9)                                                                     \
    X("label.bad", 400, 3)                                                                         \
    X("selector.bad", 400, 3)                                                                      \
    X("selector.empty", 404, 5)                                                                    \
    X("token.shape", 400, 3)                                                                       \
    X("token.unknown", 401, 16)                                                                    \
    X("token.used_up", 401, 16)                                                                    \
    X("token.expired", 401, 16)                                                                    \
    X("token.revoked", 401, 16)                                                                    \
    X("install_token.unknown", 404, 5)                                                             \
    X("enroll.rate_limited", 429, 8)                                                               \
    X("enroll.full", 503, 8)                                                                       \
    X("name.taken", 409, 6)                                                                        \
    X("enroll_key.unknown", 404, 5)                                                                \
    X("enroll_key.expired", 403, 7)                                                                \
    X("enroll_key.used_up", 403, 8)                                                                \
    X("enroll_key.other", 409, 6)                                                                  \
    X("enroll_key.full", 409, 8)                                                                   \
    X("client_cert.required", 403, 7)                                                              \
    X("client_cert.other", 403, 7)                                                                 \
    X("client_cert.off", 409, 9)                                                                   \
    X("claim.bad", 403, 7)                                                                         \
    X("credential.full", 409, 8)                                                                   \
    X("reporter.unknown", 404, 5)                                                                  \
    X("reporter.exists", 409, 6)                                                                   \
    X("reporter.inactive", 409, 9)                                                                 \
    X("reporter.null", 409, 9)                                                                     \
    X("reporter.key_changed", 409, 9)                                                              \
    X("report.uuid", 409, 6)                                                                       \
    X("report.gzip", 400, 3)                                                                       \
    X("report.overloaded", 503, 8)                                                                 \
    X("report.busy", 429, 8)                                                                       \
    X("report_policy.unknown", 404, 5)                                                             \
    X("report_policy.full", 409, 8)                                                                \
    X("csr.bad", 400, 3)                                                                           \
    X("section.unknown", 404, 5)                                                                   \
    X("inventory.drift", 409, 9)                                                                   \
    X("job.unknown", 404, 5)                                                                       \
    X("job.finished", 409, 9)                                                                      \
    X("job.no_targets", 400, 3)                                                                    \
    X("job.too_large", 413, 8)                                                                     \
    X("job.not_open", 409, 9)                                                                      \
    X("job.input_offset", 409, 11)                                                                 \
    X("job.input_full", 429, 8)                                                                    \
    X("job.key_reused", 409, 6)                                                                    \
    X("task.unknown", 404, 5)                                                                      \
    X("user.unknown", 404, 5)                                                                      \
    X("user.exists", 409, 6)                                                                       \
    X("user.bad_name", 400, 3)                                                                     \
    X("user.last_admin", 409, 9)                                                                   \
    X("password.bad", 400, 3)                                                                      \
    X("api_token.unknown", 404, 5)                                                                 \
    X("audit.broken", 409, 15)                                                                     \
    X("store.unavailable", 503, 14)                                                                \
    X("store.disk_full", 503, 14)                                                                  \
    X("store.read_only", 503, 14)                                                                  \
    X("store.io", 503, 14)                                                                         \
    X("store.corrupt", 503, 15)                                                                    \
    X("server.stopping", 503, 14)                                                                  \
    X("server.overloaded", 503, 8)                                                                 \
    X("link.replaced", 409, 10)                                                                    \
    X("auth.locked", 423, 8)                                                                       \
    X("auth.https", 403, 7)                                                                        \
    X("auth.closed", 403, 7)                                                                       \
    X("run.unknown", 404, 5)                                                                       \
    X("run.denied", 403, 7)                                                                        \
    X("run.read_only", 403, 7)                                                                     \
    X("run.people_only", 403, 7)                                                                   \
    X("run.reporter_only", 403, 7)                                                                 \
    X("run.state", 409, 9)                                                                         \
    X("run.no_command", 409, 9)                                                                    \
    X("run.no_agent", 409, 9)                                                                      \
    X("run.too_many", 429, 8)                                                                      \
    X("run.too_large", 413, 8)                                                                     \
    X("run.no_item", 400, 3)                                                                       \
    X("run.schema", 415, 3)                                                                        \
    X("run_agent.unknown", 404, 5)                                                                 \
    X("run_agent.denied", 403, 7)                                                                  \
    X("run_command.unknown", 404, 5)                                                               \
    X("run_command.state", 409, 9)                                                                 \
    X("run_command.status", 400, 3)                                                                \
    X("run_token.unknown", 404, 5)                                                                 \
    X("run_token.too_many", 409, 8)                                                                \
    X("share.unknown", 404, 5)                                                                     \
    X("recipient.unknown", 404, 5)                                                                 \
    X("recipient.exists", 409, 6)                                                                  \
    X("project.unknown", 404, 5)                                                                   \
    X("email.taken", 409, 6)                                                                       \
    X("internal", 500, 13)

struct slug {
    const char *slug;
    int http;
    int grpc;
};

/* The row of @slug; a "field.*" slug answers with field.invalid's row, an unknown one with "internal". */
const struct slug *slug_find(const char *slug);
/* All rows, ended by a NULL slug (docs, tests). */
extern const struct slug slug_table[];

#endif
