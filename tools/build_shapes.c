#include "build_shapes.h"

#include "message.h"
#include "session.h"
#include "shapes.h"

#include <string.h>

static void check_list(const char *option, const char *list)
{
    const shape_list shapes = shapes_parse(option, list, &(shape_list){0});
    if (!list)
        return;
    if (shapes.count != 3 || shapes.sizes[0] > shapes.sizes[1] || shapes.sizes[1] > shapes.sizes[2])
        quit(STATUS_USAGE, "build: --%s is min,opt,max, three batch sizes that rise (1,8,32), not '%s'", option, list);
}

static size_t usual_batch(const char *list)
{
    const shape_list shapes = shapes_parse("image-shapes", list, &(shape_list){0});
    return shapes.count ? shapes_profile(&shapes).usual : 0;
}

static size_t largest_batch(const char *list, size_t otherwise)
{
    const shape_list shapes = shapes_parse("image-shapes", list, &(shape_list){0});
    return shapes.count ? shapes_profile(&shapes).largest : otherwise;
}

static bool is_tensorrt(const tool_settings *settings)
{
    return strcmp(settings->backend, "tensorrt") == 0;
}

void build_shapes_settle(tool_settings *settings, bool measures)
{
    const bool given = settings->image_shapes || settings->text_shapes;
    check_list("image-shapes", settings->image_shapes);
    check_list("text-shapes", settings->text_shapes);
    (void)session_workspace(settings);
    if (!given)
        return;
    if (settings->batch)
        quit(STATUS_USAGE, "build: --batch is one batch size, --image-shapes and --text-shapes say three: give one");
    if (!measures && !settings->workspace && !is_tensorrt(settings))
        quit(STATUS_USAGE,
             "build: --image-shapes and --text-shapes are for what is measured, and nothing is; an engine "
             "file takes any batch");
    const size_t image = usual_batch(settings->image_shapes);
    const size_t text = usual_batch(settings->text_shapes);
    settings->batch = image > text ? image : text;
}

/* ---- workspace ---- */

static void check_tower(const tool_settings *settings, const clipc_model *model, bool text, size_t batch)
{
    const size_t limit = session_workspace(settings);
    clipc_engine_info info = {.size = sizeof info};
    clipc_engine *engine = session_create_engine(settings, model, !text, text, batch);
    clipc_engine_get_info(engine, &info, NULL);
    clipc_engine_destroy(&engine);
    message_detail("the %s tower takes %zu bytes of workspace for batches of %zu", text ? "text" : "image",
                   info.workspace_bytes, batch);
    if (info.workspace_bytes > limit)
        quit(STATUS_INPUT,
             "%s: not written: the %s tower takes %.1f MiB of workspace for batches of %zu, and --workspace is %s",
             settings->output, text ? "text" : "image", (double)info.workspace_bytes / (1 << 20), batch,
             settings->workspace);
}

void build_shapes_check_workspace(const tool_settings *settings, const clipc_model *model)
{
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    if (!settings->workspace)
        return;
    if (!info.image_absent)
        check_tower(settings, model, false, largest_batch(settings->image_shapes, session_batch(settings)));
    if (!info.text_absent)
        check_tower(settings, model, true, largest_batch(settings->text_shapes, session_batch(settings)));
}

/* ---- plans of TensorRT ---- */

int build_shapes_make_plans(const tool_settings *settings)
{
    if (settings->output)
        quit(STATUS_USAGE,
             "build: there are no engine files for backend tensorrt; its plans go to --tensorrt-cache DIR");
    if (!settings->tensorrt_cache)
        quit(STATUS_USAGE, "build: backend tensorrt keeps its plans in a folder (--tensorrt-cache DIR)");
    if (settings->accuracy_gate)
        quit(STATUS_USAGE,
             "build: --accuracy-gate is for engine files; clipc compare measures what TensorRT computes");
    if (settings->tune || settings->timing_cache)
        quit(STATUS_USAGE,
             "build: --tune and --timing-cache are for engine files; TensorRT measures by itself, and keeps "
             "its timings beside the plans");
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    clipc_engine *engine =
        session_create_engine(settings, model, !info.image_absent, !info.text_absent, session_batch(settings));
    message_note("%s: TensorRT's plans of %s are there", settings->tensorrt_cache, session_model_label(&info));
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}
