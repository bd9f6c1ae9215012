/* clipc inspect: what a model is. */
#include "commands.h"

#include "build_tuning.h"
#include "escape.h"
#include "json_line.h"
#include "layers_json.h"
#include "message.h"
#include "model_difference.h"
#include "operand.h"
#include "output.h"
#include "session.h"
#include "tactics.h"
#include "tower_profile.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = {
    "inspect [MODEL | --model DIR] [--layers] [--tactics]",
    "        [--json] [--verify]",
    "inspect A B [--json]",
    NULL,
};

static const char *const examples[] = {
    "The embedded demo model",
    "clipc inspect",
    "A model's directory, for scripts",
    "clipc inspect --model clip-vit-base-patch32 --json",
    "Which kernel does each step, on batches of 8",
    "clipc inspect b32.clipc --tactics --batch 8",
    "In what an engine file differs from the model it was made of",
    "clipc inspect clip-vit-base-patch32 b32.clipc",
    "Check every weight of an engine file",
    "clipc inspect --model b32.clipc --verify",
    NULL,
};

static const tool_option options[] = {
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {"layers", 0, OPTION_FLAG, NULL, "also list the linear layers: shape, type as stored, bytes",
     offsetof(tool_settings, layers), 0, 0, NULL},
    {"tactics", 0, OPTION_FLAG, NULL,
     "also run one batch (--batch, default 1) and list the kernel that did each step of each layer",
     offsetof(tool_settings, tactics), 0, 0, NULL},
    {"verify", 0, OPTION_FLAG, NULL, "compare an engine file's weights with their checksums",
     offsetof(tool_settings, verify), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* Whether an engine file holds the layer in another precision than its own: kept so, or never computed in that one. */
static bool is_exception(const clipc_linear_info *layer, const clipc_model_info *info)
{
    return strcmp(layer->dtype, clipc_precision_name(info->precision)) != 0;
}

/* ---- for people ---- */

static void print_name(const char *heading, const char *value)
{
    char *printable = escape_for_terminal(value);
    print_format("%-16s%s\n", heading, printable);
    free(printable);
}

static void print_tower(const char *heading, const clipc_tower_info *tower)
{
    print_format("%-16swidth %zu, %zu layers, %zu heads, MLP %zu, %s, %.2f million parameters\n", heading,
                 tower->width, tower->layers, tower->heads, tower->mlp_width, tower->activation,
                 1e-6 * (double)tower->parameters);
}

static void print_image_tower(const clipc_model_info *info)
{
    const clipc_tower_info *tower = &info->image;
    if (tower->mlp_width == 0) {
        print_format("%-16sResNet, %zu blocks, attention pooling of width %zu with %zu heads, %s, %.2f million "
                     "parameters\n",
                     "image tower", tower->layers, tower->width, tower->heads, tower->activation,
                     1e-6 * (double)tower->parameters);
        print_format("%-16s%zu × %zu pixels, %zu tokens of %zu × %zu and their mean\n", "  input", info->image_width,
                     info->image_height, info->image_tokens - 1, info->patch_size, info->patch_size);
        return;
    }
    print_tower("image tower", tower);
    print_format("%-16s%zu × %zu pixels, patches of %zu, %zu tokens\n", "  input", info->image_width,
                 info->image_height, info->patch_size, info->image_tokens);
}

/* What the model would be computed in here. An engine file can be looked at where it cannot run: `reason` says why. */
static clipc_engine_info plan(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info,
                              clipc_error *reason)
{
    if (!info->format_version || strcmp(settings->backend, "auto") != 0)
        return session_plan_engine(settings, model);
    clipc_engine_info engine = {.size = sizeof engine};
    const clipc_engine_config config = session_engine_config(settings);
    if (clipc_engine_plan(model, &config, &engine, reason) == CLIPC_OK)
        return engine;
    if (config.precision != CLIPC_PRECISION_AUTO && config.precision != info->precision)
        quit_failed(reason);
    engine.precision = info->precision;
    return engine;
}

/* "not int8", and which. */
static void print_exceptions(const clipc_model *model, const clipc_model_info *info)
{
    bool any = false;
    for (size_t i = 0; info->format_version && i < clipc_model_linear_count(model); i++) {
        clipc_linear_info layer = {.size = sizeof layer};
        if (clipc_model_get_linear(model, i, &layer, NULL) != CLIPC_OK || !is_exception(&layer, info))
            continue;
        char *heading = any ? duplicate("") : format_text("not %s", clipc_precision_name(info->precision));
        print_format("%-16s%s, %s\n", heading, layer.name, layer.dtype);
        free(heading);
        any = true;
    }
}

static void print_model(const clipc_model *model, const clipc_model_info *info, const clipc_engine_info *engine,
                        const clipc_error *reason)
{
    print_name("model", session_model_label(info));
    print_name("family", info->family);
    if (info->format_version)
        print_format("%-16s%s, version %u, %s for %s\n", "format", info->format, info->format_version,
                     clipc_precision_name(info->precision), info->layout);
    else
        print_name("format", info->format);
    if (info->written_by[0])
        print_format("%-16sclipc %s; this is clipc %s\n", "written by", info->written_by, clipc_version());
    if (info->image_absent) {
        print_format("%-16snone: %s\n", "image tower", info->image_absent);
    } else {
        print_image_tower(info);
    }
    if (info->text_absent) {
        print_format("%-16snone: %s\n", "text tower", info->text_absent);
    } else {
        print_tower("text tower", &info->text);
        print_format("%-16sat most %zu tokens, vocabulary of %zu\n", "  input", info->context_length,
                     info->vocabulary_size);
    }
    print_format("%-16s%zu dimensions, logit scale %.4f", "embedding", info->embedding_dimension,
                 (double)info->logit_scale);
    if (info->scoring == CLIPC_SCORING_SIGMOID)
        print_format(", logit bias %.4f, scores by sigmoid", (double)info->logit_bias);
    print_text("\n");
    print_name("template", info->default_template);
    print_name("weights", info->weights_dtype);
    if (engine->backend)
        print_format("%-16s%s, on %s (%s)\n", "precision", clipc_precision_name(engine->precision), engine->backend,
                     engine->isa);
    else
        print_format("%-16s%s, not on this machine: %s\n", "precision", clipc_precision_name(engine->precision),
                     reason->message);
    print_exceptions(model, info);
    const char *step = NULL;
    for (size_t i = 0; (step = clipc_model_preprocessing_step(model, i)); i++)
        print_name(i ? "" : "preprocessing", step);
    for (size_t i = 0; i < info->file_count; i++) {
        uint64_t bytes = 0;
        char *name = escape_for_terminal(clipc_model_file(model, i, &bytes));
        print_format("%-16s%s, %llu bytes\n", i ? "" : "files", name, (unsigned long long)bytes);
        free(name);
    }
}

/* Of an engine file that was tuned. */
static void print_tuning(const clipc_tuning *tuning)
{
    const char *name = NULL;
    const char *value = NULL;
    if (!clipc_tuning_made_for(tuning))
        return;
    print_name("tuned for", clipc_tuning_made_for(tuning));
    for (size_t i = 0; clipc_tuning_get_choice(tuning, i, &name, &value, NULL) == CLIPC_OK; i++) {
        char *line = format_text("%s = %s", name, value);
        print_name(i ? "" : "  choices", line);
        free(line);
    }
}

/* One linear layer a line. */
static void print_layers(const clipc_model *model)
{
    print_format("\n%-32s %-16s %-6s %12s  %s\n", "linear layer", "outputs × inner", "stored", "bytes", "packed");
    for (size_t i = 0; i < clipc_model_linear_count(model); i++) {
        clipc_linear_info layer = {.size = sizeof layer};
        if (clipc_model_get_linear(model, i, &layer, NULL) != CLIPC_OK)
            continue;
        char *shape = layer.parts > 1 ? format_text("%zu × %zu × %zu", layer.parts, layer.outputs, layer.inner)
                                      : format_text("%zu × %zu", layer.outputs, layer.inner);
        char *packed = layer.panel_columns ? format_text("panels of %zu", layer.panel_columns) : duplicate("");
        print_format("%-32s %s%*s %-6s %12llu  %s\n", layer.name, shape,
                     (int)(display_width(shape) < 16 ? 16 - display_width(shape) : 0), "", layer.dtype,
                     (unsigned long long)layer.bytes, packed);
        free(shape);
        free(packed);
    }
}

/* ---- for scripts ---- */

static json_t *size_to_json(size_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *tower_to_json(const clipc_tower_info *tower)
{
    json_t *object = json_object();
    json_put(object, "width", size_to_json(tower->width));
    json_put(object, "layers", size_to_json(tower->layers));
    json_put(object, "heads", size_to_json(tower->heads));
    json_put(object, "mlp_width", size_to_json(tower->mlp_width));
    json_put(object, "activation", json_string(tower->activation));
    json_put(object, "parameters", size_to_json(tower->parameters));
    return object;
}

static json_t *image_tower_to_json(const clipc_model_info *info)
{
    json_t *object = tower_to_json(&info->image);
    json_put(object, "image_height", size_to_json(info->image_height));
    json_put(object, "image_width", size_to_json(info->image_width));
    json_put(object, "patch_size", size_to_json(info->patch_size));
    json_put(object, "tokens", size_to_json(info->image_tokens));
    return object;
}

static json_t *text_tower_to_json(const clipc_model_info *info)
{
    json_t *object = tower_to_json(&info->text);
    json_put(object, "context_length", size_to_json(info->context_length));
    json_put(object, "vocabulary_size", size_to_json(info->vocabulary_size));
    return object;
}

static json_t *files_to_json(const clipc_model *model, const clipc_model_info *info)
{
    json_t *files = json_array();
    for (size_t i = 0; i < info->file_count; i++) {
        uint64_t bytes = 0;
        json_t *file = json_object();
        json_put(file, "path", json_name(clipc_model_file(model, i, &bytes)));
        json_put(file, "bytes", json_integer((json_int_t)bytes));
        json_append(files, file);
    }
    return files;
}

static json_t *exceptions_to_json(const clipc_model *model, const clipc_model_info *info)
{
    json_t *exceptions = json_object();
    for (size_t i = 0; i < clipc_model_linear_count(model); i++) {
        clipc_linear_info layer = {.size = sizeof layer};
        if (clipc_model_get_linear(model, i, &layer, NULL) == CLIPC_OK && is_exception(&layer, info))
            json_put(exceptions, layer.name, json_string(layer.dtype));
    }
    return exceptions;
}

static void print_json(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info,
                       const clipc_engine_info *engine)
{
    json_t *object = json_object();
    json_put(object, "version", json_string(clipc_version()));
    json_put(object, "model", json_name(session_model_label(info)));
    json_put(object, "family", json_string(info->family));
    json_put(object, "format", json_string(info->format));
    if (info->format_version) {
        json_put(object, "format_version", json_integer(info->format_version));
        json_put(object, "layout", json_name(info->layout));
        json_put(object, "tuning", tuning_to_json(clipc_model_tuning(model)));
        json_put(object, "written_by", json_name(info->written_by));
        json_put(object, "other_precisions", exceptions_to_json(model, info));
    }
    json_put(object, "embedding_dimension", size_to_json(info->embedding_dimension));
    json_put(object, "parameters", size_to_json(info->image.parameters + info->text.parameters));
    json_put(object, "weights", json_string(info->weights_dtype));
    json_put(object, "precision", json_string(clipc_precision_name(engine->precision)));
    char *device = engine->backend ? engine_device_name(settings, engine) : NULL;
    json_put(object, "backend", engine->backend ? json_string(engine->backend) : json_null());
    json_put(object, "isa", engine->isa ? json_string(engine->isa) : json_null());
    json_put(object, "device", device ? json_name(device) : json_null());
    free(device);
    json_put(object, "logit_scale", json_float(info->logit_scale));
    const bool sigmoid = info->scoring == CLIPC_SCORING_SIGMOID;
    json_put(object, "logit_bias", sigmoid ? json_float(info->logit_bias) : json_null());
    json_put(object, "scoring", json_string(sigmoid ? "sigmoid" : "softmax"));
    json_put(object, "default_template", json_name(info->default_template));
    json_put(object, "image", info->image_absent ? json_null() : image_tower_to_json(info));
    json_put(object, "text", info->text_absent ? json_null() : text_tower_to_json(info));
    json_t *steps = json_array();
    const char *step = NULL;
    for (size_t i = 0; (step = clipc_model_preprocessing_step(model, i)); i++)
        json_append(steps, json_name(step));
    json_put(object, "preprocessing", steps);
    json_put(object, "files", files_to_json(model, info));
    if (settings->layers)
        json_put(object, "layers", layers_to_json(model));
    if (settings->tactics)
        json_put(object, "tactics", tactics_to_json(settings, model, info));
    json_print(object);
}

static inspected_model open_operand(const tool_settings *given, size_t index)
{
    inspected_model opened = {0};
    const tool_settings settings = operand_settings(given, given->operands.items[index]);
    opened.model = session_open_model(&settings, &opened.info);
    clipc_error reason = {0};
    opened.engine = plan(&settings, opened.model, &opened.info, &reason);
    return opened;
}

/* Two models: what is different. */
static int run_difference(const tool_settings *given)
{
    if (given->model)
        quit(STATUS_USAGE, "inspect: --model beside two operands");
    if (given->layers || given->tactics || given->verify)
        quit(STATUS_USAGE, "inspect: --layers, --tactics and --verify are of one model, not of two");
    inspected_model a = open_operand(given, 0);
    inspected_model b = open_operand(given, 1);
    model_difference difference;
    model_difference_find(&difference, &a, &b);
    if (given->json)
        model_difference_print_json(&difference, session_model_label(&a.info), session_model_label(&b.info));
    else
        model_difference_print(&difference);
    const bool none = model_difference_is_none(&difference);
    if (!none)
        message_error("inspect: '%s' and '%s' differ", given->operands.items[0], given->operands.items[1]);
    model_difference_free(&difference);
    clipc_model_destroy(&a.model);
    clipc_model_destroy(&b.model);
    return none ? STATUS_DONE : STATUS_INPUT;
}

static int run(const tool_settings *given)
{
    if (given->operands.count > 2)
        quit(STATUS_USAGE, "inspect: '%s' is one operand too many", given->operands.items[2]);
    if (given->operands.count == 2)
        return run_difference(given);
    const tool_settings named = operand_or_model(given, "inspect");
    const tool_settings *settings = &named;
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    clipc_error error = {0};
    if (settings->verify && clipc_model_verify(model, &error) != CLIPC_OK)
        quit_failed(&error);
    const clipc_engine_info engine = plan(settings, model, &info, &error);
    if (settings->json)
        print_json(settings, model, &info, &engine);
    else
        print_model(model, &info, &engine, &error);
    if (!settings->json)
        print_tuning(clipc_model_tuning(model));
    if (settings->layers && !settings->json)
        print_layers(model);
    if (settings->tactics && !settings->json)
        tactics_print(settings, model, &info);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}

const tool_command command_inspect = {
    .name = "inspect",
    .summary = "show what a model is, or how two differ",
    .synopsis = synopsis,
    .description =
        "Shows the family, both towers, dimensions, parameters, the type the weights are stored in, the "
        "precision they would be computed in here with the same options, the "
        "preprocessing rule and the files. An engine file is shown where it cannot run, too, with the version that "
        "wrote it. What opening a model checks is checked: all but the values of its weights, among which the "
        "commands "
        "that compute find NaN and infinity. With --verify every checksum of an engine file is compared.\n\n"
        "Of two models it shows in what they differ: architecture, format, precision, preprocessing, tokenizer, and "
        "of every tensor shape, type, bytes and the largest difference of its values. The exit status is 0 when "
        "nothing differs and 1 when something does.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK,
    .run = run,
};
