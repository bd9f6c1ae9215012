#include "backend/cpu/line_narrow_avx512.h"

#define KERNEL(name) name##__avx512_bf16

#include "backend/cpu/epilogues_i8.h"
