/* clipc preprocess: what the network sees. */
#include "commands.h"

#include "conflicts.h"
#include "image_pipeline.h"
#include "message.h"
#include "npy_writer.h"
#include "progress.h"
#include "report.h"
#include "session.h"
#include "sidecar.h"

#include <string.h>

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

static sidecar_file *start_sidecar(const tool_settings *settings, const clipc_model *model,
                                   const clipc_model_info *info)
{
    json_t *head = sidecar_head(info, settings);
    json_t *steps = json_array();
    const char *step = NULL;
    for (size_t i = 0; (step = clipc_model_preprocessing_step(model, i)); i++)
        json_append(steps, json_name(step));
    json_put(head, "preprocessing", steps);
    sidecar_file *sidecar = sidecar_open(settings->output);
    sidecar_start(sidecar, head);
    return sidecar;
}

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
    sidecar_file *sidecar = npy_writer_is_regular(array) ? start_sidecar(settings, model, &info) : NULL;
    image_pipeline *pipeline = image_pipeline_create(settings, model, session_batch(settings), false, false);
    input_report report = {0};
    const image_item *items = NULL;
    image_pixels pixels = {0};
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels)); report.total += count) {
        progress_update(report.total);
        const bool ready = items[0].outcome == IMAGE_READY;
        if (ready)
            npy_writer_rows(array, pixels.floats, count);
        else
            report_image(&report, items[0].path, items[0].outcome, items[0].reason);
        for (size_t i = 0; i < count && sidecar; i++) {
            if (ready)
                sidecar_row(sidecar, report.total + i, items[i].path, strlen(items[i].path));
            else
                sidecar_skip(sidecar, report.total + i, items[i].path, strlen(items[i].path), items[i].reason);
        }
    }
    progress_finish();
    image_pipeline_destroy(&pipeline);
    outputs_finish(&array, &sidecar, report.failed != 0, settings->output);
    clipc_model_destroy(&model);
    return report_end(&report);
}

const tool_command command_preprocess = {
    .name = "preprocess",
    .summary = "write images as the network sees them to a .npy file",
    .synopsis = synopsis,
    .description =
        "Writes a float32 array [N, 3, height, width]: decoded, resized, cropped and normalised by the model's "
        "rule (clipc inspect shows it), and beside it OUT.npy.json with the image of each row. An image that fails is "
        "reported and has no row; the exit status is then 1. Image operands are as for classify.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_WORK | SHARED_IMAGES,
    .run = run,
};
