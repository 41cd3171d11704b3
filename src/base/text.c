/* base/text.c - see text.h. */
#include "base/text.h"

#include <errno.h>

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(const void *src, size_t n, char *dst)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = hex_digits[p[i] >> 4];
        dst[2 * i + 1] = hex_digits[p[i] & 15];
    }
    dst[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(struct str s, void *dst, size_t n)
{
    uint8_t *p = dst;
    if (s.len != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++)
        if (hex_value(s.ptr[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(hex_value(s.ptr[2 * i]) << 4 | hex_value(s.ptr[2 * i + 1]));
    return 0;
}

static int encode64(struct buf *dst, struct str src, const char *alphabet, bool is_padded)
{
    if (src.len > SIZE_MAX / 2)
        return -ENOBUFS;
    uint8_t *p;
    size_t full = src.len / 3, rest = src.len % 3;
    size_t n = full * 4 + (rest == 0 ? 0 : is_padded ? 4 : rest + 1);
    int r = buf_reserve(dst, n, &p);
    if (r < 0)
        return r;
    const uint8_t *s = (const uint8_t *)src.ptr;
    for (; full; full--, s += 3) {
        uint32_t v = (uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *p++ = (uint8_t)alphabet[v >> shift & 63];
    }
    if (rest) {
        uint32_t v = (uint32_t)s[0] << 16 | (rest == 2 ? (uint32_t)s[1] << 8 : 0);
        *p++ = (uint8_t)alphabet[v >> 18 & 63];
        *p++ = (uint8_t)alphabet[v >> 12 & 63];
        if (rest == 2)
            *p++ = (uint8_t)alphabet[v >> 6 & 63];
        else if (is_padded)
            *p++ = '=';
        if (is_padded)
            *p++ = '=';
    }
    buf_commit(dst, n);
    return 0;
}

int base64_encode(struct buf *dst, struct str src)
{
    return encode64(dst, src, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

int base64url_encode(struct buf *dst, struct str src)
{
    return encode64(dst, src, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

int base64_decode(struct buf *dst, struct str src)
{
    if (src.len % 4 == 0)
        for (int pad = 0; pad < 2 && src.len && src.ptr[src.len - 1] == '='; pad++)
            src.len--;
    if (src.len % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < src.len; i++)
        if (base64_value(src.ptr[i]) < 0)
            return -EINVAL;
    /* bits that belong to no byte must be zero: one text per value, or signatures over texts could be bent */
    int spare = src.len % 4 == 2 ? 15 : src.len % 4 == 3 ? 3 : 0;
    if (spare && (base64_value(src.ptr[src.len - 1]) & spare))
        return -EINVAL;
    uint8_t *p;
    size_t n = src.len / 4 * 3 + (src.len % 4 ? src.len % 4 - 1 : 0);
    int r = buf_reserve(dst, n, &p);
    if (r < 0)
        return r;
    uint32_t v = 0;
    int bits = 0;
    for (size_t i = 0; i < src.len; i++) {
        v = v << 6 | (uint32_t)base64_value(src.ptr[i]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *p++ = (uint8_t)(v >> bits);
        }
    }
    buf_commit(dst, n);
    return 0;
}

/* Length of the valid sequence @s starts with and its code point; 0 if it is invalid; -1 if valid so far but
 * cut off. Table 3-7 of the Unicode standard, as ranges for the second byte. */
static int utf8_next(struct str s, uint32_t *ret)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    if (p[0] < 0x80) {
        *ret = p[0];
        return 1;
    }
    int n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    uint8_t low = 0x80, high = 0xbf;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    uint32_t v = p[0] & (0x7f >> n);
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= s.len)
            return -1;
        if (p[i] < low || p[i] > high)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
        low = 0x80, high = 0xbf;
    }
    *ret = v;
    return n;
}

/* Nearly all text is ASCII: eight bytes at a time as far as it goes. */
static size_t ascii_prefix(struct str s)
{
    size_t i = 0;
    uint64_t v;

    for (; i + sizeof(v) <= s.len; i += sizeof(v)) {
        memcpy(&v, s.ptr + i, sizeof(v));
        if (v & 0x8080808080808080)
            return i;
    }
    while (i < s.len && (uint8_t)s.ptr[i] < 0x80)
        i++;
    return i;
}

bool utf8_is_valid(struct str s)
{
    s = str_sub(s, ascii_prefix(s), s.len);
    uint32_t c;
    while (s.len) {
        int n = utf8_next(s, &c);
        if (n <= 0)
            return false;
        s = str_sub(s, (size_t)n, s.len);
    }
    return true;
}

size_t utf8_whole_prefix(struct str s)
{
    uint32_t c;
    for (size_t back = 1; back <= 3 && back <= s.len; back++)
        if (utf8_next(str_sub(s, s.len - back, back), &c) == -1)
            return s.len - back;
    return s.len;
}

int utf8_lossy(struct buf *dst, struct str s)
{
    size_t before = dst->len;
    uint32_t c;
    int r = 0;
    while (s.len && r == 0) {
        size_t good = 0;
        int n = 1;
        while (good < s.len && (n = utf8_next(str_sub(s, good, s.len), &c)) > 0)
            good += (size_t)n;
        r = buf_str(dst, str_sub(s, 0, good));
        s = str_sub(s, good, s.len);
        if (s.len && r == 0) {
            r = buf_cstr(dst, "\xef\xbf\xbd");
            s = str_sub(s, n < 0 ? s.len : 1, s.len);
        }
    }
    if (r < 0)
        dst->len = before;
    return r;
}

struct range {
    uint32_t from, to;
};

static bool is_in(const struct range *ranges, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

/* A table of our own, since wcwidth() knows nothing until setlocale() was called, which we avoid. */
static size_t columns_of(uint32_t c)
{
    static const struct range none[] = {
        { 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd },
        { 0x0610, 0x061a }, { 0x064b, 0x065f }, { 0x0e31, 0x0e31 }, { 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e },
        { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200f }, { 0x202a, 0x202e }, { 0x2060, 0x2064 },
        { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff }, { 0xe0100, 0xe01ef },
    };
    static const struct range wide[] = {
        { 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },   { 0x23e9, 0x23ec },
        { 0x2e80, 0x303e },   { 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },
        { 0xa000, 0xa4cf },   { 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },
        { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff },
        { 0x1f900, 0x1f9ff }, { 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
    };
    if (c >= 0x20 && c < 0x7f)
        return 1;
    if (is_in(none, sizeof(none) / sizeof(none[0]), c))
        return 0;
    return is_in(wide, sizeof(wide) / sizeof(wide[0]), c) ? 2 : 1;
}

size_t utf8_columns(struct str s)
{
    size_t columns = 0;
    uint32_t c;
    while (s.len) {
        int n = utf8_next(s, &c);
        columns += n > 0 ? columns_of(c) : 1;
        s = str_sub(s, n > 0 ? (size_t)n : 1, s.len);
    }
    return columns;
}

/* C0, DEL, C1, and the marks that reorder a line on screen (a name could show as another one). */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2028 && c <= 0x2029) || (c >= 0x2066 && c <= 0x2069);
}

int text_printable(struct buf *dst, struct str s)
{
    size_t before = dst->len;
    uint32_t c;
    while (s.len) {
        int n = utf8_next(s, &c);
        size_t len = n > 0 ? (size_t)n : 1;
        int r = 0;
        if (n > 0 && !is_control(c))
            r = buf_append(dst, s.ptr, len);
        else
            for (size_t i = 0; i < len && r == 0; i++)
                r = buf_printf(dst, "\\x%02X", (unsigned char)s.ptr[i]);
        if (r < 0) {
            dst->len = before;
            return r;
        }
        s = str_sub(s, len, s.len);
    }
    return 0;
}

bool secret_eq(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    volatile unsigned char differs = 0;
    for (size_t i = 0; i < a.len; i++)
        differs = (unsigned char)(differs | (a.ptr[i] ^ b.ptr[i]));
    return differs == 0;
}
