/* clipc build: an engine file that is as near to fp32 as was asked, or none. */
#include "commands.h"

#include "accuracy.h"
#include "build_shapes.h"
#include "build_tuning.h"
#include "json_line.h"
#include "message.h"
#include "operand.h"
#include "output.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = {
    "build [MODEL | --model DIR] -o OUT.clipc [--precision P]",
    "      [--keep-precise SET] [--accuracy-gate cos:X|top1:X]",
    "      [--tune off|fast|full] [--timing-cache FILE]",
    "      [--image IMAGE|DIR|@LIST]... [--text TEXT]... [-f FILE]",
    "      [--image-shapes MIN,OPT,MAX] [--text-shapes MIN,OPT,MAX]",
    "      [--workspace SIZE]",
    NULL,
};

static const char *const examples[] = {
    "An int8 engine, if it keeps a cosine of 0.999 on my images",
    "clipc build clip-vit-base-patch32 -o b32.clipc --precision int8 --accuracy-gate cos:0.999 --image photos/",
    "The same with what clipc debug precision found",
    "clipc build clip-vit-base-patch32 -o b32.clipc --precision int8 --keep-precise image.3.fc2 "
    "--accuracy-gate cos:0.9999 --image photos/",
    NULL,
};

static const tool_option options[] = {
    {"output", 'o', OPTION_TEXT, "OUT.clipc", "the engine file to write", offsetof(tool_settings, output), 0, 0, NULL},
    {"accuracy-gate", 0, OPTION_TEXT, "GATE",
     "write it only if it reaches this: cos:0.9999, the least cosine to fp32 of any embedding, or top1:1.0, the share "
     "of images whose nearest text is that of fp32",
     offsetof(tool_settings, accuracy_gate), 0, 0, NULL},
    {"tune", 0, OPTION_CHOICE, "EFFORT",
     "measure on this machine what is fastest among ways of the same bits, and store it: off (the default), fast "
     "(seconds) or full",
     offsetof(tool_settings, tune), 0, 0, "off|fast|full"},
    {"timing-cache", 0, OPTION_TEXT, "FILE",
     "of --tune: keep what is measured in this file, for the next engine on such a device",
     offsetof(tool_settings, timing_cache), 0, 0, NULL},
    {"image-shapes", 0, OPTION_TEXT, "MIN,OPT,MAX",
     "batch sizes of images: what is measured is measured with OPT, and --workspace is for MAX; TensorRT's profile",
     offsetof(tool_settings, image_shapes), 0, 0, NULL},
    {"text-shapes", 0, OPTION_TEXT, "MIN,OPT,MAX", "the same of texts", offsetof(tool_settings, text_shapes), 0, 0,
     NULL},
    {"workspace", 0, OPTION_TEXT, "SIZE",
     "write it only if each tower's workspace takes at most so much, as 512M or 2G; TensorRT: the limit of its "
     "kernels",
     offsetof(tool_settings, workspace), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static int write_output(void *output, const void *bytes, size_t size)
{
    output_write(output, bytes, size);
    return 0;
}

/* Measures the engine that the file will hold: it computes the same bits. */
static bool passes_gate(const tool_settings *settings, const clipc_model *model, const accuracy_gate *gate,
                        accuracy *measured)
{
    accuracy_reference reference;
    accuracy_reference_create(&reference, settings, model, gate);
    *measured = accuracy_measure(&reference, settings, model, true, true, NULL, NULL);
    if (!model_inputs_given(settings))
        message_note("build: the gate was measured on random inputs; --image and --text name real ones");
    accuracy_reference_free(&reference);
    return accuracy_passes(measured, gate);
}

/* What is or would be written, for whom. */
typedef struct build_result {
    char *backend;
    char *isa;
    clipc_precision precision;
    uint64_t bytes; /* 0: it was not written */
} build_result;

static build_result write_file(const tool_settings *settings, const clipc_model *model, const clipc_tuning *tuning,
                               output_file **output)
{
    clipc_engine_config config = session_engine_config(settings);
    clipc_error error = {0};
    config.tuning = tuning;
    if (clipc_model_convert(model, &config, write_output, *output, &error) != CLIPC_OK)
        quit_failed(&error);
    output_close(*output);
    output_publish(output);
    clipc_model_info info;
    tool_settings made = {.model = settings->output};
    clipc_model *written = session_open_model(&made, &info);
    build_result result = {duplicate(info.packed_for), duplicate(info.packed_isa), info.precision, 0};
    clipc_model_file(written, 0, &result.bytes);
    clipc_model_destroy(&written);
    return result;
}

static build_result leave_unwritten(const tool_settings *settings, const clipc_model *model, output_file **output)
{
    const clipc_engine_info engine = session_plan_engine(settings, model);
    output_close(*output);
    output_discard(output);
    return (build_result){duplicate(engine.backend), duplicate(engine.isa), engine.precision, 0};
}

static void print_result(const tool_settings *settings, const build_result *result, const accuracy_gate *gate,
                         const accuracy *measured, const clipc_tuning *tuning)
{
    const bool passed = result->bytes > 0;
    char *text = accuracy_gate_asks(gate) ? accuracy_text(measured, gate) : NULL;
    if (settings->json) {
        json_t *object = json_object();
        json_put(object, "output", json_name(settings->output));
        json_put(object, "written", json_boolean(passed));
        json_put(object, "backend", json_string(result->backend));
        json_put(object, "isa", json_string(result->isa));
        json_put(object, "precision", json_string(clipc_precision_name(result->precision)));
        json_put(object, "keep_precise", json_string(settings->keep_precise ? settings->keep_precise : ""));
        json_put(object, "tuning", tuning_to_json(tuning));
        json_put(object, "bytes", passed ? json_integer((json_int_t)result->bytes) : json_null());
        json_put(object, "least_cosine", text ? json_real(measured->least_cosine) : json_null());
        json_put(object, "top1", text && measured->top1 > -1 ? json_real(measured->top1) : json_null());
        json_print(object);
    }
    if (!passed)
        message_error("%s: not written, it misses its gate: %s", settings->output, text);
    else if (text)
        message_note("%s: %s for %s (%s), %.1f MiB; passes its gate: %s", settings->output,
                     clipc_precision_name(result->precision), result->backend, result->isa,
                     (double)result->bytes / (1 << 20), text);
    else
        message_note("%s: %s for %s (%s), %.1f MiB", settings->output, clipc_precision_name(result->precision),
                     result->backend, result->isa, (double)result->bytes / (1 << 20));
    free(text);
}

static void check_command_line(const tool_settings *settings, const accuracy_gate *gate)
{
    if (!settings->output)
        quit(STATUS_USAGE, "build: no output file (-o OUT.clipc)");
    if (strcmp(settings->output, "-") == 0)
        quit(STATUS_USAGE, "build: an engine file has a name (-o OUT.clipc); clipc convert writes to pipes");
    if (!output_names_regular(settings->output))
        quit(STATUS_USAGE, "build: %s is no regular file; clipc convert writes to pipes and devices",
             settings->output);
    if (!accuracy_gate_asks(gate) && (model_inputs_given(settings) || settings->count || settings->seed))
        quit(STATUS_USAGE, "build: inputs are for a gate, and none is asked for (--accuracy-gate cos:0.9999)");
    model_inputs_check(settings, "build");
    build_tuning_check(settings);
}

static int run(const tool_settings *given)
{
    tool_settings settings = operand_or_model(given, "build");
    const accuracy_gate gate = accuracy_gate_parse(settings.accuracy_gate);
    build_shapes_settle(&settings, accuracy_gate_asks(&gate) || (settings.tune && strcmp(settings.tune, "off") != 0));
    if (strcmp(settings.backend, "tensorrt") == 0)
        return build_shapes_make_plans(&settings);
    check_command_line(&settings, &gate);
    clipc_model_info info;
    accuracy measured = {0};
    output_file *output = output_open(settings.output); /* first, as measuring may take long */
    clipc_model *model = session_open_model(&settings, &info);
    if (strcmp(settings.backend, "auto") == 0) /* as for convert */
        settings.backend = info.packed_for[0] ? info.packed_for : "cpu";
    build_shapes_check_workspace(&settings, model);
    const bool passed = !accuracy_gate_asks(&gate) || passes_gate(&settings, model, &gate, &measured);
    clipc_tuning *tuning = passed ? build_tuning_measure(&settings, model) : NULL;
    const build_result result =
        passed ? write_file(&settings, model, tuning, &output) : leave_unwritten(&settings, model, &output);
    print_result(&settings, &result, &gate, &measured, tuning);
    clipc_tuning_destroy(&tuning);
    free(result.backend);
    free(result.isa);
    clipc_model_destroy(&model);
    return passed ? STATUS_DONE : STATUS_INPUT;
}

const tool_command command_build = {
    .name = "build",
    .summary = "make an engine file that is as accurate as asked, or none",
    .synopsis = synopsis,
    .description =
        "Makes an engine file as clipc convert does. With --accuracy-gate it first encodes the images and texts named "
        "with the engine and with fp32, and writes nothing, ending with status 1, when the engine misses the gate; it "
        "says by how much. clipc debug precision finds the layers for --keep-precise that make it pass.\n\n"
        "--tune measures on this machine, with batches of --batch items, what is fastest among ways that give the "
        "same "
        "bits: on the CPU how much is computed together, on a GPU the tile of each product. The file keeps the "
        "choices "
        "and uses them on such a device with such options; elsewhere they are left alone, with a notice.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK | SHARED_IMAGES | SHARED_INPUTS | SHARED_RANDOM,
    .run = run,
};
