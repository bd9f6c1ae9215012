/* The kernels of e4m3 and s8 against plain C. */
#ifndef CLIPC_TESTS_CHECK_BYTES_H
#define CLIPC_TESTS_CHECK_BYTES_H

#include "backend/cuda/gemm_select.h"

/* Every product of bytes, and the steps that make bytes. Prints a line each; returns how many were wrong. */
int check_bytes(const clipc_gemm_device *device);

#endif
