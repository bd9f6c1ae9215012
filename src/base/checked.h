/* Size arithmetic on numbers that come from files: each returns false, and leaves *out alone, on overflow. */
#ifndef CLIPC_BASE_CHECKED_H
#define CLIPC_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool clipc_multiply(size_t a, size_t b, size_t *out)
{
    size_t product = 0;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline bool clipc_add(size_t a, size_t b, size_t *out)
{
    size_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

/* `value` rounded up to a multiple of `step` (a power of two). Only for sizes already known to be small. */
static inline size_t clipc_round_up(size_t value, size_t step)
{
    return (value + step - 1) & ~(step - 1);
}

static inline size_t clipc_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t clipc_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
