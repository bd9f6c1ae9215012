/* For byte products of two operands of one sign. Weights are taken for unsigned by inverting their highest bit, which
 * adds 128 to each, and 128 times what a row adds up to is taken from its sums: Σ a b = Σ a (b + 128) - 128 Σ a,
 * exact in arithmetic that wraps. */
#ifndef CLIPC_BACKEND_CPU_SHIFTED_WEIGHTS_NEON_H
#define CLIPC_BACKEND_CPU_SHIFTED_WEIGHTS_NEON_H

#include "backend/cpu/packed_rows.h"

#include <arm_neon.h>
#include <stdint.h>

static inline uint8x16_t load_shifted_weights(const uint32_t *from)
{
    return veorq_u8(vreinterpretq_u8_u32(vld1q_u32(from)), vdupq_n_u8(0x80));
}

/* Turns the sums of shifted weights into those of the weights. */
static inline void take_shift(size_t rows, size_t columns, size_t blocks, const uint32_t *a, uint32_t *sums,
                              size_t stride)
{
    const size_t line_bytes = CLIPC_BLOCK * sizeof *a;
    for (size_t i = 0; i < rows; i++) {
        uint32_t total = 0;
        for (size_t block = 0; block < blocks; block++) {
            const uint8_t *bytes = (const uint8_t *)(const void *)(a + (block * rows + i) * CLIPC_BLOCK);
            for (size_t k = 0; k < line_bytes; k++)
                total += bytes[k];
        }
        for (size_t j = 0; j < columns; j++)
            sums[i * stride + j] -= 128 * total;
    }
}

#endif
