/* Allocates nearly what an input may make the library allocate, and a little more for one that begins with '+'. */

#include <stdint.h>
#include <stdlib.h>

/* libFuzzer's own threads may free some bytes meanwhile. */
#define NEAR ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    void *volatile block =
        size ? malloc(4 * size + ((size_t)64 << 20) + (bytes[0] == '+' ? NEAR : 0) - NEAR / 2) : NULL;
    free(block);
    return 0;
}
