#include "io/bf16.h"
