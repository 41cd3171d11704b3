/* fleet/select.c - see select.h.
 *
 *   role=web|db,!retired,name=edge-*      three terms; all must hold */
#include "fleet/select.h"

#include <errno.h>

#include "base/limits.h"
#include "base/names.h"
#include "base/text.h"
#include "base/uuid.h"
#include "fleet/presence.h"

enum { TERMS_MAX = 32, TEXT_MAX = 8192 };
enum subject { SUBJECT_LABEL, SUBJECT_NAME, SUBJECT_ID, SUBJECT_STATUS };
enum test { TEST_EQ, TEST_NE, TEST_HAS, TEST_HAS_NOT, TEST_GLOB };

struct term {
    enum subject subject;
    enum test test;
    struct str key;
    struct str *values;
    size_t n_values;
};
struct selector {
    struct term *terms;
    size_t n_terms;
};

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '/' || c == '-';
}

static bool is_key(struct str s)
{
    if (s.len < 1 || s.len > LIMIT_NAME)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_key_char(s.ptr[i]))
            return false;
    return true;
}

static bool is_plain_value(struct str s)
{
    if (s.len > LIMIT_LABEL_VALUE || !utf8_is_valid(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

static int bad(struct err *err, size_t at, const char *why)
{
    return err_set(err, -EINVAL, "selector.bad", "at character %zu: %s", at + 1, why);
}

/* Keys that are no labels. */
static const struct name builtin_keys[] = {
    { SUBJECT_NAME, "name" },
    { SUBJECT_ID, "id" },
    { SUBJECT_STATUS, "status" },
    NAMES_END,
};

static enum subject subject_of(struct str key)
{
    int subject = name_value(builtin_keys, key);
    return subject < 0 ? SUBJECT_LABEL : (enum subject)subject;
}

/* a|b|c after the operator. */
static int parse_values(struct arena *a, struct term *t, struct str text, size_t at, struct err *err)
{
    struct str rest = text.ptr ? text : STR(""), v;
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '|';
    t->values = arena_array(a, n, sizeof(*t->values));
    if (!t->values)
        return err_set(err, -ENOBUFS, "selector.bad", "the selector is too large");
    while (str_cut(&rest, '|', &v)) {
        if (!is_plain_value(v))
            return bad(err, at, "a value is not plain text or too long");
        struct uuid u;
        if (t->subject == SUBJECT_ID && uuid_parse(v, &u) < 0)
            return bad(err, at, "id= takes a host's UUID");
        if (t->subject == SUBJECT_STATUS && !presence_is_status(v))
            return bad(err, at, "status= takes a word: ready, busy, stale or disconnected");
        if (t->subject == SUBJECT_NAME && v.len == 0)
            return bad(err, at, "name= takes a name or a pattern");
        t->values[t->n_values++] = arena_str(a, v);
        if (!t->values[t->n_values - 1].ptr)
            return err_set(err, -ENOBUFS, "selector.bad", "the selector is too large");
    }
    return 0;
}

static int parse_term(struct arena *a, struct str s, size_t at, struct term *t, struct err *err)
{
    size_t n = 0;
    bool is_negated = s.len > 0 && s.ptr[0] == '!';
    struct str key;

    if (s.len == 0)
        return bad(err, at, "a term is empty");
    if (is_negated)
        s = str_sub(s, 1, SIZE_MAX);
    while (n < s.len && is_key_char(s.ptr[n]))
        n++;
    key = str_sub(s, 0, n);
    if (!is_key(key))
        return bad(err, at + is_negated,
                   n > LIMIT_NAME ? "a key is longer than 128 characters" : "a key is expected here");
    t->subject = subject_of(key);
    t->key = arena_str(a, key);
    if (!t->key.ptr)
        return err_set(err, -ENOBUFS, "selector.bad", "the selector is too large");
    if (n == s.len) {
        if (t->subject != SUBJECT_LABEL)
            return bad(err, at, "name, id and status need a value");
        t->test = is_negated ? TEST_HAS_NOT : TEST_HAS;
        return 0;
    }
    if (is_negated)
        return bad(err, at + 1 + n, "after !key nothing may follow (write key!=value)");
    if (s.ptr[n] == '!' && n + 1 < s.len && s.ptr[n + 1] == '=') {
        t->test = TEST_NE;
        n += 2;
    } else if (s.ptr[n] == '=') {
        t->test = TEST_EQ;
        n += 1;
    } else if (s.ptr[n] == '~' && t->subject != SUBJECT_ID) {
        t->test = TEST_GLOB;
        n += 1;
    } else {
        return bad(err, at + n, "expected =, != or ~");
    }
    return parse_values(a, t, str_sub(s, n, SIZE_MAX), at + n, err);
}

int selector_parse(struct arena *a, struct str text, struct selector **ret, struct err *err)
{
    struct str rest = text.ptr ? text : STR(""), part;

    if (text.len > TEXT_MAX)
        return err_set(err, -E2BIG, "selector.bad", "a selector is at most %d bytes", TEXT_MAX);
    struct selector *sel = arena_new0(a, struct selector);
    struct term *terms = arena_array(a, TERMS_MAX, sizeof(*terms));
    if (!sel || !terms)
        return err_set(err, -ENOBUFS, "selector.bad", "the selector is too large");
    sel->terms = terms;
    while (str_cut(&rest, ',', &part)) {
        struct str s = str_trim(part);
        size_t at = text.ptr ? (size_t)((s.len ? s.ptr : part.ptr) - text.ptr) : 0;
        if (sel->n_terms == TERMS_MAX)
            return err_set(err, -E2BIG, "selector.bad", "a selector has at most %d terms", TERMS_MAX);
        int r = parse_term(a, s, at, &sel->terms[sel->n_terms], err);
        if (r < 0)
            return r;
        sel->n_terms++;
    }
    *ret = sel;
    return 0;
}

static const struct str *label_of(const struct kv_list *labels, struct str key)
{
    for (size_t i = 0; labels && i < labels->n; i++)
        if (str_eq(labels->v[i].key, key))
            return &labels->v[i].value;
    return NULL;
}

static bool any_value(const struct term *t, struct str s, bool (*eq)(struct str want, struct str s))
{
    for (size_t i = 0; i < t->n_values; i++)
        if (eq(t->values[i], s))
            return true;
    return false;
}

static bool term_match(const struct term *t, const struct selectable *h)
{
    const struct str *label;

    switch (t->subject) {
    case SUBJECT_NAME:
        return any_value(t, h->name, glob_match) == (t->test != TEST_NE);
    case SUBJECT_ID:
        return any_value(t, h->uuid, str_eq_nocase) == (t->test != TEST_NE);
    case SUBJECT_STATUS:
        return any_value(t, h->status, t->test == TEST_GLOB ? glob_match : str_eq) == (t->test != TEST_NE);
    case SUBJECT_LABEL:
        break;
    }
    label = label_of(h->labels, t->key);
    switch (t->test) {
    case TEST_HAS:
        return label != NULL;
    case TEST_HAS_NOT:
        return label == NULL;
    case TEST_EQ:
        return label && any_value(t, *label, str_eq);
    case TEST_NE:
        return !label || !any_value(t, *label, str_eq);
    case TEST_GLOB:
        return label && any_value(t, *label, glob_match);
    }
    return false;
}

bool selector_match(const struct selector *s, const struct selectable *h)
{
    for (size_t i = 0; i < s->n_terms; i++)
        if (!term_match(&s->terms[i], h))
            return false;
    return true;
}

/* Only the newest '*' is ever retried: what an older one could still swallow, the newer one can too. That
 * bounds the work by length of pattern times length of text, without recursion. */
bool glob_match(struct str pattern, struct str s)
{
    size_t p = 0, i = 0, star = SIZE_MAX, mark = 0;

    while (i < s.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            mark = i;
        } else if (p < pattern.len && (pattern.ptr[p] == '?' || pattern.ptr[p] == s.ptr[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

/* NULL, or what keeps "key=value" from being a term that matches it. */
static const char *never_selected(struct str key, struct str value)
{
    if (subject_of(key) != SUBJECT_LABEL)
        return "name, id and status are no labels: in a selector they mean the host's own";
    if (str_find_char(value, ',') >= 0 || str_find_char(value, '|') >= 0)
        return "a value has no ',' and no '|': in a selector they separate";
    if (str_ends(value, STR(" ")))
        return "a value does not end with a space";
    return NULL;
}

int label_check(struct str key, struct str value, struct err *err)
{
    char path[65];
    const char *why;
    int r = 0;

    if (!is_key(key))
        r = err_set(err, -EINVAL, "label.bad", "a label's key is 1 to %d of letters, digits and . _ / -",
                    LIMIT_NAME);
    else if (value.len > LIMIT_LABEL_VALUE)
        r = err_set(err, -EINVAL, "label.bad", "the value of %.*s is longer than %d bytes", STR_FMT(key),
                    LIMIT_LABEL_VALUE);
    else if (!is_plain_value(value))
        r = err_set(err, -EINVAL, "label.bad", "the value of %.*s is not UTF-8 text without control characters",
                    STR_FMT(key));
    else if ((why = never_selected(key, value)))
        r = err_set(err, -EINVAL, "label.bad", "the label %.*s could never be selected: %s", STR_FMT(key), why);
    if (r < 0) {
        (void)str_copy(key, path, sizeof(path)); /* one too long for a name is left out */
        err_path(err, path);
    }
    return r;
}
