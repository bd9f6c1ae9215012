/* The HTML page of classify --html: one file with everything in it. */
#ifndef CLIPC_TOOLS_RESULT_SHEET_H
#define CLIPC_TOOLS_RESULT_SHEET_H

#include "image_pipeline.h"
#include "ranking.h"

typedef struct result_sheet result_sheet;

result_sheet *result_sheet_open(const char *path);
/* `precision` is the engine's; `templates` are those the labels were put into. */
void result_sheet_start(result_sheet *sheet, const clipc_model_info *model, const char *precision,
                        const string_list *templates, size_t label_count);
void result_sheet_add(result_sheet *sheet, const image_item *item, const ranked_label *ranked, size_t count);
void result_sheet_add_missing(result_sheet *sheet, const image_item *item, const char *reason);
/* Completes the page and gives the file its name. */
void result_sheet_finish(result_sheet **sheet);

#endif
