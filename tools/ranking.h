/* The labels of one image in order of their scores, and the shapes this takes. */
#ifndef CLIPC_TOOLS_RANKING_H
#define CLIPC_TOOLS_RANKING_H

#include "texts.h"

#include "clipc/clipc.h"

#include <jansson.h>

typedef struct ranked_label {
    const char *label; /* may be any bytes that the tokenizer took: UTF-8 */
    size_t index;
    float score;
    float similarity;
} ranked_label;

/* Fills ranked[labels->count], best first; labels of equal score keep their order. Scores are what
 * the model was trained for. `scores` has room for as many. */
void rank_labels(const text_list *labels, const float *similarities, const clipc_model_info *info, float *scores,
                 ranked_label *ranked);

/* {"image":…,"precision":…,"results":[{"label","score","similarity"}]} */
json_t *ranking_to_json(const char *image, const char *precision, const ranked_label *ranked, size_t count);

/* How rankings are printed for people: set up once. */
typedef struct ranking_style {
    bool colours;
    bool ascii; /* the locale names a character set other than UTF-8 */
    size_t label_columns;
    size_t bar_columns;
} ranking_style;

ranking_style ranking_style_for(const text_list *labels);
/* The image's name, then a line a label: label, bar, percentage, cosine similarity. */
void ranking_print(const ranking_style *style, const char *image, const ranked_label *ranked, size_t count);

#endif
