#include "backend/cpu/line_narrow_avx2.h"

#define KERNEL(name) name##__avx2

#include "backend/cpu/lines_i8.h"
