/* What a line of line_neon.h needs for results narrower than fp32; see lines_bf16.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_NARROW_NEON_H
#define CLIPC_BACKEND_CPU_LINE_NARROW_NEON_H

#include "backend/cpu/line_neon.h"

#include <stdint.h>

static inline line line_load_bf16(const uint16_t *from)
{
    const uint16x8_t low = vld1q_u16(from);
    const uint16x8_t high = vld1q_u16(from + 8);
    return (line){{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(low), 16)),
                   vreinterpretq_f32_u32(vshll_high_n_u16(low, 16)),
                   vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(high), 16)),
                   vreinterpretq_f32_u32(vshll_high_n_u16(high, 16))}};
}

/* Eight values rounded to bf16. */
static inline uint16x8_t narrow_eight(float32x4_t low, float32x4_t high)
{
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(low), high));
#else
    const float32x4_t parts[2] = {low, high};
    uint32x4_t rounded[2];
    for (int i = 0; i < 2; i++) {
        const uint32x4_t bits = vreinterpretq_u32_f32(parts[i]);
        const uint32x4_t even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
        const uint32x4_t nearest = vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7FFF)));
        const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x00400000));
        rounded[i] = vbslq_u32(vceqq_f32(parts[i], parts[i]), nearest, quiet);
    }
    return vshrn_high_n_u32(vshrn_n_u32(rounded[0], 16), rounded[1], 16);
#endif
}

static inline void line_store_bf16(uint16_t *to, line a)
{
    vst1q_u16(to, narrow_eight(a.part[0], a.part[1]));
    vst1q_u16(to + 8, narrow_eight(a.part[2], a.part[3]));
}

/* 1 / a to 11 bits or more: the estimate has 8, and each step doubles them. */
static inline line line_reciprocal(line a)
{
    for (int i = 0; i < 4; i++) {
        const float32x4_t estimate = vrecpeq_f32(a.part[i]);
        a.part[i] = vmulq_f32(estimate, vrecpsq_f32(a.part[i], estimate));
    }
    return a;
}

/* To the nearest whole number, ties to even. */
static inline line line_round(line a)
{
    for (int i = 0; i < 4; i++)
        a.part[i] = vrndnq_f32(a.part[i]);
    return a;
}

/* Four lines to 64 bytes, round(x × inverse) + zero, limited to 0 … 255; what is not a number may become any. */
static inline void line_store_quantized(void *to, const line x[4], float inverse, int32_t zero)
{
    const float32x4_t factor = vdupq_n_f32(inverse);
    const int16x8_t shift = vdupq_n_s16((int16_t)zero);
    for (int i = 0; i < 4; i++) {
        int16x4_t whole[4];
        for (int j = 0; j < 4; j++)
            whole[j] = vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(x[i].part[j], factor)));
        const int16x8_t low = vqaddq_s16(vcombine_s16(whole[0], whole[1]), shift);
        const int16x8_t high = vqaddq_s16(vcombine_s16(whole[2], whole[3]), shift);
        vst1q_u8((uint8_t *)to + 16 * i, vqmovun_high_s16(vqmovun_s16(low), high));
    }
}

/* The largest of many halves, as signed and as unsigned integers, 32 at a time. */
typedef struct line_extremes {
    int16x8_t most_signed;
    uint16x8_t most;
} line_extremes;

static inline line_extremes line_extremes_set(int16_t most_signed, uint16_t most)
{
    return (line_extremes){vdupq_n_s16(most_signed), vdupq_n_u16(most)};
}

static inline line_extremes line_extremes_add(line_extremes a, const uint16_t *from)
{
    for (int i = 0; i < 4; i++) {
        const uint16x8_t halves = vld1q_u16(from + 8 * i);
        a.most_signed = vmaxq_s16(a.most_signed, vreinterpretq_s16_u16(halves));
        a.most = vmaxq_u16(a.most, halves);
    }
    return a;
}

static inline void line_extremes_get(line_extremes a, int16_t *most_signed, uint16_t *most)
{
    *most_signed = vmaxvq_s16(a.most_signed);
    *most = vmaxvq_u16(a.most);
}

/* sums - zero × integers, as floats. */
static inline line line_corrected_sum(const int32_t *sums, const int32_t *integers, int32_t zero)
{
    const uint32x4_t zeros = vdupq_n_u32((uint32_t)zero);
    line a;
    for (int i = 0; i < 4; i++) {
        const uint32x4_t sum = vreinterpretq_u32_s32(vld1q_s32(sums + 4 * i));
        const uint32x4_t integer = vreinterpretq_u32_s32(vld1q_s32(integers + 4 * i));
        a.part[i] = vcvtq_f32_s32(vreinterpretq_s32_u32(vmlsq_u32(sum, integer, zeros)));
    }
    return a;
}

#endif
