/* The loop of every peak_<dtype>__<isa>.c: one load from the first-level cache feeds SUMS multiply-adds, as the rows
 * of a GEMM tile share a line of weights. The file defines KERNEL (its function's name), `operand` and `sum` (types of
 * LANES units each), multiply_add(x, y, sum) and OPERATIONS, of one multiply_add. The sums begin with what the
 * compiler cannot know, else it might see that all are the same and compute one. */
#include "backend/cpu/peaks.h"
#include "backend/cpu/unroll.h"

#define STEPS (CLIPC_PEAK_UNITS / LANES)

double KERNEL(size_t repeats, const void *operands, void *sums)
{
    const operand *lines = operands;
    const operand fixed = lines[0];
    sum totals[SUMS];
    CLIPC_UNROLL
    for (size_t i = 0; i < SUMS; i++)
        totals[i] = ((const sum *)sums)[i];
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        for (size_t step = 0; step < STEPS; step++) {
            const operand line = lines[step];
            CLIPC_UNROLL
            for (size_t i = 0; i < SUMS; i++)
                totals[i] = multiply_add(fixed, line, totals[i]);
        }
    }
    CLIPC_UNROLL
    for (size_t i = 0; i < SUMS; i++)
        ((sum *)sums)[i] = totals[i];
    return (double)repeats * STEPS * SUMS * OPERATIONS;
}
