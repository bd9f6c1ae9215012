typedef float operand;
typedef float sum;

#define KERNEL     clipc_peak_f32__c
#define LANES      1
#define SUMS       8
#define OPERATIONS 2.0

static inline sum multiply_add(operand x, operand y, sum total)
{
    return total + x * y;
}

#include "backend/cpu/peak_loop.h"
