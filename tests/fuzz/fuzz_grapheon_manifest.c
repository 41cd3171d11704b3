/* fuzz: dialects
 * The manifest of a release, and the public key it is signed with. */
#include <assert.h>

#include "agent/dialects/grapheon_release.h"
#include "fleet/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_bytes(data, n);
    struct release_manifest m;
    struct err err = { 0 };
    uint8_t key[32];

    if (release__manifest(text, &m, &err) == 0) {
        assert(release__is_manifest(text) && report_version_fits(str_of(m.version)));
        assert(m.n > 0 && m.n <= RELEASE_FILES_MAX && n <= RELEASE_MANIFEST_BYTES);
        for (size_t i = 0; i < m.n; i++)
            assert(m.files[i].name[0] && m.files[i].name[0] != '.' && !strchr(m.files[i].name, '/'));
    } else {
        assert(err_is(&err));
    }
    (void)release__key(text, key);
    return 0;
}
