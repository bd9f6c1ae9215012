#include "backend/cpu/line_narrow_c.h"

#define KERNEL(name) name##__c

#include "backend/cpu/epilogues_i8.h"
