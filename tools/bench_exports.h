/* The files that clipc bench writes. */
#ifndef CLIPC_TOOLS_BENCH_EXPORTS_H
#define CLIPC_TOOLS_BENCH_EXPORTS_H

#include "bench_result.h"
#include "output.h"

typedef struct bench_exports {
    const tool_settings *settings;
    output_file *times; /* these are NULL when not asked for */
    output_file *profile;
    output_file *layers;
    json_t *measured; /* array, for times */
    json_t *profiled;
    float *images; /* [image_count, D]: of the largest batch */
    size_t image_count;
    float *texts;
    size_t text_count;
    size_t dimension;
} bench_exports;

/* Opens the files, as what cannot be written should be known before anything is measured. */
void bench_exports_open(bench_exports *exports, const tool_settings *settings);
/* Takes note of one measurement; for --export-output it encodes the first batch once more. */
void bench_exports_add(bench_exports *exports, const bench_result *result);
/* Writes the files. */
void bench_exports_close(bench_exports *exports, const clipc_model *model);

#endif
