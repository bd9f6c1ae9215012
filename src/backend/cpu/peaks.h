/* What the processor can do at most, measured by loops of the very instructions that the GEMM kernels are made of. */
#ifndef CLIPC_BACKEND_CPU_PEAKS_H
#define CLIPC_BACKEND_CPU_PEAKS_H

#include "base/cpu_features.h"
#include "base/thread_pool.h"

#include "clipc/clipc.h"

#include <stddef.h>

/* Units of 32 bits that the loops read: small enough for any first-level cache. */
#define CLIPC_PEAK_UNITS 1024

/* Multiplies and adds the CLIPC_PEAK_UNITS units of `operands`, over and over, to independent sums that stay in
 * registers in between; `sums` has CLIPC_PEAK_UNITS units. Both are aligned to CLIPC_ALIGNMENT. Returns the operations
 * done: two for each product. */
typedef double (*clipc_peak)(size_t repeats, const void *operands, void *sums);

double clipc_peak_f32__c(size_t repeats, const void *operands, void *sums);
double clipc_peak_f32__avx2(size_t repeats, const void *operands, void *sums);
double clipc_peak_f32__avx512(size_t repeats, const void *operands, void *sums);
double clipc_peak_f32__neon(size_t repeats, const void *operands, void *sums);
double clipc_peak_bf16__avx512_bf16(size_t repeats, const void *operands, void *sums);
double clipc_peak_bf16__neon_bf16(size_t repeats, const void *operands, void *sums);
double clipc_peak_int8__avx512_vnni(size_t repeats, const void *operands, void *sums);
double clipc_peak_int8__neon_dotprod(size_t repeats, const void *operands, void *sums);

/* Fills all but peaks->size, on the pool's threads and with the instructions of `level`. Takes about half a second and
 * 256 MiB. */
clipc_status clipc_measure_peaks(clipc_cpu_level level, clipc_thread_pool *pool, clipc_peaks *peaks,
                                 clipc_error *error);

#endif
