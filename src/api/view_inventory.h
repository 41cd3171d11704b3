/* api/view_inventory.h - what is known of a host, as REST shows it: sections, rows, changes. Record
 * tables (also the schemas of the OpenAPI document), and how they are filled (private to api/). Strings are
 * lent by whatever they are filled from, and written at once. Core loop's thread. */
#ifndef MUSTER_API_VIEW_INVENTORY_H
#define MUSTER_API_VIEW_INVENTORY_H

#include "api/call.h"

extern const struct record inventory_record, section_head_record, section_rows_record, change_list_record;

/* Writes the members of a section's head into the object @w is in: its rows may follow beside them. */
void view_section_members(const struct fact_head *h, struct jw *w);
/* Writes one object value. */
void view_change(const struct fact_change *ch, struct jw *w);

#endif
