#include "backend/cpu/round_bf16.h"

#include <arm_neon.h>

#define LANES 4

/* The rounded halves of four numbers. One that is not finite sets bits in *special. */
static inline uint16x4_t round_lanes(uint32x4_t bits, uint32x4_t *special)
{
    const uint32x4_t exponent = vdupq_n_u32(0x7F800000);
    const uint32x4_t is_special = vceqq_u32(vandq_u32(bits, exponent), exponent);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    const uint32x4_t is_nan = vcgtq_u32(vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF)), exponent);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x00400000));
    *special = vorrq_u32(*special, is_special);
    return vshrn_n_u32(vbslq_u32(is_nan, quiet, rounded), 16);
}

bool clipc_round_bf16__neon(const float *from, size_t count, uint16_t *to)
{
    uint32x4_t special = vdupq_n_u32(0);
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        vst1_u16(to + i, round_lanes(vreinterpretq_u32_f32(vld1q_f32(from + i)), &special));
    const bool finite = vmaxvq_u32(special) == 0;
    return clipc_round_bf16__c(from + i, count - i, to + i) && finite;
}
