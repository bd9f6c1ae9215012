/* fp16 to fp32, the one conversion of a start that is worth an instruction set. */
#ifndef CLIPC_IO_READ_F16_H
#define CLIPC_IO_READ_F16_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = the binary16 at bytes + 2 i, which may be unaligned. Exact; a signalling NaN becomes quiet and keeps its
 * payload, so every version gives the same bits. */
typedef void (*clipc_read_f16_function)(const uint8_t *bytes, size_t count, float *out);

void clipc_read_f16__c(const uint8_t *bytes, size_t count, float *out);
#if defined(__x86_64__)
void clipc_read_f16__avx2(const uint8_t *bytes, size_t count, float *out);
#endif

/* By the best version for this processor. */
void clipc_read_f16(const uint8_t *bytes, size_t count, float *out);

#endif
