/* Rounding rows of weights to bf16 while they are packed. */
#ifndef CLIPC_BACKEND_CPU_ROUND_BF16_H
#define CLIPC_BACKEND_CPU_ROUND_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rounds `count` floats to nearest even, bit for bit as clipc_bf16_of_float does; returns whether all were finite. */
typedef bool (*clipc_round_bf16)(const float *from, size_t count, uint16_t *to);

bool clipc_round_bf16__c(const float *from, size_t count, uint16_t *to);
bool clipc_round_bf16__avx2(const float *from, size_t count, uint16_t *to);
bool clipc_round_bf16__neon(const float *from, size_t count, uint16_t *to);

#endif
