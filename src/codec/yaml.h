/* codec/yaml.h - YAML (libyaml) read into the same tree as JSON, so config and manifests are records too.
 * Aliases and anchors, merge keys, tags and duplicate keys are refused; one document; caps in limits.h. No I/O. */
#ifndef MUSTER_CODEC_YAML_H
#define MUSTER_CODEC_YAML_H

#include "codec/json.h"

/* As json_parse. An empty document is an empty map. Slugs "yaml.syntax" (with line), "yaml.duplicate", ... */
int yaml_parse(struct arena *a, struct str text, size_t max_bytes, struct node **ret, struct err *err);

struct kv;
struct conf;
/* Flattens a map for base/conf: nested keys joined by '.', lists of scalars by ','; a map of scalars also as
 * "k=v,k=v" under its own key. Returns 0 and the pairs in @a, -EINVAL or -ENOBUFS. */
int yaml_flatten(struct arena *a, const struct node *map, struct kv **ret, size_t *ret_n, struct err *err);
/* A configuration file into @c: @text, read from @path (named in every refusal), parsed, flattened and given to
 * conf_file(). Nothing of @text is kept. 0, or a negative errno and @err. */
int yaml_conf(struct conf *c, const char *path, struct str text, struct err *err);

#endif
