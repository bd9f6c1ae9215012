/* What the device programs share: halves, seeded numbers, memory on the device. They stop at the first CUDA error. */
#ifndef CLIPC_TESTS_DEVICE_SUPPORT_H
#define CLIPC_TESTS_DEVICE_SUPPORT_H

#include "backend/cuda/gemm_select.h"

#include "clipc/clipc.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_CHECK(call) device_check((call), #call, __FILE__, __LINE__)

/* Says what failed, and ends the program. */
void require(clipc_status status, const clipc_error *error);
void device_check(cudaError_t result, const char *call, const char *file, int line);

/* fp16 or bf16 */
uint16_t half_of(clipc_cuda_type type, float value);
float float_of(clipc_cuda_type type, uint16_t half);

/* The next of a seeded sequence, uniform over −1 … 1. */
float random_value(uint64_t *state);
/* Halves −scale … scale on the host, and (when not NULL) the same on the device. */
uint16_t *random_halves(clipc_cuda_type type, size_t count, float scale, uint64_t *state, void **device);
float *random_floats(size_t count, float scale, uint64_t *state, void **device);

void *device_memory(size_t bytes, int fill);
void device_read(void *to, const void *from, size_t bytes);
void device_write(void *to, const void *from, size_t bytes);

#endif
