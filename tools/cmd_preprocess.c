/* clipc preprocess: what the network sees. */
#include "commands.h"

#include "conflicts.h"
#include "image_pipeline.h"
#include "message.h"
#include "npy_writer.h"
#include "progress.h"
#include "session.h"

static const char *const synopsis[] = {
    "preprocess [--model DIR] IMAGE|DIR|@LIST|-... -o OUT.npy",
    NULL,
};

static const char *const examples[] = {
    "Compare with another preprocessing",
    "clipc preprocess cat.png dog.png -o pixels.npy",
    NULL,
};

static const tool_option options[] = {
    {"output", 'o', OPTION_TEXT, "OUT.npy", "the array to write; - is standard output",
     offsetof(tool_settings, output), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static int run(const tool_settings *settings)
{
    if (settings->operands.count == 0)
        quit(STATUS_USAGE, "preprocess: no images (IMAGE, DIR, @LIST or -)");
    if (!settings->output)
        quit(STATUS_USAGE, "preprocess: no output (-o OUT.npy)");
    conflicts_check(settings, &settings->operands);
    npy_writer *array = npy_writer_open(settings->output);
    progress_start("images", &settings->operands, 0, false);
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    const size_t shape[3] = {3, info.image_height, info.image_width};
    npy_writer_start(array, shape, 3);
    image_pipeline *pipeline = image_pipeline_create(settings, model, session_batch(settings), false);
    size_t failed = 0;
    size_t total = 0;
    const image_item *items = NULL;
    const float *pixels = NULL;
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels)); total += count) {
        progress_update(total);
        if (items[0].outcome == IMAGE_READY) {
            npy_writer_rows(array, pixels, count);
            continue;
        }
        image_item_report(&items[0]);
        failed += items[0].outcome == IMAGE_FAILED;
    }
    progress_finish();
    image_pipeline_destroy(&pipeline);
    npy_writer_close(array);
    npy_writer_publish(&array);
    clipc_model_destroy(&model);
    return failed ? STATUS_INPUT : STATUS_DONE;
}

const tool_command command_preprocess = {
    .name = "preprocess",
    .summary = "write images as the network sees them to a .npy file",
    .synopsis = synopsis,
    .description =
        "Writes a float32 array [N, 3, height, width]: decoded, resized, cropped and normalised by the model's "
        "rule (clipc inspect shows it). An image that fails is reported and has no row; the exit status is "
        "then 1. Image operands are as for classify.",
    .examples = examples,
    .options = options,
    .run = run,
};
