/* base/str.h - struct str: a borrowed slice of bytes, by value. Not NUL-terminated; {NULL, 0} is empty.
 *
 * The bytes belong to somebody else and must outlive the slice. No function here allocates. Any thread. */
#ifndef MUSTER_STR_H
#define MUSTER_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

#define STR(lit) ((struct str){ ("" lit), sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* printf("%.*s", STR_FMT(s)) */
#define STR_FMT(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct str str_of(const char *cstr)
{
    return cstr ? (struct str){ cstr, strlen(cstr) } : STR_NONE;
}
static inline struct str str_bytes(const void *p, size_t n)
{
    return (struct str){ (const char *)p, n };
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}
bool str_eq_nocase(struct str a, struct str b); /* ASCII */
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* memcmp order, shorter first on a tie: <0, 0, >0. */
int str_cmp(struct str a, struct str b);

/* Index of the first @c or of the first occurrence of @needle, or -1. */
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);

/* Bytes @from.. (clamped) and at most @n of them. */
struct str str_sub(struct str s, size_t from, size_t n);
/* Without leading and trailing ASCII white space. */
struct str str_trim(struct str s);

/* Cuts @*s at the first @sep: returns true, the part before in @*ret_head and leaves the rest in @*s. With no
 * @sep: hands all of @*s out once and leaves it {NULL,0}; returns false when @*s was {NULL,..} on entry.
 *   while (str_cut(&rest, ',', &part)) ...   visits "a", "", "b" for "a,,b". */
bool str_cut(struct str *s, char sep, struct str *ret_head);

/* Next run of non-white-space; false at the end. */
bool str_word(struct str *s, struct str *ret_word);

/* Whole-slice decimal (no sign, no space, no overflow; _i64 takes a leading '-'; _f64 is JSON-like, finite).
 * 0, or -EINVAL / -ERANGE and @*ret untouched. */
int str_to_u64(struct str s, uint64_t *ret);
int str_to_i64(struct str s, int64_t *ret);
int str_to_f64(struct str s, double *ret);
int str_to_hex_u64(struct str s, uint64_t *ret);

/* "30", "30s", "5m", "1h", "7d", "250ms" -> microseconds (a bare number is seconds). -EINVAL, -ERANGE. */
int str_to_duration_us(struct str s, uint64_t *ret_us);
/* "4096", "64K", "10M", "10GiB", "1G" (powers of 1024) -> bytes. -EINVAL, -ERANGE. */
int str_to_size(struct str s, uint64_t *ret_bytes);

/* Copies into @dst (NUL-terminated). 0, or -ENAMETOOLONG and @dst holds "". */
int str_copy(struct str s, char *dst, size_t size);
/* Malloced NUL-terminated copy; the caller frees. */
char *str_dup(struct str s) __attribute__((malloc));

/* True if any byte is NUL. */
bool str_has_nul(struct str s);

#endif
