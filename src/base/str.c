/* base/str.c - see str.h. */
#include "base/str.h"

#include <errno.h>
#include <math.h>

#include "base/mem.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && str_starts_nocase(a, b);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (lower(s.ptr[i]) != lower(prefix.ptr[i]))
            return false;
    return true;
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_sub(s, s.len - suffix.len, suffix.len), suffix);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int d = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (d)
        return d;
    return a.len < b.len ? -1 : a.len > b.len;
}

ptrdiff_t str_find_char(struct str s, char c)
{
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
    if (needle.len == 0)
        return 0;
    const char *p = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return p ? p - s.ptr : -1;
}

struct str str_sub(struct str s, size_t from, size_t n)
{
    if (from > s.len)
        from = s.len;
    if (n > s.len - from)
        n = s.len - from;
    return (struct str){ s.ptr ? s.ptr + from : NULL, n };
}

struct str str_trim(struct str s)
{
    while (s.len && is_space(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_cut(struct str *s, char sep, struct str *ret_head)
{
    if (!s->ptr)
        return false;
    ptrdiff_t at = str_find_char(*s, sep);
    if (at < 0) {
        *ret_head = *s;
        *s = STR_NONE;
        return true;
    }
    *ret_head = str_sub(*s, 0, (size_t)at);
    *s = str_sub(*s, (size_t)at + 1, s->len);
    return true;
}

bool str_word(struct str *s, struct str *ret_word)
{
    while (s->len && is_space(s->ptr[0]))
        s->ptr++, s->len--;
    size_t n = 0;
    while (n < s->len && !is_space(s->ptr[n]))
        n++;
    if (n == 0)
        return false;
    *ret_word = str_sub(*s, 0, n);
    *s = str_sub(*s, n, s->len);
    return true;
}

int str_to_u64(struct str s, uint64_t *ret)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t v = 0;
    bool too_big = false; /* "99999999999999999999x" is bad syntax rather than out of range */
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]))
            return -EINVAL;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
            too_big = true;
    }
    if (too_big)
        return -ERANGE;
    *ret = v;
    return 0;
}

int str_to_i64(struct str s, int64_t *ret)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    uint64_t v;
    int r = str_to_u64(is_negative ? str_sub(s, 1, s.len) : s, &v);
    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + is_negative)
        return -ERANGE;
    *ret = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

/* RFC 8259 section 6: [-] int [frac] [exp] */
static bool is_json_number(struct str s)
{
    size_t i = 0, n = s.len;
    if (i < n && s.ptr[i] == '-')
        i++;
    if (i >= n || !is_digit(s.ptr[i]))
        return false;
    if (s.ptr[i] == '0')
        i++;
    else
        while (i < n && is_digit(s.ptr[i]))
            i++;
    if (i < n && s.ptr[i] == '.') {
        if (++i >= n || !is_digit(s.ptr[i]))
            return false;
        while (i < n && is_digit(s.ptr[i]))
            i++;
    }
    if (i < n && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        if (i < n && (s.ptr[i] == '+' || s.ptr[i] == '-'))
            i++;
        if (i >= n || !is_digit(s.ptr[i]))
            return false;
        while (i < n && is_digit(s.ptr[i]))
            i++;
    }
    return i == n;
}

int str_to_f64(struct str s, double *ret)
{
    char text[512]; /* strtod wants a NUL; a longer numeral is nobody's measurement */
    if (!is_json_number(s) || str_copy(s, text, sizeof(text)) < 0)
        return -EINVAL;
    /* our programs never set LC_NUMERIC, so '.' is the point */
    double v = strtod(text, NULL);
    if (!isfinite(v))
        return -ERANGE;
    *ret = v;
    return 0;
}

int str_to_hex_u64(struct str s, uint64_t *ret)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t v = 0;
    bool too_big = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = lower(s.ptr[i]);
        unsigned d;
        if (is_digit(c))
            d = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (unsigned)(c - 'a' + 10);
        else
            return -EINVAL;
        if (v >> 60)
            too_big = true;
        v = v << 4 | d;
    }
    if (too_big)
        return -ERANGE;
    *ret = v;
    return 0;
}

struct unit {
    const char *text;
    uint64_t factor;
};

static int to_scaled(struct str s, const struct unit *units, uint64_t *ret)
{
    size_t n = 0;
    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    uint64_t v;
    int r = str_to_u64(str_sub(s, 0, n), &v);
    if (r == -EINVAL)
        return r;
    struct str suffix = str_sub(s, n, s.len);
    for (const struct unit *u = units; u->text; u++) {
        if (!str_eq_nocase(suffix, str_of(u->text)))
            continue;
        if (r < 0 || __builtin_mul_overflow(v, u->factor, &v))
            return -ERANGE;
        *ret = v;
        return 0;
    }
    return -EINVAL;
}

int str_to_duration_us(struct str s, uint64_t *ret_us)
{
    static const struct unit units[] = {
        { "", 1000000 },
        { "s", 1000000 },
        { "ms", 1000 },
        { "us", 1 },
        { "m", 60 * 1000000ULL },
        { "h", 3600 * 1000000ULL },
        { "d", 86400 * 1000000ULL },
        { NULL, 0 },
    };
    return to_scaled(s, units, ret_us);
}

int str_to_size(struct str s, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "b", 1 },
        { "k", 1ULL << 10 },
        { "kb", 1ULL << 10 },
        { "kib", 1ULL << 10 },
        { "m", 1ULL << 20 },
        { "mb", 1ULL << 20 },
        { "mib", 1ULL << 20 },
        { "g", 1ULL << 30 },
        { "gb", 1ULL << 30 },
        { "gib", 1ULL << 30 },
        { "t", 1ULL << 40 },
        { "tb", 1ULL << 40 },
        { "tib", 1ULL << 40 },
        { NULL, 0 },
    };
    return to_scaled(s, units, ret_bytes);
}

int str_copy(struct str s, char *dst, size_t size)
{
    if (size == 0)
        return -ENAMETOOLONG;
    if (s.len >= size) {
        dst[0] = '\0';
        return -ENAMETOOLONG;
    }
    if (s.len)
        memcpy(dst, s.ptr, s.len);
    dst[s.len] = '\0';
    return 0;
}

char *str_dup(struct str s)
{
    char *p = xmalloc(s.len + 1);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

bool str_has_nul(struct str s)
{
    return str_find_char(s, '\0') >= 0;
}
