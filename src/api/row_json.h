/* api/row_json.h - the JSON of an inventory row, checked once on its way in (private to api/).
 *
 * Rows come by the thousand and are later shown raw, so they are walked without a tree, and more strictly
 * than our own parser where it is lenient (or a reader of the REST answer would choke on what one host sent):
 * no lone surrogates, no numbers that fit no int64 or double, no key twice in an object; and keys are plain,
 * so that two spellings of one key cannot slip through. Pure: any thread. */
#ifndef MUSTER_API_ROW_JSON_H
#define MUSTER_API_ROW_JSON_H

#include <stdbool.h>

#include "base/str.h"

/* Is @text one whole JSON object of at most LIMIT_JSON_DEPTH levels, with no white space around it and no
 * member called "key" (the REST surface puts the row's own there)? */
bool row_json_is_valid(struct str text);

#endif
