/* Timing caches: what is accepted can be searched, written, and read again as the same text. */
#include "backend/cuda/gemm_tiles.h"
#include "base/memory.h"
#include "model/tuning.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Every choice as the backends would use it. */
static void use(const clipc_choice_set *set)
{
    static const clipc_gemm_device device = {132, 90, true};
    clipc_gemm_tiles tiles;
    for (size_t i = 0; i < set->count; i++)
        if (clipc_choice_number(set, set->items[i].name, 2, 9, 2) > 9)
            abort();
    if (clipc_gemm_tiles_read(set, &tiles, NULL) == CLIPC_OK)
        for (size_t i = 0; i < tiles.count; i++) {
            const clipc_gemm_shape *shape = &tiles.items[i].shape;
            clipc_gemm_plan plan = {.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 128, .cluster = 1};
            if (shape->rows > 0 && shape->rows < 1 << 20 && shape->columns > 0 && shape->columns < 1 << 16)
                clipc_gemm_tiles_apply(&tiles, &device, shape, &plan);
        }
    clipc_gemm_tiles_free(&tiles);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_tuning *tuning = NULL;
    clipc_tuning *again = NULL;
    if (clipc_tuning_create(bytes, size, "fuzz", &tuning, NULL) != CLIPC_OK)
        return 0;
    for (size_t i = 0; i < tuning->count; i++)
        use(&tuning->sets[i]);
    char *text = clipc_tuning_text(tuning, false);
    if (!text || clipc_tuning_create(text, strlen(text), "again", &again, NULL) != CLIPC_OK)
        abort();
    char *same = clipc_tuning_text(again, false);
    if (!same || strcmp(text, same) != 0)
        abort();
    clipc_free(text);
    clipc_free(same);
    clipc_tuning_destroy(&again);
    clipc_tuning_destroy(&tuning);
    return 0;
}
