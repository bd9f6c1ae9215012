#include "backend/cpu/line_narrow_neon.h"

#define KERNEL(name) name##__neon_bf16

#include "backend/cpu/lines_bf16.h"
