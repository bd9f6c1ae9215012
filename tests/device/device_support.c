#include "device_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void device_check(cudaError_t result, const char *call, const char *file, int line)
{
    if (result == cudaSuccess)
        return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString(result));
    exit(3);
}

static uint16_t bf16_of(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t below = bits & 0xFFFF;
    const uint32_t above = bits >> 16;
    const int up = below > 0x8000 || (below == 0x8000 && above % 2);
    return (uint16_t)(isnan(value) ? above | 0x40 : above + (up ? 1 : 0));
}

uint16_t half_of(clipc_cuda_type type, float value)
{
    if (type == CLIPC_CUDA_BF16)
        return bf16_of(value);
    const float absolute = fabsf(value);
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value))
        return 0x7E00;
    if (absolute < 0x1p-14F)
        return (uint16_t)(sign | (uint16_t)lrintf(absolute * 0x1p24F));
    int exponent = 0;
    const float mantissa = frexpf(absolute, &exponent); /* 0.5 … 1 */
    const long digits = lrintf(mantissa * 2048.0F);     /* 1024 … 2048, which carries into the exponent */
    const long bits = (long)(exponent + 13) * 1024 + digits;
    return (uint16_t)(sign | (bits >= 0x7C00 ? 0x7C00 : (uint16_t)bits));
}

float float_of(clipc_cuda_type type, uint16_t half)
{
    if (type == CLIPC_CUDA_BF16) {
        const uint32_t bits = (uint32_t)half << 16;
        float value = 0;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const int exponent = half >> 10 & 31;
    const float mantissa = (float)(half & 1023);
    float value = exponent ? ldexpf(1024.0F + mantissa, exponent - 25) : ldexpf(mantissa, -24);
    if (exponent == 31)
        value = half & 1023 ? NAN : INFINITY;
    return half & 0x8000 ? -value : value;
}

float random_value(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15U; /* splitmix64, Steele, Lea & Flood 2014 */
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    return (float)((double)(z >> 40) / 8388608.0 - 1.0);
}

void *device_memory(size_t bytes, int fill)
{
    void *memory = NULL;
    DEVICE_CHECK(cudaMalloc(&memory, bytes ? bytes : 1));
    DEVICE_CHECK(cudaMemset(memory, fill, bytes));
    return memory;
}

void device_read(void *to, const void *from, size_t bytes)
{
    DEVICE_CHECK(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

void device_write(void *to, const void *from, size_t bytes)
{
    DEVICE_CHECK(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

static void *host_memory(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(3);
    }
    return memory;
}

uint16_t *random_halves(clipc_cuda_type type, size_t count, float scale, uint64_t *state, void **device)
{
    uint16_t *values = host_memory(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = half_of(type, scale * random_value(state));
    if (device) {
        *device = device_memory(count * sizeof *values, 0);
        device_write(*device, values, count * sizeof *values);
    }
    return values;
}

float *random_floats(size_t count, float scale, uint64_t *state, void **device)
{
    float *values = host_memory(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = scale * random_value(state);
    if (device) {
        *device = device_memory(count * sizeof *values, 0);
        device_write(*device, values, count * sizeof *values);
    }
    return values;
}

void require(clipc_status status, const clipc_error *error)
{
    if (status == CLIPC_OK)
        return;
    printf("FAILED: %s\n", error->message);
    exit(3);
}
