#include "backend/cpu/line_narrow_c.h"

#define KERNEL(name) name##__c

#include "backend/cpu/lines_i8.h"
