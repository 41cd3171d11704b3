/* agent/dialects/grapheon_manifest.c - a release's manifest and the key it is signed with, as text. Pure. See grapheon_release.h. */
#include <errno.h>

#include "agent/dialects/grapheon_release.h"
#include "base/text.h"
#include "fleet/report.h"

#define FIRST_WORDS "grapheon-agent release manifest "

static int bad(struct err *err, size_t line, const char *what)
{
    return err_set(err, -EBADMSG, "release.manifest", "line %zu of the manifest: %s", line, what);
}

/* A name is opened beside the manifest and told to people: nothing that leads elsewhere or looks like an option. */
static bool is_name(struct str s)
{
    static const char others[] = "._+~-";

    for (size_t i = 0; i < s.len; i++)
        if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') && !(s.ptr[i] >= 'a' && s.ptr[i] <= 'z') &&
            !(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') && !memchr(others, s.ptr[i], sizeof(others) - 1))
            return false;
    return s.len > 0 && s.len <= RELEASE_NAME_MAX && s.ptr[0] != '.' && s.ptr[0] != '-';
}

static const char *read_row(struct str line, struct release_manifest *m)
{
    struct str hash = str_sub(line, 0, SHA256_LEN * 2), size, name;
    struct release_file *f = &m->files[m->n];

    if (m->n == RELEASE_FILES_MAX)
        return "too many files";
    if (hex_decode(hash, f->sha256, SHA256_LEN) < 0)
        return "no SHA-256";
    line = str_sub(line, hash.len, SIZE_MAX);
    if (!str_starts(line, STR("  ")))
        return "two blanks are missing behind the hash";
    line = str_sub(line, 2, SIZE_MAX);
    (void)str_cut(&line, ' ', &size);
    if (str_to_u64(size, &f->n_bytes) < 0)
        return "no size";
    if (!str_starts(line, STR(" ")))
        return "two blanks are missing behind the size";
    name = str_sub(line, 1, SIZE_MAX);
    if (!is_name(name))
        return "no name of a file";
    for (size_t i = 0; i < m->n; i++)
        if (str_is(name, m->files[i].name))
            return "a file is named twice";
    (void)str_copy(name, f->name, sizeof(f->name));
    m->n++;
    return NULL;
}

bool release__is_manifest(struct str text)
{
    return str_starts(text, STR(FIRST_WORDS));
}

int release__manifest(struct str text, struct release_manifest *ret, struct err *err)
{
    struct str line;

    *ret = (struct release_manifest){ 0 };
    if (text.len == 0 || text.len > RELEASE_MANIFEST_BYTES || text.ptr[text.len - 1] != '\n')
        return err_set(err, -EBADMSG, "release.manifest", "the manifest is empty, cut off or larger than %d bytes",
                       RELEASE_MANIFEST_BYTES);
    text.len--; /* the last line's end ends no other */
    for (size_t n = 1; str_cut(&text, '\n', &line); n++) {
        const char *what = NULL;

        if (n == 1)
            what = str_is(line, FIRST_WORDS "1") ? NULL : "not a manifest this program can read";
        else if (n > 2)
            what = read_row(line, ret);
        else if (!str_starts(line, STR("version ")) || !report_version_fits(str_sub(line, 8, SIZE_MAX)))
            what = "no version";
        else
            (void)str_copy(str_sub(line, 8, SIZE_MAX), ret->version, sizeof(ret->version));
        if (what)
            return bad(err, n, what);
    }
    return ret->n > 0 ? 0 : bad(err, 3, "no file is named");
}

int release__key(struct str text, uint8_t ret[32])
{
    /* SubjectPublicKeyInfo of Ed25519 up to the key, RFC 8410, section 4 */
    static const uint8_t head[12] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
    AUTO(buf_done) struct buf b = BUF(64);
    struct str line, word = STR_NONE;

    while (str_cut(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0 || str_is(line, "-----BEGIN PUBLIC KEY-----") || str_is(line, "-----END PUBLIC KEY-----"))
            continue;
        if (word.len > 0)
            return -EINVAL;
        word = line;
    }
    if (base64_decode(&b, word) < 0)
        return -EINVAL;
    if (b.len == sizeof(head) + 32 && memcmp(b.ptr, head, sizeof(head)) == 0)
        memcpy(ret, (const char *)b.ptr + sizeof(head), 32);
    else if (b.len == 32)
        memcpy(ret, b.ptr, 32);
    else
        return -EINVAL;
    return 0;
}
