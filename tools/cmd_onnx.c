/* clipc onnx: changes to graphs that others made. */
#include "commands.h"

#include "message.h"
#include "output.h"
#include "session.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool is_same_file(const char *a, const char *b)
{
    struct stat left;
    struct stat right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
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

/* Quits when `out` is the file at `location`, beside the graph `in`. */
static void check_location(const char *in, const char *out, const char *location, size_t length)
{
    const char *slash = strrchr(in, '/');
    char *path = format_text("%.*s%.*s", slash ? (int)(slash - in) + 1 : 0, in, (int)length, location);
    if (is_same_file(path, out))
        quit(STATUS_USAGE, "%s: holds weights of %s and would be replaced by the output", out, in);
    free(path);
}

/* Finds every StringStringEntryProto {key: "location", value}, as encoders write it: fields by number, the value
 * behind its length in base 128. Bytes that only look like one can do no more than refuse a file of that very name. */
static void check_locations(const char *in, const char *out, const unsigned char *bytes, size_t size)
{
    static const char key[] = "\x0a\x08location\x12";
    const unsigned char *end = bytes + size;
    for (const unsigned char *at = bytes; (at = memmem(at, (size_t)(end - at), key, strlen(key)));) {
        at += strlen(key);
        size_t length = 0;
        for (unsigned shift = 0; at < end && shift < 14; shift += 7) {
            length |= (size_t)(*at & 127u) << shift;
            if (*at++ < 128)
                break;
        }
        if (length <= (size_t)(end - at))
            check_location(in, out, (const char *)at, length);
    }
}

static void check_external(const char *in, const char *out)
{
    struct stat info;
    const int file = open(in, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return; /* the library says why */
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
        const size_t size = (size_t)info.st_size;
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes != MAP_FAILED) {
            check_locations(in, out, bytes, size);
            munmap(bytes, size);
        }
    }
    close(file);
}

static int replace_layer_norm(const char *in, const char *out)
{
    if (is_same_file(in, out))
        quit(STATUS_USAGE, "onnx: %s would be written over itself", in);
    check_external(in, out);
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
