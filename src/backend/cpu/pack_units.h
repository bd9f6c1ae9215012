/* Rows into panels: what packs weights, and keys and values for attention. */
#ifndef CLIPC_BACKEND_CPU_PACK_UNITS_H
#define CLIPC_BACKEND_CPU_PACK_UNITS_H

#include "backend/cpu/packed_rows.h"

#include <stdint.h>

/* to[k × columns + j] = from[j × stride + k] for `count` rows j and `inner` units k. What is beyond, up to `columns`
 * (a multiple of 16) and whole blocks of k, becomes 0. The bits need not be a float's. */
typedef void (*clipc_pack_units)(const float *from, size_t stride, size_t count, size_t inner, size_t columns,
                                 float *to);

/* Values of 16 bits, two rows to a unit: the lower half of to[k × columns + j] is from[2 k × stride + j], the upper
 * that of row 2 k + 1, for `count` rows and `width` ≤ columns (a multiple of 16) columns. What is beyond, up to whole
 * blocks of k, becomes 0. */
typedef void (*clipc_pack_pairs)(const uint16_t *from, size_t stride, size_t count, size_t width, size_t columns,
                                 uint32_t *to);

void clipc_pack_units__c(const float *from, size_t stride, size_t count, size_t inner, size_t columns, float *to);
void clipc_pack_units__avx512(const float *from, size_t stride, size_t count, size_t inner, size_t columns, float *to);
void clipc_pack_pairs__c(const uint16_t *from, size_t stride, size_t count, size_t width, size_t columns,
                         uint32_t *to);
void clipc_pack_pairs__avx512(const uint16_t *from, size_t stride, size_t count, size_t width, size_t columns,
                              uint32_t *to);

#endif
