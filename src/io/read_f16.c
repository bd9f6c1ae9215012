#include "io/read_f16.h"

#include "base/cpu_features.h"

#include <stdatomic.h>
#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16. The exponent is rebiased by an integer addition; a subnormal becomes normal by subtracting the
 * bit that the addition implied, which never makes a subnormal float, so flush-to-zero modes do not matter. */
static float float_of_half(uint16_t half)
{
    const uint32_t exponent_mask = 0x1FU << 23;
    const uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
    const uint32_t exponent = magnitude & exponent_mask;
    const uint32_t rebiased = magnitude + (112U << 23);
    const uint32_t quiet = (uint32_t)((half & 0x7FFF) > 0x7C00) << 22;
    const uint32_t special = (rebiased + (112U << 23)) | quiet;
    const float subnormal = float_of_bits(rebiased + (1U << 23)) - float_of_bits(113U << 23);
    uint32_t subnormal_bits = 0;
    memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
    const uint32_t bits = exponent == exponent_mask ? special : exponent == 0 ? subnormal_bits : rebiased;
    return float_of_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

void clipc_read_f16__c(const uint8_t *bytes, size_t count, float *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = 0;
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = float_of_half(half);
    }
}

/* The level found is kept: asking the processor takes longer than a row. Threads that race find the same. An unknown
 * name in CLIPC_CPU is for the engine to report. */
static clipc_read_f16_function best_version(void)
{
    static _Atomic(clipc_read_f16_function) known;
    clipc_read_f16_function version = atomic_load_explicit(&known, memory_order_relaxed);
    if (!version) {
        clipc_cpu_level level = CLIPC_CPU_C;
        version = clipc_read_f16__c;
#if defined(__x86_64__)
        if (clipc_cpu_level_detect(&level, NULL) == CLIPC_OK && level >= CLIPC_CPU_AVX2)
            version = clipc_read_f16__avx2;
#endif
        (void)level;
        atomic_store_explicit(&known, version, memory_order_relaxed);
    }
    return version;
}

void clipc_read_f16(const uint8_t *bytes, size_t count, float *out)
{
    best_version()(bytes, count, out);
}
