#include "backend/cpu/line_narrow_neon.h"

#define KERNEL(name) name##__neon

#include "backend/cpu/epilogues_i8.h"
