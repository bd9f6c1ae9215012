#include "io/read_f16.h"

#include <immintrin.h>
#include <string.h>

void clipc_read_f16__avx2(const uint8_t *bytes, size_t count, float *out)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(bytes + 2 * i))));
    if (i == count)
        return;
    uint8_t last[16] = {0};
    float values[8];
    memcpy(last, bytes + 2 * i, 2 * (count - i));
    _mm256_storeu_ps(values, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)last)));
    memcpy(out + i, values, (count - i) * sizeof *out);
}
