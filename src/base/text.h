/* base/text.h - hex, base64, UTF-8, constant-time compare. No allocation unless said. Any thread. */
#ifndef MUSTER_TEXT_H
#define MUSTER_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Lower-case hex; @dst has 2 * n + 1 bytes. */
void hex_encode(const void *src, size_t n, char *dst);
/* Either case, exactly @n bytes from 2 * n digits. 0 or -EINVAL. */
int hex_decode(struct str s, void *dst, size_t n);

/* RFC 4648 standard (padded) and URL-safe (unpadded). 0 or -ENOBUFS. */
int base64_encode(struct buf *dst, struct str src);
int base64url_encode(struct buf *dst, struct str src);
/* Either alphabet, padding optional, no white space. Appends. 0, -EINVAL or -ENOBUFS. */
int base64_decode(struct buf *dst, struct str src);

/* Strict UTF-8 (no surrogates, no overlongs, <= U+10FFFF). */
bool utf8_is_valid(struct str s);
/* Length of the longest prefix that ends on a character border (for holding back a split character). */
size_t utf8_whole_prefix(struct str s);
/* Appends @s with invalid sequences replaced by U+FFFD. */
int utf8_lossy(struct buf *dst, struct str s);
/* Display columns of a valid string (wide East Asian counted 2, combining 0). */
size_t utf8_columns(struct str s);
/* Appends @s safe for a terminal or a log: control characters as \xNN (tab and newline too). */
int text_printable(struct buf *dst, struct str s);

/* Equal, in time that depends on the lengths only. */
bool secret_eq(struct str a, struct str b);

#endif
