#include "io/half.h"
