/* fuzz: fleet
 * tests/fuzz/fuzz_install_token.c - fleet/enroll.h: install tokens are pasted by people. */
#include "fleet/enroll.h"

#include <assert.h>

#include "fleet/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_bytes(data, size), code;
    uint8_t pin[32];
    struct err err = { 0 };

    if (install_token_parse(s, &code, pin, &err) == 0)
        assert(code.len >= 8 && code.len <= 64 && size == code.len + 1 + 7 + 64);
    else
        assert(err_is(&err));
    (void)api_token_has_shape(s);
    (void)user_name_is_acceptable(s);
    (void)password_is_acceptable(s);
    return 0;
}
