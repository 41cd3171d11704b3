/* cli/contexts_text.h - the configuration file as text, private to target.c and contexts.c. */
#ifndef MUSTER_CLI_CONTEXTS_TEXT_H
#define MUSTER_CLI_CONTEXTS_TEXT_H

#include "base/buf.h"
#include "cli/target.h"

/* Fills the empty @c from YAML @text; @path only names it in errors. 0 or -EINVAL ("config.bad"). */
int contexts_parse(struct contexts *c, struct str text, const char *path, struct err *err);
/* Appends it as YAML that contexts_parse() reads back. 0 or -ENOBUFS. */
int contexts_write(const struct contexts *c, struct buf *out);

#endif
