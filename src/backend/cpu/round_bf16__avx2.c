#include "backend/cpu/round_bf16.h"

#include <immintrin.h>

#define LANES 8

/* The rounded halves in the low 16 bits of each lane. A number that is not finite sets bits in *special. */
static inline __m256i round_lanes(__m256i bits, __m256i *special)
{
    const __m256i exponent = _mm256_set1_epi32(0x7F800000);
    const __m256i is_special = _mm256_cmpeq_epi32(_mm256_and_si256(bits, exponent), exponent);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i value = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
    const __m256i is_nan = _mm256_cmpgt_epi32(value, exponent);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    *special = _mm256_or_si256(*special, is_special);
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

bool clipc_round_bf16__avx2(const float *from, size_t count, uint16_t *to)
{
    __m256i special = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        const __m256i low = round_lanes(_mm256_loadu_si256((const __m256i *)(const void *)(from + i)), &special);
        const __m256i high =
            round_lanes(_mm256_loadu_si256((const __m256i *)(const void *)(from + i + LANES)), &special);
        /* The pack works within 128-bit halves: 0 2 1 3 puts the quarters in order. */
        const __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((__m256i *)(void *)(to + i), halves);
    }
    const bool finite = _mm256_testz_si256(special, special) != 0;
    return clipc_round_bf16__c(from + i, count - i, to + i) && finite;
}
