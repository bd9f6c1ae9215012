#include "backend/cpu/line_neon.h"

#define KERNEL(name) name##__neon

#include "backend/cpu/lines_f32.h"
