/* wire/dialects/sigma.c - see sigma.h. */
#include "wire/dialects/sigma.h"

#include "base/limits.h"

static const struct field ip_fields[] = {
    F_STR(struct sigma_ip, ip, "ip", 64, .help = "IPv4 or IPv6."),
    F_STR(struct sigma_ip, label, "label", 128, .flags = FIELD_NULLABLE, .help = "internal, or empty."),
};
const struct record sigma_ip_record = RECORD(sigma_ip, ip_fields);

/* The host name is no required field: missing is 422, blank 400. */
static const struct field register_fields[] = {
    F_STR(struct sigma_register, hostname, "hostname", LIMIT_HOSTNAME, .help = "Stored and compared as sent."),
    F_STR(struct sigma_register, alias, "alias", LIMIT_HOSTNAME, .flags = FIELD_NULLABLE | FIELD_OMIT,
          .help = "DNS name; absent or empty: as it was."),
    F_LIST(struct sigma_register, ip_addresses, "ip_addresses", SIGMA_ADDRESSES_MAX, &sigma_ip_record, .flags = FIELD_NULLABLE,
           .help = "The first 64 are kept."),
    F_I32(struct sigma_register, ssh_port, "ssh_port", .min_value = 1, .max_value = 65535, .help = "22 when absent."),
    F_JSON(struct sigma_register, system_info, "system_info", ASSET_EXTRA_BYTES, .help = "An object or null."),
};
const struct record sigma_register_record = RECORD_SEEN(sigma_register, register_fields);

static const struct field heartbeat_fields[] = {
    F_STR(struct sigma_heartbeat, hostname, "hostname", LIMIT_HOSTNAME, .help = "As registered."),
    F_LIST(struct sigma_heartbeat, ip_addresses, "ip_addresses", SIGMA_ADDRESSES_MAX, &sigma_ip_record,
           .flags = FIELD_NULLABLE | FIELD_OMIT, .help = "Absent or empty: as they were."),
    F_JSON(struct sigma_heartbeat, system_info, "system_info", ASSET_EXTRA_BYTES, .help = "An object or null."),
};
const struct record sigma_heartbeat_record = RECORD_SEEN(sigma_heartbeat, heartbeat_fields);

static const struct field registered_fields[] = {
    F_STR(struct sigma_registered, id, "id", 64, .flags = FIELD_REQUIRED),
    F_STR(struct sigma_registered, hostname, "hostname", 4096),
    F_STR(struct sigma_registered, status, "status", 64),
};
const struct record sigma_registered_record = RECORD_SEEN(sigma_registered, registered_fields);

static const struct field vps_fields[] = {
    F_STR(struct sigma_vps, a.uuid, "id", 36, .flags = FIELD_ID),
    F_STR(struct sigma_vps, a.hostname, "hostname", LIMIT_HOSTNAME),
    F_STR(struct sigma_vps, a.alias, "alias", LIMIT_HOSTNAME),
    F_STR(struct sigma_vps, a.provider_id, "provider_id", 36, .flags = FIELD_NULLABLE),
    F_LIST(struct sigma_vps, a.addresses, "ip_addresses", ASSET_ADDRESSES, &asset_address_record),
    F_I32(struct sigma_vps, a.ssh_port, "ssh_port"),
    F_I32(struct sigma_vps, a.node_exporter_port, "node_exporter_port"),
    F_STR(struct sigma_vps, a.country, "country", 64),
    F_STR(struct sigma_vps, a.city, "city", 128),
    F_STR(struct sigma_vps, a.dc_name, "dc_name", 128),
    F_I64(struct sigma_vps, a.cpu_cores, "cpu_cores", .flags = FIELD_NULLABLE),
    F_I64(struct sigma_vps, a.ram_mb, "ram_mb", .flags = FIELD_NULLABLE),
    F_I64(struct sigma_vps, a.disk_gb, "disk_gb", .flags = FIELD_NULLABLE),
    F_STR(struct sigma_vps, a.bandwidth_tb, "bandwidth_tb", ASSET_DECIMAL_BYTES, .flags = FIELD_NULLABLE),
    F_STR(struct sigma_vps, a.cost_monthly, "cost_monthly", ASSET_DECIMAL_BYTES, .flags = FIELD_NULLABLE),
    F_STR(struct sigma_vps, a.currency, "currency", 8),
    F_ENUM(struct sigma_vps, a.status, "status", asset_status_names),
    F_STR(struct sigma_vps, a.purchase_date, "purchase_date", 10, .flags = FIELD_NULLABLE),
    F_STR(struct sigma_vps, a.expire_date, "expire_date", 10, .flags = FIELD_NULLABLE),
    F_STR(struct sigma_vps, a.purpose, "purpose", 64),
    F_STR(struct sigma_vps, a.vpn_protocol, "vpn_protocol", 64),
    F_STR(struct sigma_vps, a.notes, "notes", ASSET_NOTES_BYTES),
    F_STR(struct sigma_vps, a.source, "source", 32),
    F_STR_LIST(struct sigma_vps, a.tags, "tags", ASSET_TAGS, 64),
    F_BOOL(struct sigma_vps, a.monitoring_enabled, "monitoring_enabled"),
    F_JSON(struct sigma_vps, extra, "extra", 3 * ASSET_EXTRA_BYTES),
    F_BOOL(struct sigma_vps, online, "online", .help = "A heartbeat in the last 180 s."),
    F_BOOL(struct sigma_vps, has_metrics_token, "has_metrics_token", .flags = FIELD_OMIT, .help = "One was set, and is sent when the agent is dialled."),
    F_TIME(struct sigma_vps, a.created_at, "created_at"),
    F_TIME(struct sigma_vps, updated_at, "updated_at"),
    F_STR(struct sigma_vps, provider_name, "provider_name", LIMIT_NAME, .flags = FIELD_OMIT, .help = "In exports only: what an import finds the provider by."),
};
const struct record sigma_vps_record = RECORD(sigma_vps, vps_fields);

static const struct field vps_page_fields[] = {
    F_LIST(struct sigma_vps_page, data, "data", 100, &sigma_vps_record),
    F_U64(struct sigma_vps_page, total, "total"),
    F_U64(struct sigma_vps_page, page, "page"),
    F_U64(struct sigma_vps_page, per_page, "per_page"),
};
const struct record sigma_vps_page_record = RECORD(sigma_vps_page, vps_page_fields);

static const struct field provider_fields[] = {
    F_STR(struct sigma_provider, p.uuid, "id", 36, .flags = FIELD_ID),
    F_STR(struct sigma_provider, p.name, "name", LIMIT_NAME),
    F_STR(struct sigma_provider, p.country, "country", 64),
    F_STR(struct sigma_provider, p.website, "website", 512),
    F_STR(struct sigma_provider, p.panel_url, "panel_url", 512),
    F_BOOL(struct sigma_provider, p.api_supported, "api_supported"),
    F_U32(struct sigma_provider, p.rating, "rating", .flags = FIELD_NULLABLE),
    F_STR(struct sigma_provider, p.notes, "notes", ASSET_NOTES_BYTES),
    F_U32(struct sigma_provider, vps_count, "vps_count"),
    F_TIME(struct sigma_provider, p.created_at, "created_at"),
    F_TIME(struct sigma_provider, p.updated_at, "updated_at"),
};
const struct record sigma_provider_record = RECORD(sigma_provider, provider_fields);

static const struct field port_request_fields[] = {
    F_U64(struct sigma_port_request, id, "id", .flags = FIELD_REQUIRED),
    F_U32(struct sigma_port_request, count, "count", .flags = FIELD_REQUIRED),
    F_U32(struct sigma_port_request, ttl_seconds, "ttl_seconds", .help = "0: nothing is reserved."),
    F_STR(struct sigma_port_request, owner, "owner", LIMIT_NAME),
    F_BOOL(struct sigma_port_request, hold, "hold", .help = "Keep them bound while the lease lasts."),
};
const struct record sigma_port_request_record = RECORD(sigma_port_request, port_request_fields);

static const struct field port_requests_fields[] = {
    F_LIST(struct sigma_port_requests, requests, "requests", 64, &sigma_port_request_record),
};
const struct record sigma_port_requests_record = RECORD(sigma_port_requests, port_requests_fields);

static const struct field port_answer_fields[] = {
    F_STR(struct sigma_port_answer, hostname, "hostname", LIMIT_HOSTNAME, .flags = FIELD_REQUIRED),
    F_U64(struct sigma_port_answer, id, "id", .flags = FIELD_REQUIRED),
    F_JSON(struct sigma_port_answer, ports, "ports", 16 << 10, .flags = FIELD_OMIT, .help = "A list of numbers."),
    F_STR(struct sigma_port_answer, lease, "lease", 64, .flags = FIELD_OMIT | FIELD_NULLABLE),
    F_TIME(struct sigma_port_answer, expires_at, "expires_at", .flags = FIELD_OMIT),
    F_STR(struct sigma_port_answer, error, "error", 64, .flags = FIELD_OMIT | FIELD_NULLABLE,
          .help = "ports.disabled, ports.count, ports.too_few or ports.failed."),
    F_STR(struct sigma_port_answer, message, "message", 512, .flags = FIELD_OMIT | FIELD_NULLABLE),
};
const struct record sigma_port_answer_record = RECORD_SEEN(sigma_port_answer, port_answer_fields);

static const struct field key_wish_fields[] = {
    F_STR(struct sigma_key_wish, name, "name", LIMIT_NAME, .flags = FIELD_REQUIRED, .help = "For people."),
    F_STR(struct sigma_key_wish, role, "role", 16, .help = "admin, operator, agent or readonly (the default)."),
    F_BOOL(struct sigma_key_wish, bind_hostname, "bind_hostname", .help = "Good for the first host name that uses it only."),
};
const struct record sigma_key_wish_record = RECORD_SEEN(sigma_key_wish, key_wish_fields);

static const struct field key_fields[] = {
    F_STR(struct sigma_key, id, "id", 36, .flags = FIELD_ID),
    F_STR(struct sigma_key, name, "name", LIMIT_NAME),
    F_STR(struct sigma_key, key, "key", 64, .flags = FIELD_OMIT, .help = "Shown once."),
    F_STR(struct sigma_key, key_prefix, "key_prefix", 24),
    F_STR(struct sigma_key, role, "role", 16),
    F_BOOL(struct sigma_key, bind_hostname, "bind_hostname"),
    F_STR(struct sigma_key, bound_hostname, "bound_hostname", LIMIT_HOSTNAME, .flags = FIELD_NULLABLE),
    F_STR(struct sigma_key, created_by, "created_by", 192),
    F_TIME(struct sigma_key, created_at, "created_at"),
    F_TIME(struct sigma_key, last_used_at, "last_used_at"),
};
const struct record sigma_key_record = RECORD(sigma_key, key_fields);

static const struct field login_fields[] = {
    F_STR(struct sigma_login, email, "email", 256, .flags = FIELD_REQUIRED, .help = "The user's name."),
    F_STR(struct sigma_login, password, "password", 1024, .flags = FIELD_REQUIRED | FIELD_SECRET),
};
const struct record sigma_login_record = RECORD(sigma_login, login_fields);
