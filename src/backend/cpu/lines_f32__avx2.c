#include "backend/cpu/line_avx2.h"

#define KERNEL(name) name##__avx2

#include "backend/cpu/lines_f32.h"
