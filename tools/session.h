/* The model and the engine that a command line asks for. What cannot be had ends the program: with STATUS_USAGE for a
 * name that is not known, else with STATUS_SYSTEM. */
#ifndef CLIPC_TOOLS_SESSION_H
#define CLIPC_TOOLS_SESSION_H

#include "options.h"

#include "clipc/clipc.h"

/* --model, else $CLIPC_MODEL, else the demo model; with --arch a random model of that shape. Options of the engine
 * that would be ignored are refused here, as every command comes by. */
clipc_model *session_open_model(const tool_settings *settings, clipc_model_info *info);
/* Ends the program when the model lacks the tower, with the reason. */
void session_require_tower(const clipc_model *model, bool image);
/* Ready to encode up to `batch` items at once with the towers asked for. */
clipc_engine *session_create_engine(const tool_settings *settings, const clipc_model *model, bool image_tower,
                                    bool text_tower, size_t batch);
/* Whether it takes images as bytes with profit: on a GPU they are a quarter of what must be moved. */
bool session_takes_bytes(const tool_settings *settings, const clipc_model *model);
/* The config of such an engine, but for its batch and towers. */
clipc_engine_config session_engine_config(const tool_settings *settings);
/* What such an engine would be, found out without making it. */
clipc_engine_info session_plan_engine(const tool_settings *settings, const clipc_model *model);
/* The name of the precision the engine computes in. */
const char *session_precision(const clipc_engine *engine);
/* What --precision asks for. */
clipc_precision session_wanted_precision(const tool_settings *settings);
/* --batch, or the default of commands that embed. */
size_t session_batch(const tool_settings *settings);
/* --workspace in bytes; 0 when it is not said. */
size_t session_workspace(const tool_settings *settings);
/* --threads, or as many as the process may use. */
size_t session_threads(const tool_settings *settings);
/* --max-pixels, --alpha and --exif. */
clipc_image_options session_image_options(const tool_settings *settings);
/* What results call the model: its path, or its name when it has none. */
const char *session_model_label(const clipc_model_info *info);

/* Whether --devices means something to the backend. */
bool session_takes_devices(const tool_settings *settings);

/* Ends the program because a library call failed. */
_Noreturn void quit_failed(const clipc_error *error);

#endif
