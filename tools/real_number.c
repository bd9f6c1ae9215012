#include "real_number.h"

#include "message.h"

#include <math.h>
#include <stdlib.h>

double real_number(const char *name, const char *text, double minimum, double maximum)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        quit(STATUS_USAGE, "--%s: '%s' is not a number", name, text);
    if (value < minimum || value > maximum)
        quit(STATUS_USAGE, "--%s: %s is out of range (%g to %g)", name, text, minimum, maximum);
    return value;
}
