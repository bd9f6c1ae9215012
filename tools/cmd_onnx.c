/* clipc onnx: changes to graphs that others made. */
#include "commands.h"

#include "message.h"
#include "output.h"
#include "session.h"

#include <string.h>
#include <sys/stat.h>

static const char *const synopsis[] = {
    "onnx replace-layernorm IN.onnx OUT.onnx",
    NULL,
};

static const char *const examples[] = {
    "The plugin in place of the LayerNorms of a graph",
    "clipc onnx replace-layernorm clip_visual.onnx clip_visual_plugin.onnx",
    "TensorRT with it",
    "trtexec --onnx=clip_visual_plugin.onnx --staticPlugins=libclipc_trt_plugins.so",
    NULL,
};

static const tool_option options[] = {
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static int write_output(void *output, const void *bytes, size_t size)
{
    output_write(output, bytes, size);
    return 0;
}

/* Files of external data are named relative to the graph. */
static bool same_directory(const char *a, const char *b)
{
    const char *slash_a = strrchr(a, '/');
    const char *slash_b = strrchr(b, '/');
    const size_t length_a = slash_a ? (size_t)(slash_a - a) : 0;
    const size_t length_b = slash_b ? (size_t)(slash_b - b) : 0;
    return length_a == length_b && strncmp(a, b, length_a) == 0;
}

static int replace_layer_norm(const char *in, const char *out)
{
    struct stat from;
    struct stat to;
    if (stat(in, &from) == 0 && stat(out, &to) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        quit(STATUS_USAGE, "onnx: %s would be written over itself", in);
    clipc_error error = {0};
    clipc_onnx_replaced replaced = {0};
    output_file *output = output_open(out);
    if (clipc_onnx_replace_layer_norm(in, write_output, output, &replaced, &error) != CLIPC_OK)
        quit_failed(&error);
    if (replaced.operators + replaced.chains == 0) {
        if (replaced.left)
            quit(STATUS_SYSTEM, "%s: no LayerNorm can be replaced (%s)", in, replaced.reason);
        quit(STATUS_SYSTEM, "%s: holds no LayerNorm over the last axis, neither an operator nor a chain", in);
    }
    output_close(output);
    output_publish(&output);
    message_note("%s: %zu LayerNorms replaced, %zu of them operators and %zu chains", out,
                 replaced.operators + replaced.chains, replaced.operators, replaced.chains);
    if (replaced.left)
        message_error("%zu LayerNorms stay: %s", replaced.left, replaced.reason);
    if (!same_directory(in, out))
        message_note("files of external data, if there are any, must be copied beside %s", out);
    return STATUS_DONE;
}

static int run(const tool_settings *settings)
{
    const string_list *operands = &settings->operands;
    if (operands->count == 0)
        quit(STATUS_USAGE, "onnx: what is to be done? (clipc onnx replace-layernorm IN OUT)");
    if (strcmp(operands->items[0], "replace-layernorm") != 0)
        quit(STATUS_USAGE, "onnx: '%s' is not known (replace-layernorm)", operands->items[0]);
    if (operands->count != 3)
        quit(STATUS_USAGE, "onnx replace-layernorm: takes a graph and where to write it, not %zu files",
             operands->count - 1);
    return replace_layer_norm(operands->items[1], operands->items[2]);
}

const tool_command command_onnx = {
    .name = "onnx",
    .summary = "put clipc's TensorRT plugin in place of the LayerNorms of a graph",
    .synopsis = synopsis,
    .description =
        "Reads any ONNX graph, finds its LayerNorms, be they the operator LayerNormalization or the chain of nine "
        "operators that exporters wrote before opset 17, and writes the graph with one node ClipcLayerNorm in place "
        "of "
        "each. Everything else stays as it was. TensorRT finds the plugin in libclipc_trt_plugins.so.",
    .examples = examples,
    .options = options,
    .shared = 0,
    .run = run,
};
