/* What became of the inputs of a command: a line for each failure, and the counts at the end. */
#ifndef CLIPC_TOOLS_REPORT_H
#define CLIPC_TOOLS_REPORT_H

#include "image_pipeline.h"

typedef struct input_report {
    size_t total;
    size_t failed;
    size_t skipped;
} input_report;

/* One image that is not ready, or whose embedding is not usable. What was skipped is named with --verbose only: a
 * directory may hold a file of another kind beside every image. */
void report_image(input_report *report, const char *path, image_outcome outcome, const char *reason);
/* One text, by its index from 0. */
void report_text(input_report *report, size_t index, const char *reason);
/* Says how many failed, how many were skipped, or that there was nothing. Returns the exit status. */
int report_end(const input_report *report);

#endif
