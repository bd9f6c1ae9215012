/* clipc embed image, clipc embed text: embeddings to a .npy file. */
#include "commands.h"

#include "conflicts.h"
#include "image_pipeline.h"
#include "message.h"
#include "npy_writer.h"
#include "progress.h"
#include "session.h"
#include "sidecar.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = {
    "embed image [--model DIR] IMAGE|DIR|@LIST|-... -o OUT.npy",
    "embed text [--model DIR] TEXT... | -f FILE -o OUT.npy",
    NULL,
};

static const char *const examples[] = {
    "All images below a folder",
    "clipc embed image photos/ -o photos.npy",
    "Paths from another program",
    "find photos -name '*.jpg' -newer last.npy | clipc embed image - -o new.npy",
    "A text a line",
    "clipc embed text -f captions.txt -o captions.npy",
    "Straight into another program",
    "clipc embed text 'a cat' 'a dog' -o - | python3 -c 'import sys,io,numpy; "
    "print(numpy.load(io.BytesIO(sys.stdin.buffer.read())).shape)'",
    NULL,
};

static const tool_option options[] = {
    {"output", 'o', OPTION_TEXT, "OUT.npy", "the array to write; - is standard output",
     offsetof(tool_settings, output), 0, 0, NULL},
    {"file", 'f', OPTION_TEXTS, "FILE", "embed text: a file with one text a line; - is standard input",
     offsetof(tool_settings, text_files), 0, 0, NULL},
    {"no-normalize", 0, OPTION_FLAG, NULL, "write raw projections instead of rows of unit length",
     offsetof(tool_settings, no_normalize), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* What both kinds of input share: the array, its sidecar, and the count of what failed. */
typedef struct embedding_run {
    const tool_settings *settings;
    clipc_model *model;
    clipc_model_info info;
    clipc_engine *engine;
    size_t batch;
    unsigned flags;
    float *rows; /* [batch, D] */
    npy_writer *array;
    sidecar_file *sidecar; /* or NULL */
    size_t failed;
    size_t done;
} embedding_run;

static void open_model(embedding_run *run, const tool_settings *settings)
{
    run->settings = settings;
    run->batch = session_batch(settings);
    run->flags = settings->no_normalize ? CLIPC_ENCODE_UNNORMALIZED : 0;
    run->model = session_open_model(settings, &run->info);
}

/* The length of a row is known only from the model, but outputs are probed before any work: a device or a pipe by
 * opening it, a file by making its temporary one. */
static void open_outputs(embedding_run *run, const char *path)
{
    run->array = npy_writer_open(path);
    if (npy_writer_is_regular(run->array))
        run->sidecar = sidecar_open(path);
}

static void start_outputs(embedding_run *run)
{
    npy_writer_start(run->array, &run->info.embedding_dimension, 1);
    clipc_engine_info engine = {.size = sizeof engine};
    clipc_engine_get_info(run->engine, &engine, NULL);
    if (run->sidecar)
        sidecar_start(run->sidecar, &run->info, &engine);
    run->rows = allocate(run->batch * run->info.embedding_dimension, sizeof *run->rows);
}

static int finish(embedding_run *run)
{
    progress_finish();
    npy_writer_close(run->array);
    if (run->sidecar)
        sidecar_close(run->sidecar);
    const size_t rows = npy_writer_count(run->array);
    npy_writer_publish(&run->array);
    if (run->sidecar)
        sidecar_publish(&run->sidecar);
    const double seconds = progress_seconds();
    message_detail("%zu rows, %zu failed, %.3f s, %.1f/s", rows, run->failed, seconds, (double)rows / seconds);
    if (rows == 0 && run->failed == 0)
        message_note("nothing to embed: the array has no rows");
    free(run->rows);
    clipc_engine_destroy(&run->engine);
    clipc_model_destroy(&run->model);
    return run->failed ? STATUS_INPUT : STATUS_DONE;
}

/* ---- images ---- */

static void add_images(embedding_run *run, const image_item *items, const float *pixels, size_t count)
{
    clipc_error error = {0};
    if (clipc_engine_encode_images(run->engine, pixels, count, run->flags, run->rows, &error) != CLIPC_OK)
        quit_failed(&error);
    npy_writer_rows(run->array, run->rows, count);
    for (size_t i = 0; i < count && run->sidecar; i++)
        sidecar_row(run->sidecar, items[i].path, strlen(items[i].path));
}

static void skip_image(embedding_run *run, const image_item *item)
{
    image_item_report(item);
    run->failed += item->outcome == IMAGE_FAILED;
    if (run->sidecar)
        sidecar_skip(run->sidecar, item->path, strlen(item->path), item->reason);
}

static int embed_images(const tool_settings *settings)
{
    if (settings->operands.count == 0)
        quit(STATUS_USAGE, "embed image: no images (IMAGE, DIR, @LIST or -)");
    if (settings->text_files.count)
        quit(STATUS_USAGE, "embed image: -f is for texts; a list of images is @%s", settings->text_files.items[0]);
    conflicts_check(settings, &settings->operands);
    embedding_run run = {0};
    open_outputs(&run, settings->output);
    progress_start("images", &settings->operands, 0, false);
    open_model(&run, settings);
    image_pipeline *pipeline = image_pipeline_create(settings, run.model, run.batch, false);
    run.engine = session_create_engine(settings, run.model, true, false, run.batch);
    start_outputs(&run);
    const image_item *items = NULL;
    const float *pixels = NULL;
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels));) {
        if (items[0].outcome == IMAGE_READY)
            add_images(&run, items, pixels, count);
        else
            skip_image(&run, &items[0]);
        run.done += count;
        progress_update(run.done);
    }
    image_pipeline_destroy(&pipeline);
    return finish(&run);
}

/* ---- texts ---- */

static void encode_gathered(embedding_run *run, token_batch *tokens)
{
    const size_t count = tokens->count;
    token_batch_encode(tokens, run->engine, run->flags, run->rows);
    npy_writer_rows(run->array, run->rows, count);
    progress_update(run->done);
}

static void add_text(embedding_run *run, token_batch *tokens, const text_line *text)
{
    clipc_error error = {0};
    run->done++;
    if (token_batch_add(tokens, text->bytes, text->length, &error) == CLIPC_OK) {
        if (run->sidecar)
            sidecar_row(run->sidecar, text->bytes, text->length);
        return;
    }
    run->failed++;
    message_error("text %zu: %s", run->done, error.message);
    if (run->sidecar)
        sidecar_skip(run->sidecar, text->bytes, text->length, error.message);
}

static int embed_texts(const tool_settings *settings)
{
    if (settings->operands.count == 0 && settings->text_files.count == 0)
        quit(STATUS_USAGE, "embed text: no texts (TEXT or -f FILE)");
    conflicts_check(settings, NULL);
    embedding_run run = {0};
    open_outputs(&run, settings->output);
    text_source *source = text_source_open(&settings->operands, &settings->text_files);
    progress_start("texts", NULL, settings->text_files.count ? 0 : settings->operands.count, false);
    open_model(&run, settings);
    run.engine = session_create_engine(settings, run.model, false, true, run.batch);
    start_outputs(&run);
    token_batch tokens;
    token_batch_init(&tokens, run.model, run.info.context_length, run.batch);
    for (text_line next; text_source_next(source, &next);) {
        add_text(&run, &tokens, &next);
        if (tokens.count == run.batch)
            encode_gathered(&run, &tokens);
    }
    encode_gathered(&run, &tokens);
    token_batch_free(&tokens);
    text_source_close(&source);
    return finish(&run);
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count == 0)
        quit(STATUS_USAGE, "embed: image or text? (clipc embed image …, clipc embed text …)");
    const char *kind = settings->operands.items[0];
    const bool image = strcmp(kind, "image") == 0;
    if (!image && strcmp(kind, "text") != 0)
        quit(STATUS_USAGE, "embed: '%s' is neither image nor text", kind);
    if (!settings->output)
        quit(STATUS_USAGE, "embed %s: no output (-o OUT.npy)", kind);
    tool_settings inner = *settings;
    inner.operands.items++;
    inner.operands.count--;
    return image ? embed_images(&inner) : embed_texts(&inner);
}

const tool_command command_embed = {
    .name = "embed",
    .summary = "write the embeddings of images or texts to a .npy file",
    .synopsis = synopsis,
    .description =
        "Writes a float32 array [N, D] whose rows have unit length and follow the order of the inputs, and beside it "
        "OUT.npy.json with the input of each row and the inputs that were skipped. An input that fails is reported "
        "and skipped; the exit status is then 1.\n\n"
        "Both files appear under their names only when they are complete. Standard output, devices and pipes are "
        "written straight through, with no sidecar: the rows wait in an unnamed temporary file until their number, "
        "which the header states, is known.\n\n"
        "Lines of a file of texts end at a line feed (a carriage return before it is dropped); an empty line is a "
        "text. Image operands are as for classify.",
    .examples = examples,
    .options = options,
    .run = run,
};
