/* clipc compare: two models, or a model and tensors from elsewhere, on the same inputs. */
#include "commands.h"

#include "compare_report.h"
#include "comparison.h"
#include "conflicts.h"
#include "json_line.h"
#include "message.h"
#include "model_inputs.h"
#include "npz_writer.h"
#include "operand.h"
#include "output.h"
#include "real_number.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = {
    "compare A B [--image IMAGE|DIR|@LIST]... [--text TEXT]... [-f FILE]",
    "        [--mark-all] [--atol X] [--rtol X] [--min-cosine X]",
    "        [--check-error-stat NAME] [--fail-fast] [--html OUT.html]",
    NULL,
};

static const char *const examples[] = {
    "What int8 loses, on random inputs",
    "clipc compare clip-vit-base-patch32@cpu:fp32 clip-vit-base-patch32@cpu:int8 --min-cosine 0.999",
    "Every step, on real images, as a page with heat maps",
    "clipc compare @cpu:fp32 @cpu:bf16 --image photos/ --text 'a photo of a cat' --mark-all --html steps.html",
    "An engine file beside what PyTorch computed",
    "clipc compare b32.clipc reference/ --load-inputs inputs.npz --min-cosine 0.9999",
    NULL,
};

static const tool_option options[] = {
    {"save-inputs", 0, OPTION_TEXT, "OUT.npz", "write the inputs as the networks get them",
     offsetof(tool_settings, save_inputs), 0, 0, NULL},
    {"save-outputs", 0, OPTION_TEXT, "OUT.npz", "write A's tensors, to be an operand later",
     offsetof(tool_settings, save_outputs), 0, 0, NULL},
    {"mark-all", 0, OPTION_FLAG, NULL, "compare every step of both towers, not the embeddings alone",
     offsetof(tool_settings, mark_all), 0, 0, NULL},
    {"atol", 0, OPTION_TEXT, "X", "absolute tolerance (default: 1e-5)", offsetof(tool_settings, absolute_tolerance), 0,
     0, NULL},
    {"rtol", 0, OPTION_TEXT, "X", "relative tolerance (default: 1e-5)", offsetof(tool_settings, relative_tolerance), 0,
     0, NULL},
    {"min-cosine", 0, OPTION_TEXT, "X", "the least cosine a row may have; alone, it takes the place of the tolerances",
     offsetof(tool_settings, least_cosine), 0, 0, NULL},
    {"check-error-stat", 0, OPTION_CHOICE, "NAME",
     "what the tolerances hold for: elemwise (default), max, mean, median or quantile",
     offsetof(tool_settings, error_statistic), 0, 0, "elemwise|max|mean|median|quantile"},
    {"error-quantile", 0, OPTION_TEXT, "X", "the share that quantile means (default: 0.99)",
     offsetof(tool_settings, error_quantile), 0, 0, NULL},
    {"fail-fast", 0, OPTION_FLAG, NULL, "stop at the first tensor that fails", offsetof(tool_settings, fail_fast), 0,
     0, NULL},
    {"no-normalize", 0, OPTION_FLAG, NULL, "compare raw projections, not rows of unit length",
     offsetof(tool_settings, no_normalize), 0, 0, NULL},
    {"stats", 0, OPTION_FLAG, NULL, "print the statistics and histograms of every tensor",
     offsetof(tool_settings, stats), 0, 0, NULL},
    {"html", 0, OPTION_TEXT, "OUT.html", "also write a page with histograms and heat maps",
     offsetof(tool_settings, html), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* One operand: a model on a backend, or tensors. */
typedef struct side {
    const char *operand;
    tool_settings settings;
    clipc_model *model; /* NULL: tensors */
    clipc_model_info info;
    tensor_set tensors;
    char *label;
} side;

static comparison_limits read_limits(const tool_settings *settings)
{
    static const char *const names[] = {"elemwise", "max", "mean", "median", "quantile"};
    comparison_limits limits = {.absolute = 1e-5, .relative = 1e-5, .quantile = 0.99};
    if (settings->absolute_tolerance)
        limits.absolute = real_number("atol", settings->absolute_tolerance, 0, 1e30);
    if (settings->relative_tolerance)
        limits.relative = real_number("rtol", settings->relative_tolerance, 0, 1e30);
    if (settings->error_quantile)
        limits.quantile = real_number("error-quantile", settings->error_quantile, 0, 1);
    if (settings->least_cosine)
        limits.least_cosine = real_number("min-cosine", settings->least_cosine, -1, 1);
    for (size_t i = 0; settings->error_statistic && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], settings->error_statistic) == 0)
            limits.statistic = (error_statistic)i;
    limits.by_cosine = settings->least_cosine != NULL;
    limits.by_difference =
        !limits.by_cosine || settings->absolute_tolerance || settings->relative_tolerance || settings->error_statistic;
    return limits;
}

static bool is_tensorrt(const tool_settings *settings)
{
    return strcmp(settings->backend, "tensorrt") == 0;
}

static void open_side(side *opened, const tool_settings *settings, const char *operand)
{
    *opened = (side){.operand = operand};
    if (tensor_set_is_operand(operand)) {
        tensor_set_read(&opened->tensors, operand);
        opened->label = duplicate(operand);
        return;
    }
    opened->settings = operand_settings(settings, operand);
    if (!is_tensorrt(&opened->settings))
        opened->settings.tensorrt_cache = NULL; /* the other side's */
    if (!session_takes_devices(&opened->settings))
        opened->settings.devices = NULL; /* these, too */
    opened->model = session_open_model(&opened->settings, &opened->info);
}

/* Rows of embeddings written elsewhere may have any length. */
static void normalize_rows(const named_tensor *tensor)
{
    const size_t width = tensor_width(tensor);
    for (size_t i = 0; width && i < tensor->count; i += width)
        clipc_embeddings_average(tensor->values + i, 1, width, tensor->values + i);
}

static void compute_side(side *opened, const model_inputs *inputs)
{
    static const char *const outputs[] = {"image_embeddings", "text_embeddings"};
    if (!opened->model) {
        for (size_t i = 0; i < 2; i++) {
            const named_tensor *tensor = tensor_set_find(&opened->tensors, outputs[i]);
            if (tensor && !opened->settings.no_normalize)
                normalize_rows(tensor);
        }
        return;
    }
    const bool images = inputs->images && !opened->info.image_absent;
    const bool texts = inputs->texts && !opened->info.text_absent;
    if (!images && !texts)
        quit(STATUS_SYSTEM, "%s: none of its towers has inputs", session_model_label(&opened->info));
    clipc_engine *engine =
        session_create_engine(&opened->settings, opened->model, images, texts, session_batch(&opened->settings));
    clipc_engine_info info = {.size = sizeof info};
    clipc_engine_get_info(engine, &info, NULL);
    model_inputs_encode(inputs, &opened->settings, engine, opened->model, opened->settings.mark_all, &opened->tensors);
    opened->label = format_text("%s, %s (%s), %s", session_model_label(&opened->info), info.backend, info.isa,
                                clipc_precision_name(info.precision));
    clipc_engine_destroy(&engine);
}

static void close_side(side *opened)
{
    tensor_set_free(&opened->tensors);
    clipc_model_destroy(&opened->model);
    free(opened->label);
}

static void save_tensors(const tensor_set *set, const char *path)
{
    npz_writer *writer = npz_writer_open(path);
    for (size_t i = 0; i < set->count; i++)
        npz_writer_floats(writer, set->items[i].name, set->items[i].shape, set->items[i].rank, set->items[i].values);
    npz_writer_close(&writer);
}

static char *describe_inputs(const model_inputs *inputs)
{
    if (!inputs->images && !inputs->texts)
        return duplicate("none: both are tensors");
    return format_text("%zu image%s and %zu text%s, %s", inputs->images, inputs->images == 1 ? "" : "s", inputs->texts,
                       inputs->texts == 1 ? "" : "s", inputs->origin);
}

static void print_result(const tool_settings *settings, const comparison *result, const comparison_limits *limits,
                         const side *a, const side *b, const char *inputs)
{
    if (!settings->json) {
        print_format("A       %s\nB       %s\ninputs  %s\n\n", a->label, b->label, inputs);
        comparison_print(result, limits, settings->stats);
        return;
    }
    json_t *object = json_object();
    char *text = comparison_limits_text(limits);
    json_put(object, "a", json_name(a->label));
    json_put(object, "b", json_name(b->label));
    json_put(object, "inputs", json_string(inputs));
    json_put(object, "limits", json_string(text));
    json_put(object, "passed", json_boolean(result->failed == 0));
    json_put(object, "failed", json_integer((json_int_t)result->failed));
    json_put(object, "tensors", comparison_to_json(result));
    free(text);
    json_print(object);
}

/* Inputs that belong to reference tensors lie among them. */
static void take_inputs(model_inputs *inputs, const tool_settings *settings, const side *a, const side *b)
{
    const side *model = a->model ? a : b;
    const side *tensors = !a->model ? a : !b->model ? b : NULL;
    tool_settings wanted = model->settings;
    if (tensors && !model_inputs_given(settings)) {
        if (!tensor_set_find(&tensors->tensors, "pixels") && !tensor_set_find(&tensors->tensors, "ids"))
            quit(STATUS_USAGE,
                 "compare: which inputs is %s the result of? (--load-inputs, --image, --text, or arrays 'pixels', or "
                 "'ids' and 'lengths', in it)",
                 tensors->operand);
        wanted.load_inputs = tensors->operand;
    }
    model_inputs_create(inputs, &wanted, model->model);
}

/* Before any work: whatever would be ignored, or would replace what is read. */
static void check_command_line(const tool_settings *settings)
{
    if (settings->operands.count != 2)
        quit(STATUS_USAGE, "compare: two operands, A and B, not %zu (images are named by --image)",
             settings->operands.count);
    if (settings->model || settings->architecture)
        quit(STATUS_USAGE, "compare: A and B name the models, --model does not belong here");
    size_t tensors = 0;
    bool takes_cache = false;
    for (size_t i = 0; i < 2; i++) {
        const char *operand = settings->operands.items[i];
        if (tensor_set_is_operand(operand)) {
            conflicts_check_tensors(settings, operand);
            tensors++;
        } else {
            const tool_settings own = operand_settings(settings, operand);
            takes_cache = takes_cache || is_tensorrt(&own);
        }
    }
    if (settings->tensorrt_cache && !takes_cache)
        quit(STATUS_USAGE, "compare: --tensorrt-cache is for an operand PATH@tensorrt");
    if (tensors == 2 && (model_inputs_given(settings) || settings->save_inputs || settings->count || settings->seed))
        quit(STATUS_USAGE, "compare: both operands are tensors, which take no inputs");
    model_inputs_check(settings, "compare");
}

static bool is_array_file(const side *opened)
{
    const size_t length = strlen(opened->operand);
    return !opened->model && length > 4 && strcmp(opened->operand + length - 4, ".npy") == 0;
}

/* Two .npy files, whose arrays have no names but the files', are meant for each other. */
static void pair_array_files(const side *a, side *b)
{
    if (!is_array_file(a) || !is_array_file(b))
        return;
    free(b->tensors.items[0].name);
    b->tensors.items[0].name = duplicate(a->tensors.items[0].name);
}

static int run(const tool_settings *settings)
{
    const comparison_limits limits = read_limits(settings);
    check_command_line(settings);
    side a;
    side b;
    model_inputs inputs = {0};
    open_side(&a, settings, settings->operands.items[0]);
    open_side(&b, settings, settings->operands.items[1]);
    a.settings.no_normalize = b.settings.no_normalize = settings->no_normalize;
    if (a.model || b.model)
        take_inputs(&inputs, settings, &a, &b);
    if (settings->save_inputs)
        model_inputs_save(&inputs, settings->save_inputs);
    compute_side(&a, &inputs);
    compute_side(&b, &inputs);
    if (settings->save_outputs)
        save_tensors(&a.tensors, settings->save_outputs);
    pair_array_files(&a, &b);
    comparison result;
    comparison_make(&result, &a.tensors, &b.tensors, &limits, settings->fail_fast);
    if (result.compared == 0)
        quit(STATUS_SYSTEM, "%s and %s have no tensor of the same name", a.operand, b.operand);
    char *text = describe_inputs(&inputs);
    print_result(settings, &result, &limits, &a, &b, text);
    if (settings->html)
        compare_report_write(settings->html, &result, &limits, a.label, b.label, text);
    if (result.failed)
        message_error("compare: %zu of %zu tensors are outside the limits", result.failed, result.compared);
    const int status = result.failed ? STATUS_INPUT : STATUS_DONE;
    free(text);
    comparison_free(&result);
    model_inputs_free(&inputs);
    close_side(&a);
    close_side(&b);
    return status;
}

const tool_command command_compare = {
    .name = "compare",
    .summary = "compare two models, or a model and tensors from elsewhere",
    .synopsis = synopsis,
    .description =
        "Runs A and B on the same inputs and compares their embeddings, and with --mark-all what they compute after "
        "every step. Each operand is a model (PATH, or PATH@backend:precision such as b32.clipc@cpu:int8; an empty "
        "PATH is the model that no operand would mean), or tensors written by any program: a .npz or .npy file, or a "
        "directory of them. Ends with status 0 when every tensor is within the limits, with 1 when one is not.\n\n"
        "Inputs are the images and texts named, preprocessed by the first model's rules, or else random ones. Tensors "
        "that are in one operand alone are listed and fail nothing.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK | SHARED_IMAGES | SHARED_INPUTS | SHARED_RANDOM,
    .run = run,
};
