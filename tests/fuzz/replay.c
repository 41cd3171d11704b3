/* tests/fuzz/replay.c - runs a fuzz target over the files given, so that a corpus is a normal test (no fuzzing engine). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        uint8_t *data = malloc(1 << 20);
        size_t n;

        if (!f || !data) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        n = fread(data, 1, 1 << 20, f);
        (void)fclose(f);
        (void)LLVMFuzzerTestOneInput(data, n);
        free(data);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
