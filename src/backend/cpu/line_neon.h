/* A line of 16 floats in four NEON registers; see lines_f32.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_NEON_H
#define CLIPC_BACKEND_CPU_LINE_NEON_H

#include <arm_neon.h>
#include <stddef.h>

typedef struct line {
    float32x4_t part[4];
} line;

/* Defines a function of two lines by what it does to four lanes. */
#define LINE_OF_TWO(name, four)                                                                                       \
    static inline line name(line a, line b)                                                                           \
    {                                                                                                                 \
        for (int i = 0; i < 4; i++)                                                                                   \
            a.part[i] = four(a.part[i], b.part[i]);                                                                   \
        return a;                                                                                                     \
    }

/* The second where one is not a number, as on x86: the instructions for max and min give back what is not. */
static inline float32x4_t line_four_max(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t line_four_min(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

LINE_OF_TWO(line_add, vaddq_f32)
LINE_OF_TWO(line_subtract, vsubq_f32)
LINE_OF_TWO(line_multiply, vmulq_f32)
LINE_OF_TWO(line_divide, vdivq_f32)
LINE_OF_TWO(line_max, line_four_max)
LINE_OF_TWO(line_min, line_four_min)

static inline line line_load(const float *from)
{
    return (line){{vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8), vld1q_f32(from + 12)}};
}

static inline void line_store(float *to, line a)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(to + 4 * i, a.part[i]);
}

static inline line line_set(float value)
{
    const float32x4_t four = vdupq_n_f32(value);
    return (line){{four, four, four, four}};
}

static inline line line_multiply_add(line a, line b, line c)
{
    for (int i = 0; i < 4; i++)
        c.part[i] = vfmaq_f32(c.part[i], a.part[i], b.part[i]);
    return c;
}

static inline line line_absolute(line a)
{
    for (int i = 0; i < 4; i++)
        a.part[i] = vabsq_f32(a.part[i]);
    return a;
}

static inline line line_select_negative(line sign, line a, line b)
{
    for (int i = 0; i < 4; i++)
        a.part[i] = vbslq_f32(vcltzq_f32(sign.part[i]), a.part[i], b.part[i]);
    return a;
}

/* Ones in those of lanes 4 × part … 4 × part + 3 that are among the first `count`. */
static inline uint32x4_t line_first_lanes(size_t count, int part)
{
    static const uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vcltq_u32(vld1q_u32(lanes + 4 * part), vdupq_n_u32(count < 16 ? (uint32_t)count : 16));
}

static inline line line_keep(line a, size_t count)
{
    for (int i = 0; i < 4; i++)
        a.part[i] = vbslq_f32(line_first_lanes(count, i), a.part[i], vdupq_n_f32(0.0f));
    return a;
}

/* Reads the whole line: there are no masked loads, and the lines of every array are whole. */
static inline line line_load_first(const float *from, size_t count, float rest)
{
    line a = line_load(from);
    for (int i = 0; i < 4; i++)
        a.part[i] = vbslq_f32(line_first_lanes(count, i), a.part[i], vdupq_n_f32(rest));
    return a;
}

/* 2 to the power of whole numbers from -126 to 127, by way of the exponent's bits. */
static inline line line_power_of_two(line a)
{
    for (int i = 0; i < 4; i++) {
        const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(a.part[i]), vdupq_n_s32(127));
        a.part[i] = vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
    }
    return a;
}

/* Halves are joined in the order 8, 4, 2, 1 at every level. */
static inline float line_sum(line a)
{
    const float32x4_t four = vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

static inline float line_largest(line a)
{
    const float32x4_t four = line_four_max(line_four_max(a.part[0], a.part[2]), line_four_max(a.part[1], a.part[3]));
    float lanes[4];
    vst1q_f32(lanes, four);
    const float first = lanes[0] > lanes[2] ? lanes[0] : lanes[2];
    const float second = lanes[1] > lanes[3] ? lanes[1] : lanes[3];
    return first > second ? first : second;
}

#endif
