/* The comparison of two models as a web page, with pictures of where they differ. */
#ifndef CLIPC_TOOLS_COMPARE_REPORT_H
#define CLIPC_TOOLS_COMPARE_REPORT_H

#include "comparison.h"

/* `a`, `b` and `inputs` say in words what was compared. */
void compare_report_write(const char *path, const comparison *result, const comparison_limits *limits, const char *a,
                          const char *b, const char *inputs);

#endif
