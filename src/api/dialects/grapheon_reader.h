/* api/dialects/grapheon_reader.h - what the two files that read a check-in share: lists (grapheon_report.c) and texts (grapheon_raw.c).
 * Pool thread. */
#ifndef MUSTER_API_GRAPHEON_READER_H
#define MUSTER_API_GRAPHEON_READER_H

#include "api/dialects/grapheon.h"
#include "codec/json_scan.h"

struct reader {
    struct arena *a;
    struct report *out;
    struct buf room, canonical;
    struct json_spans spans;
    struct mark_set ips, macs;
    struct str last_ips[2]; /* of the row before: most rows name this machine */
    size_t ips_room, macs_room;
    bool is_full_up, is_refused;
    const uint8_t *mark_key;
};

/* A section that is being read. */
struct section_walk {
    enum report_section section;
    struct mark_set told;
    uint32_t *places, n_places; /* rows by their marks: a row's number + 1; 0 is free */
    size_t room, bytes, n_told;
};

/* A field of the report itself: the whole is refused. False, always. */
bool grapheon__refuse(struct reader *rd, const char *field, const char *type, const char *text);
/* What is refused alone, and counted. */
void grapheon__refuse_alone(struct reader *rd, const struct report_refusal *why);

/* Rows of a section, one after another; @bytes of text are to come. False: there is no room, and rd->is_full_up is set. */
bool grapheon__rows_begin(struct reader *rd, enum report_section s, size_t bytes, struct section_walk *w);
/* False: refused, and why is in @why (to be told by the caller). @row is not needed afterwards. */
bool grapheon__row(struct reader *rd, struct section_walk *w, const struct json_item *row, struct report_refusal *why);
/* How many there were, refused ones too. */
size_t grapheon__rows_end(struct reader *rd, struct section_walk *w);

/* grapheon_raw.c: {"ip_neigh": "text", ...} into the sections; @counts of their rows are set where a text was read. Sections that have
 * one are is_raw, and their lists are not looked at. @is_whole: what a text does not have is gone. */
void grapheon__read_raw(struct reader *rd, const struct json_item *raw, bool is_whole, size_t *const counts[REPORT_SECTIONS]);

#endif
