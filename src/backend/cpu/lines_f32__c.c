#include "backend/cpu/line_c.h"

#define KERNEL(name) name##__c

#include "backend/cpu/lines_f32.h"
