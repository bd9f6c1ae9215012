/* clipc export-onnx: both towers as graphs for other runtimes. */
#include "commands.h"

#include "conflicts.h"
#include "message.h"
#include "onnx_axes.h"
#include "output.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_OPSET 17

static const char *const synopsis[] = {
    "export-onnx [--model DIR] --out-dir DIR",
    "            [--visual-only | --textual-only] [--opset N]",
    "            [--dtype fp32|fp16] [--dynamic-axes AXES] [--batch N]",
    "            [--input-name NAME] [--output-name NAME]",
    "            [--token-type int64|int32] [--no-fold] [--normalize]",
    "            [--external-data] [--layernorm onnx|plugin]",
    "            [--quantize dynamic-quint8]",
    NULL,
};

static const char *const examples[] = {
    "Both towers, any batch",
    "clipc export-onnx --model clip-vit-base-patch32 --out-dir onnx",
    "The image tower alone, in fp16, for batches of 8",
    "clipc export-onnx --model clip-vit-base-patch32 --out-dir onnx --visual-only --dtype fp16 --batch 8",
    "As exporters of opset 12 wrote it, with names of one's own",
    "clipc export-onnx --out-dir onnx --opset 12 --visual-input-name pixels --textual-input-name tokens",
    NULL,
};

/* Every option of a graph, once for both towers and once for each. */
#define GRAPH_OPTIONS(prefix, field, of)                                                                              \
    {prefix "opset",                                                                                                  \
     0,                                                                                                               \
     OPTION_NUMBER,                                                                                                   \
     "N",                                                                                                             \
     "version of the operators" of " (default: 17)",                                                                  \
     offsetof(tool_settings, field.opset),                                                                            \
     12,                                                                                                              \
     20,                                                                                                              \
     NULL},                                                                                                           \
        {prefix "dtype",                                                                                              \
         0,                                                                                                           \
         OPTION_CHOICE,                                                                                               \
         "NAME",                                                                                                      \
         "weights and arithmetic" of ": fp32 (default), or fp16 with LayerNorm in fp32",                              \
         offsetof(tool_settings, field.dtype),                                                                        \
         0,                                                                                                           \
         0,                                                                                                           \
         "fp32|fp16"},                                                                                                \
        {prefix "input-name",                                                                                         \
         0,                                                                                                           \
         OPTION_TEXT,                                                                                                 \
         "NAME",                                                                                                      \
         "name of the input" of " (default: input)",                                                                  \
         offsetof(tool_settings, field.input_name),                                                                   \
         0,                                                                                                           \
         0,                                                                                                           \
         NULL},                                                                                                       \
        {prefix "output-name",                                                                                        \
         0,                                                                                                           \
         OPTION_TEXT,                                                                                                 \
         "NAME",                                                                                                      \
         "name of the output" of " (default: output)",                                                                \
         offsetof(tool_settings, field.output_name),                                                                  \
         0,                                                                                                           \
         0,                                                                                                           \
         NULL},                                                                                                       \
        {prefix "dynamic-axes",                                                                                       \
         0,                                                                                                           \
         OPTION_TEXT,                                                                                                 \
         "AXES",                                                                                                      \
         "what may vary" of ": batch (default), none, or input:0=NAME,output:0=NAME",                                 \
         offsetof(tool_settings, field.dynamic_axes),                                                                 \
         0,                                                                                                           \
         0,                                                                                                           \
         NULL},                                                                                                       \
        {prefix "batch", 0,   OPTION_NUMBER, "N", "a fixed batch" of, offsetof(tool_settings, field.batch), 1,        \
         1 << 20,        NULL},                                                                                       \
        {prefix "no-fold",                                                                                            \
         0,                                                                                                           \
         OPTION_FLAG,                                                                                                 \
         NULL,                                                                                                        \
         "turn matrices in the graph" of " instead of storing them turned",                                           \
         offsetof(tool_settings, field.no_fold),                                                                      \
         0,                                                                                                           \
         0,                                                                                                           \
         NULL},                                                                                                       \
        {prefix "quantize",                                                                                           \
         0,                                                                                                           \
         OPTION_CHOICE,                                                                                               \
         "HOW",                                                                                                       \
         "integers in place of floats" of ", as ONNX Runtime's quantize_dynamic makes them: none (default) or "       \
         "dynamic-quint8",                                                                                            \
         offsetof(tool_settings, field.quantize),                                                                     \
         0,                                                                                                           \
         0,                                                                                                           \
         "none|dynamic-quint8"},                                                                                      \
        {prefix "normalize",                                                                                          \
         0,                                                                                                           \
         OPTION_FLAG,                                                                                                 \
         NULL,                                                                                                        \
         "embeddings of unit length" of,                                                                              \
         offsetof(tool_settings, field.normalize),                                                                    \
         0,                                                                                                           \
         0,                                                                                                           \
         NULL},                                                                                                       \
    {                                                                                                                 \
        prefix "external-data", 0, OPTION_FLAG, NULL, "weights" of " in a file beside the graph",                     \
            offsetof(tool_settings, field.external_data), 0, 0, NULL                                                  \
    }

static const tool_option options[] = {
    {"out-dir", 'o', OPTION_TEXT, "DIR", "where clip_visual.onnx and clip_textual.onnx go; created when missing",
     offsetof(tool_settings, out_directory), 0, 0, NULL},
    {"visual-only", 0, OPTION_FLAG, NULL, "the image tower alone", offsetof(tool_settings, visual_only), 0, 0, NULL},
    {"textual-only", 0, OPTION_FLAG, NULL, "the text tower alone", offsetof(tool_settings, textual_only), 0, 0, NULL},
    {"token-type", 0, OPTION_CHOICE, "NAME", "type of token ids: int64 (default) or int32",
     offsetof(tool_settings, both_towers.token_type), 0, 0, "int64|int32"},
    {"layernorm", 0, OPTION_CHOICE, "NAME",
     "LayerNorm as ONNX has it (onnx, the default), or as the node of clipc's TensorRT plugin",
     offsetof(tool_settings, both_towers.layer_norm), 0, 0, "onnx|plugin"},
    GRAPH_OPTIONS("", both_towers, ""),
    GRAPH_OPTIONS("visual-", visual, " of the image tower"),
    GRAPH_OPTIONS("textual-", textual, " of the text tower"),
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* What was said for one tower goes before what was said for both. */
static onnx_settings settle(const onnx_settings *both, const onnx_settings *own)
{
    return (onnx_settings){
        .opset = own->opset    ? own->opset
                 : both->opset ? both->opset
                               : DEFAULT_OPSET,
        .dtype = own->dtype    ? own->dtype
                 : both->dtype ? both->dtype
                               : "fp32",
        .input_name = own->input_name    ? own->input_name
                      : both->input_name ? both->input_name
                                         : "input",
        .output_name = own->output_name    ? own->output_name
                       : both->output_name ? both->output_name
                                           : "output",
        .dynamic_axes = own->dynamic_axes ? own->dynamic_axes : both->dynamic_axes,
        .batch = own->batch ? own->batch : both->batch,
        .no_fold = own->no_fold || both->no_fold,
        .quantize = own->quantize    ? own->quantize
                    : both->quantize ? both->quantize
                                     : "none",
        .token_type = both->token_type ? both->token_type : "int64",
        .layer_norm = both->layer_norm ? both->layer_norm : "onnx",
        .normalize = own->normalize || both->normalize,
        .external_data = own->external_data || both->external_data,
    };
}

static int write_output(void *output, const void *bytes, size_t size)
{
    output_write(output, bytes, size);
    return 0;
}

static clipc_onnx_options graph_options(const onnx_settings *settings, bool text, onnx_axes *axes)
{
    clipc_onnx_options graph;
    clipc_onnx_options_init(&graph);
    *axes = onnx_axes_parse(settings, text);
    graph.text = text;
    graph.opset = (unsigned)settings->opset;
    graph.precision = strcmp(settings->dtype, "fp16") == 0 ? CLIPC_PRECISION_FP16 : CLIPC_PRECISION_FP32;
    graph.batch = settings->batch ? (size_t)settings->batch : 1;
    graph.input_name = settings->input_name;
    graph.output_name = settings->output_name;
    graph.input_axis = axes->input;
    graph.output_axis = axes->output;
    graph.fold = !settings->no_fold;
    graph.quantize_dynamic = strcmp(settings->quantize, "dynamic-quint8") == 0;
    graph.int32_tokens = strcmp(settings->token_type, "int32") == 0;
    graph.normalize = settings->normalize;
    graph.layer_norm_plugin = strcmp(settings->layer_norm, "plugin") == 0;
    return graph;
}

/* A graph that is written and not yet in its place. */
typedef struct exported_tower {
    output_file *graph;
    output_file *external; /* NULL: none */
    char *note;
} exported_tower;

/* Once both are whole: a pair of which one is old would be no model. */
static void publish_tower(exported_tower *written)
{
    if (!written->graph)
        return;
    if (written->external)
        output_publish(&written->external);
    output_publish(&written->graph);
    message_note("%s", written->note);
    free(written->note);
}

static void export_tower(const clipc_model *model, const tool_settings *settings, bool text, exported_tower *written)
{
    const onnx_settings tower = settle(&settings->both_towers, text ? &settings->textual : &settings->visual);
    const char *name = text ? "clip_textual.onnx" : "clip_visual.onnx";
    onnx_axes axes;
    const clipc_onnx_options graph = graph_options(&tower, text, &axes);
    char *path = format_text("%s/%s", settings->out_directory, name);
    char *external_name = format_text("%s.data", name);
    char *external_path = format_text("%s.data", path);
    output_file *output = output_open(path);
    output_file *external = tower.external_data ? output_open(external_path) : NULL;
    clipc_error error = {0};
    if (clipc_model_export_onnx(model, &graph, write_output, output, external ? write_output : NULL, external,
                                external_name, &error) != CLIPC_OK)
        quit_failed(&error);
    if (external)
        output_close(external);
    output_close(output);
    written->external = external;
    written->graph = output;
    char *batch = axes.input ? duplicate("of any size") : format_text("of %zu", graph.batch);
    written->note =
        format_text("%s: opset %u, %s, batch %s", path, graph.opset,
                    graph.quantize_dynamic ? "products of QUInt8" : clipc_precision_name(graph.precision), batch);
    free(batch);
    onnx_axes_free(&axes);
    free(path);
    free(external_name);
    free(external_path);
}

static bool says_something(const onnx_settings *tower)
{
    return tower->opset || tower->dtype || tower->input_name || tower->output_name || tower->dynamic_axes ||
           tower->batch || tower->no_fold || tower->quantize || tower->normalize || tower->external_data;
}

/* A model of graphs may lie where the new ones go. */
static void check_not_model(const tool_settings *settings, const clipc_model *model)
{
    static const char *const names[] = {"clip_visual.onnx", "clip_visual.onnx.data", "clip_textual.onnx",
                                        "clip_textual.onnx.data"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = format_text("%s/%s", settings->out_directory, names[i]);
        conflicts_check_not_model(path, model);
        free(path);
    }
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count)
        quit(STATUS_USAGE, "export-onnx: '%s' is not expected here (--model DIR?)", settings->operands.items[0]);
    if (!settings->out_directory || !settings->out_directory[0])
        quit(STATUS_USAGE, "export-onnx: no folder to write to (--out-dir DIR)");
    if (settings->visual_only && settings->textual_only)
        quit(STATUS_USAGE, "export-onnx: --visual-only and --textual-only leave nothing");
    if (settings->visual_only && says_something(&settings->textual))
        quit(STATUS_USAGE, "export-onnx: --visual-only leaves out the tower that a --textual-… option is for");
    if (settings->textual_only && says_something(&settings->visual))
        quit(STATUS_USAGE, "export-onnx: --textual-only leaves out the tower that a --visual-… option is for");
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    check_not_model(settings, model);
    output_directory(settings->out_directory);
    /* A tower that is asked for and absent is a failure; one that is just not there is left out. */
    exported_tower image = {0};
    exported_tower text = {0};
    if (settings->visual_only || (!settings->textual_only && !info.image_absent))
        export_tower(model, settings, false, &image);
    if (settings->textual_only || (!settings->visual_only && !info.text_absent))
        export_tower(model, settings, true, &text);
    publish_tower(&image);
    publish_tower(&text);
    clipc_model_destroy(&model);
    return STATUS_DONE;
}

const tool_command command_export_onnx = {
    .name = "export-onnx",
    .summary = "write the towers as ONNX graphs for other runtimes",
    .synopsis = synopsis,
    .description =
        "Writes clip_visual.onnx (pixels [batch, 3, height, width] to embeddings [batch, D], both fp32) and "
        "clip_textual.onnx (token ids [batch, context length], padded behind the end token with zeros, to "
        "embeddings). clipc preprocess and clipc tokenize make what they read. A SigLIP's texts are filled up to the "
        "context with its pad token, and the network sees that: clipc tokenize prints all of it.\n\n"
        "Every option of a graph may be given for one tower as --visual-… or --textual-…. Metadata of the graphs hold "
        "the config, the preprocessing rule, the template and logit_scale (the factor, not its logarithm).",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL,
    .run = run,
};
