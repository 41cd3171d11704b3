/* wire/asset.c - see asset.h. Times are microseconds: the column must give back exactly what was put. */
#include "wire/asset.h"

#include "base/limits.h"

const struct name asset_status_names[] = {
    { ASSET_PROVISIONING, "provisioning" }, { ASSET_ACTIVE, "active" },       { ASSET_RETIRING, "retiring" },
    { ASSET_RETIRED, "retired" },           { ASSET_SUSPENDED, "suspended" }, { ASSET_DELETED, "deleted" },
    NAMES_END,
};

static const struct field address_fields[] = {
    F_STR(struct asset_address, ip, "ip", 64, .help = "IPv4 or IPv6."),
    F_STR(struct asset_address, label, "label", 128, .help = "Free text; \"internal\" has a meaning."),
    F_BOOL(struct asset_address, is_manual, "manual", .flags = FIELD_OMIT, .help = "Added by an operator."),
};
const struct record asset_address_record = RECORD(asset_address, address_fields);

static const struct field asset_fields[] = {
    F_STR(struct asset, uuid, "id", 36, .flags = FIELD_REQUIRED | FIELD_ID),
    F_STR(struct asset, hostname, "hostname", LIMIT_HOSTNAME),
    F_STR(struct asset, alias, "alias", LIMIT_HOSTNAME, .flags = FIELD_OMIT),
    F_STR(struct asset, provider_id, "provider_id", 36, .flags = FIELD_OMIT),
    F_LIST(struct asset, addresses, "ip_addresses", ASSET_ADDRESSES, &asset_address_record, .flags = FIELD_OMIT),
    F_I32(struct asset, ssh_port, "ssh_port"),
    F_I32(struct asset, node_exporter_port, "node_exporter_port"),
    F_STR(struct asset, country, "country", 64, .flags = FIELD_OMIT),
    F_STR(struct asset, city, "city", 128, .flags = FIELD_OMIT),
    F_STR(struct asset, dc_name, "dc_name", 128, .flags = FIELD_OMIT),
    F_STR(struct asset, currency, "currency", 8),
    F_I64(struct asset, cpu_cores, "cpu_cores", .flags = FIELD_OMIT),
    F_I64(struct asset, ram_mb, "ram_mb", .flags = FIELD_OMIT),
    F_I64(struct asset, disk_gb, "disk_gb", .flags = FIELD_OMIT),
    F_STR(struct asset, bandwidth_tb, "bandwidth_tb", ASSET_DECIMAL_BYTES, .flags = FIELD_OMIT),
    F_STR(struct asset, cost_monthly, "cost_monthly", ASSET_DECIMAL_BYTES, .flags = FIELD_OMIT),
    F_ENUM(struct asset, status, "status", asset_status_names),
    F_STR(struct asset, purchase_date, "purchase_date", 10, .flags = FIELD_OMIT),
    F_STR(struct asset, expire_date, "expire_date", 10, .flags = FIELD_OMIT),
    F_STR(struct asset, purpose, "purpose", 64, .flags = FIELD_OMIT),
    F_STR(struct asset, vpn_protocol, "vpn_protocol", 64, .flags = FIELD_OMIT),
    F_STR(struct asset, notes, "notes", ASSET_NOTES_BYTES, .flags = FIELD_OMIT),
    F_STR(struct asset, source, "source", 32, .flags = FIELD_OMIT),
    F_STR_LIST(struct asset, tags, "tags", ASSET_TAGS, 64, .flags = FIELD_OMIT),
    F_STR_LIST(struct asset, other_names, "merged_hostnames", ASSET_OTHER_NAMES, LIMIT_HOSTNAME, .flags = FIELD_OMIT),
    F_BOOL(struct asset, monitoring_enabled, "monitoring_enabled"),
    F_JSON(struct asset, extra, "extra", ASSET_EXTRA_BYTES, .flags = FIELD_OMIT),
    F_STR(struct asset, sealed_token, "sealed_token", ASSET_SEALED_BYTES, .flags = FIELD_OMIT),
    F_U64(struct asset, created_at, "created_at_us"),
    F_U64(struct asset, updated_at, "updated_at_us"),
    F_U64(struct asset, retired_at, "retired_at_us", .flags = FIELD_OMIT),
    F_U64(struct asset, seen_retired_at, "seen_retired_at_us", .flags = FIELD_OMIT),
};
const struct record asset_record = RECORD(asset, asset_fields);

/* Names as in asset_fields: fleet/asset.c pairs them. */
static const struct field asset_wish_fields[] = {
    F_STR(struct asset_wish, hostname, "hostname", LIMIT_HOSTNAME, .flags = FIELD_NULLABLE,
          .help = "Name of the machine; unique among rows that are not deleted."),
    F_STR(struct asset_wish, alias, "alias", LIMIT_HOSTNAME, .flags = FIELD_NULLABLE, .help = "DNS name to reach it by."),
    F_STR(struct asset_wish, provider_id, "provider_id", 36, .flags = FIELD_NULLABLE, .help = "Who rents it out."),
    F_LIST(struct asset_wish, addresses, "ip_addresses", ASSET_ADDRESSES, &asset_address_record, .flags = FIELD_NULLABLE),
    F_I32(struct asset_wish, ssh_port, "ssh_port", .min_value = 1, .max_value = 65535, .flags = FIELD_NULLABLE),
    F_I32(struct asset_wish, node_exporter_port, "node_exporter_port", .min_value = 1, .max_value = 65535,
          .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, country, "country", 64, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, city, "city", 128, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, dc_name, "dc_name", 128, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, currency, "currency", 8, .flags = FIELD_NULLABLE),
    F_I64(struct asset_wish, cpu_cores, "cpu_cores", .max_value = INT32_MAX, .flags = FIELD_NULLABLE,
          .help = "As bought; 0 is not said."),
    F_I64(struct asset_wish, ram_mb, "ram_mb", .max_value = INT32_MAX, .flags = FIELD_NULLABLE),
    F_I64(struct asset_wish, disk_gb, "disk_gb", .max_value = INT32_MAX, .flags = FIELD_NULLABLE),
    F_JSON(struct asset_wish, bandwidth_tb, "bandwidth_tb", 64, .flags = FIELD_NULLABLE),
    F_JSON(struct asset_wish, cost_monthly, "cost_monthly", 64, .flags = FIELD_NULLABLE),
    F_ENUM(struct asset_wish, status, "status", asset_status_names, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, purchase_date, "purchase_date", 10, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, expire_date, "expire_date", 10, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, purpose, "purpose", 64, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, vpn_protocol, "vpn_protocol", 64, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, notes, "notes", ASSET_NOTES_BYTES, .flags = FIELD_NULLABLE),
    F_STR(struct asset_wish, source, "source", 32, .flags = FIELD_NULLABLE),
    F_STR_LIST(struct asset_wish, tags, "tags", ASSET_TAGS, 64, .flags = FIELD_NULLABLE),
    F_BOOL(struct asset_wish, monitoring_enabled, "monitoring_enabled", .flags = FIELD_NULLABLE),
    F_JSON(struct asset_wish, extra, "extra", 2 * ASSET_EXTRA_BYTES, .flags = FIELD_NULLABLE,
           .help = "An object of anything; system_info, last_heartbeat, retired_at and merged_hostnames in it are understood."),
    F_STR(struct asset_wish, metrics_token, "metrics_token", ASSET_TOKEN_BYTES, .flags = FIELD_NULLABLE | FIELD_SECRET,
          .help = "What the agent's --metrics-token is; sent when it is dialled, never shown. Null or empty: none."),
};
const struct record asset_wish_record = RECORD_SEEN(asset_wish, asset_wish_fields);

static const struct field asset_state_fields[] = {
    F_JSON(struct asset_state, system_info, "system_info", ASSET_EXTRA_BYTES, .flags = FIELD_OMIT),
    F_U64(struct asset_state, last_heartbeat, "last_heartbeat_us", .flags = FIELD_OMIT),
    F_U64(struct asset_state, updated_at, "updated_at_us", .flags = FIELD_OMIT),
    F_U32(struct asset_state, metrics_port, "metrics_port", .flags = FIELD_OMIT),
    F_U32(struct asset_state, ports_max, "ports_max", .flags = FIELD_OMIT),
    F_STR(struct asset_state, public_ip, "public_ip", 64, .flags = FIELD_OMIT),
    F_U32(struct asset_state, cpu_cores, "cpu_cores", .flags = FIELD_OMIT),
    F_U64(struct asset_state, ram_mb, "ram_mb", .flags = FIELD_OMIT),
    F_U64(struct asset_state, disk_gb, "disk_gb", .flags = FIELD_OMIT),
};
const struct record asset_state_record = RECORD(asset_state, asset_state_fields);

static const struct field provider_fields[] = {
    F_STR(struct provider, uuid, "id", 36, .flags = FIELD_REQUIRED | FIELD_ID),
    F_STR(struct provider, name, "name", LIMIT_NAME, .flags = FIELD_REQUIRED),
    F_STR(struct provider, country, "country", 64, .flags = FIELD_OMIT),
    F_STR(struct provider, website, "website", 512, .flags = FIELD_OMIT),
    F_STR(struct provider, panel_url, "panel_url", 512, .flags = FIELD_OMIT),
    F_BOOL(struct provider, api_supported, "api_supported", .flags = FIELD_OMIT),
    F_U32(struct provider, rating, "rating", .flags = FIELD_OMIT),
    F_STR(struct provider, notes, "notes", ASSET_NOTES_BYTES, .flags = FIELD_OMIT),
    F_U64(struct provider, created_at, "created_at_us"),
    F_U64(struct provider, updated_at, "updated_at_us"),
};
const struct record provider_record = RECORD(provider, provider_fields);

static const struct field provider_wish_fields[] = {
    F_STR(struct provider_wish, name, "name", LIMIT_NAME, .flags = FIELD_NULLABLE, .help = "Unique."),
    F_STR(struct provider_wish, country, "country", 64, .flags = FIELD_NULLABLE),
    F_STR(struct provider_wish, website, "website", 512, .flags = FIELD_NULLABLE),
    F_STR(struct provider_wish, panel_url, "panel_url", 512, .flags = FIELD_NULLABLE),
    F_BOOL(struct provider_wish, api_supported, "api_supported", .flags = FIELD_NULLABLE),
    F_U32(struct provider_wish, rating, "rating", .min_value = 1, .max_value = 5, .flags = FIELD_NULLABLE),
    F_STR(struct provider_wish, notes, "notes", ASSET_NOTES_BYTES, .flags = FIELD_NULLABLE),
};
const struct record provider_wish_record = RECORD_SEEN(provider_wish, provider_wish_fields);

static const struct field address_change_fields[] = {
    F_STR(struct address_change, ip, "ip", 64, .flags = FIELD_REQUIRED),
    F_STR(struct address_change, label, "label", 128, .flags = FIELD_OMIT),
    F_BOOL(struct address_change, is_added, "added"),
    F_BOOL(struct address_change, is_manual, "manual"),
};
const struct record address_change_record = RECORD(address_change, address_change_fields);
