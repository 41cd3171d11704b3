/* api/dialects/table.c - the foreign accents, and their rows in the order they are registered. An array: it can be read. */
#include "api/dialects/argus.h"
#include "api/dialects/dialect.h"
#include "api/dialects/grapheon.h"
#include "api/dialects/sigma.h"

const struct dialect *const dialects[] = { &dialect_sigma, &dialect_grapheon, &dialect_argus, NULL };

const struct route_table *const dialect_tables[] = {
    &sigma_agent_table,  &sigma_vps_table, &sigma_ports_table, &sigma_provider_table, &sigma_reader_table, &sigma_key_table,
    &sigma_transfer_table,
    &grapheon_agent_routes, &grapheon_admin_routes, &grapheon_routes, &grapheon_page_routes,
    &argus_agent_table, &argus_people_table, &argus_event_table, &argus_batch_table, &argus_action_table, &argus_share_table,
    NULL,
};
