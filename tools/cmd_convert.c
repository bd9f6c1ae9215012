/* clipc convert: a model as one file that is ready to run, or as a directory of transformers. */
#include "commands.h"

#include "convert_directory.h"
#include "message.h"
#include "output.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".clipc"
#define USAGE  "convert MODEL OUT.clipc, or convert MODEL OUT/"

static const char *const synopsis[] = {
    "convert MODEL OUT.clipc [--backend cpu|cuda] [--precision P]",
    "convert MODEL OUT/ [--precision fp32|fp16|bf16]",
    "convert [--model MODEL | --arch NAME] OUT [--precision P]",
    NULL,
};

static const char *const examples[] = {
    "A directory of transformers as one file",
    "clipc convert clip-vit-base-patch32 b32.clipc",
    "Used as every model is",
    "clipc classify --model b32.clipc cat.png --labels cat,dog",
    "Is the file undamaged?",
    "clipc inspect --model b32.clipc --verify",
    "A file of OpenAI's as a directory that transformers loads",
    "clipc convert ViT-B-32.pt clip-vit-base-patch32/ --precision fp16",
    NULL,
};

static const tool_option options[] = {
    {"arch", 0, OPTION_TEXT, "NAME", "random weights of this architecture in place of a model (see clipc help bench)",
     offsetof(tool_settings, architecture), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static int write_output(void *output, const void *bytes, size_t size)
{
    output_write(output, bytes, size);
    return 0;
}

static clipc_engine_config engine_config(const tool_settings *settings)
{
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = settings->backend;
    config.precision = session_wanted_precision(settings);
    config.threads = (size_t)settings->threads;
    config.keep_precise = settings->keep_precise;
    return config;
}

/* What came of it, from the file itself. */
static void report(const char *path)
{
    tool_settings made = {.model = path};
    clipc_model_info info;
    uint64_t bytes = 0;
    clipc_model *model = session_open_model(&made, &info);
    clipc_model_file(model, 0, &bytes);
    message_note("%s: %s for %s, %.1f MiB", path, clipc_precision_name(info.precision), info.layout,
                 (double)bytes / (1 << 20));
    clipc_model_destroy(&model);
}

static bool is_engine_name(const char *path)
{
    const size_t length = strlen(path);
    return length >= strlen(SUFFIX) && strcmp(path + length - strlen(SUFFIX), SUFFIX) == 0;
}

/* With one operand and no model named, the demo model would be written over what was most likely meant as the source.
 */
static void check_single(const tool_settings *settings, const char *path)
{
    const char *variable = getenv("CLIPC_MODEL");
    if (settings->model || settings->architecture || (variable && variable[0]))
        return;
    if (!is_engine_name(path) || access(path, F_OK) == 0)
        quit(STATUS_USAGE,
             "convert: '%s' is the only operand (" USAGE "; a new NAME.clipc alone takes the embedded demo model)",
             path);
}

static void write_engine_file(const tool_settings *settings, tool_settings *source, const char *path)
{
    if (!is_engine_name(path)) /* an engine file may be packed anew in its place; no other model is replaced */
        source->output = path;
    output_file *output = output_open(path);
    const bool regular = output_is_regular(output);
    clipc_model_info info;
    clipc_model *model = session_open_model(source, &info);
    const clipc_engine_config config = engine_config(settings);
    clipc_error error = {0};
    if (clipc_model_convert(model, &config, write_output, output, &error) != CLIPC_OK)
        quit_failed(&error);
    output_close(output);
    output_publish(&output);
    clipc_model_destroy(&model);
    if (regular)
        report(path);
}

static int run(const tool_settings *settings)
{
    const size_t operands = settings->operands.count;
    tool_settings source = *settings;
    if (operands == 0)
        quit(STATUS_USAGE, "convert: no output (" USAGE ")");
    if (operands > 2)
        quit(STATUS_USAGE, "convert: '%s' is one operand too many (" USAGE ")", settings->operands.items[2]);
    if (operands == 2 && (settings->model || settings->architecture))
        quit(STATUS_USAGE, "convert: both '%s' and --%s name the model to convert", settings->operands.items[0],
             settings->model ? "model" : "arch");
    if (operands == 2)
        source.model = settings->operands.items[0];
    const char *path = settings->operands.items[operands - 1];
    if (operands == 1)
        check_single(settings, path);
    if (convert_names_directory(path))
        convert_to_directory(&source, path);
    else
        write_engine_file(settings, &source, path);
    return STATUS_DONE;
}

const tool_command command_convert = {
    .name = "convert",
    .summary = "make one file of a model that is ready to run, or a directory of transformers",
    .synopsis = synopsis,
    .description =
        "OUT.clipc is an engine file: the model's weights packed for one precision and this processor, its tokenizer, "
        "preprocessing rule, default template and model card (README.md or CARD.md of the directory). Every command "
        "takes it as --model. It starts in milliseconds, because nothing is parsed or copied, and processes that use "
        "it share its memory.\n\n"
        "An engine file serves the precision and the backend it was made for and no other: the CPU, or with --backend "
        "cuda NVIDIA's devices, which need not be here then. On a processor whose kernels read another "
        "layout it still works: it is repacked at every start, with a notice.\n\n"
        "OUT/ (a name that ends in a slash, or an empty directory) becomes a directory as transformers saves its "
        "models. There --precision is the dtype of the weights; auto keeps the one they have.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK,
    .run = run,
};
