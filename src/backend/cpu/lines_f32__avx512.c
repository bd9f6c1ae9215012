#include "backend/cpu/line_avx512.h"

#define KERNEL(name) name##__avx512

#include "backend/cpu/lines_f32.h"
