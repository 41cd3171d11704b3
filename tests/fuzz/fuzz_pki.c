/* fuzz: base - certificate requests, certificates and keys in PEM. */
#include <stdint.h>
#include <stdlib.h>

#include "base/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t spki[SHA256_LEN];
    struct pki_cert c;
    struct err err = { 0 };
    struct str in = str_bytes(data, n);
    int r = pki_csr_check(in, spki, &err);
    if ((r < 0) != err_is(&err))
        abort();
    (void)pki_cert_read(in, &c, NULL);
    char *pem = str_dup(in);
    (void)pki_key_spki(pem, spki);
    free(pem);
    return 0;
}
