#include "backend/cpu/line_narrow_avx2.h"

#define KERNEL(name) name##__avx2

#include "backend/cpu/epilogues_i8.h"
