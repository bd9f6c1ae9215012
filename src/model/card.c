/* The model card: a text for people that goes where the model goes. */
#include "model/model.h"

#include <limits.h>
#include <stdio.h>

#define MAX_CARD ((size_t)16 << 20)

clipc_status clipc_model_open_card(const clipc_model *model, clipc_mapped_file *out, bool *found, clipc_error *error)
{
    static const char *const names[] = {"README.md", "CARD.md"};
    *out = (clipc_mapped_file){0};
    *found = false;
    if (model->engine_file) {
        const clipc_section *card = clipc_engine_file_find(model->engine_file, names[0], 0);
        *found = card != NULL;
        if (card)
            *out = (clipc_mapped_file){.bytes = card->bytes, .size = card->size};
        return CLIPC_OK;
    }
    for (size_t i = 0; i < 2 && model->directory; i++) {
        char path[PATH_MAX];
        const int length = snprintf(path, sizeof path, "%s/%s", model->directory, names[i]);
        if (length < 0 || length >= PATH_MAX)
            break;
        const clipc_status status = clipc_mapped_file_open(path, MAX_CARD, out, error);
        if (status == CLIPC_ERROR_NOT_FOUND)
            continue;
        *found = status == CLIPC_OK;
        return status;
    }
    return CLIPC_OK;
}
