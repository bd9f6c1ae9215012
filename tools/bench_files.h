/* Images and texts as a caller has them, which bench prepares for the network anew in every iteration. */
#ifndef CLIPC_TOOLS_BENCH_FILES_H
#define CLIPC_TOOLS_BENCH_FILES_H

#include "options.h"
#include "texts.h"

#include "clipc/clipc.h"

typedef struct bench_files {
    const clipc_model *model;
    clipc_image_options options;
    size_t threads; /* that decode the images of a batch */
    char **images;
    size_t image_count;
    text_list texts;
    size_t image_bytes; /* of one preprocessed image */
    bool as_bytes;      /* else floats */
    size_t context_length;
} bench_files;

/* Lists --image, or reads --text and --file. Quits when nothing is among them. */
void bench_files_create(bench_files *files, const tool_settings *settings, const clipc_model *model,
                        const clipc_model_info *info, bool text);
void bench_files_free(bench_files *files);

/* Reads, decodes and preprocesses images first … first+count-1, counted on past the last from the first, to `pixels`
 * [count, image_bytes]. Quits when one cannot be read. Any thread may call it. */
void bench_files_preprocess(const bench_files *files, size_t first, size_t count, void *pixels);
/* Tokenizes texts likewise: ids [count × context_length], offsets [count + 1]. */
void bench_files_tokenize(const bench_files *files, size_t first, size_t count, int32_t *ids, size_t *offsets);

#endif
