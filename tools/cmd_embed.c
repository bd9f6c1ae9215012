/* clipc embed image, clipc embed text: embeddings to a .npy file. */
#include "commands.h"

#include "conflicts.h"
#include "encode.h"
#include "image_pipeline.h"
#include "json_line.h"
#include "message.h"
#include "npy_writer.h"
#include "progress.h"
#include "report.h"
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
    input_report report;
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

static void start_outputs(embedding_run *run, bool images)
{
    npy_writer_start(run->array, &run->info.embedding_dimension, 1);
    clipc_engine_info engine = {.size = sizeof engine};
    clipc_engine_get_info(run->engine, &engine, NULL);
    if (run->sidecar) {
        json_t *head = sidecar_head(&run->info, images ? run->settings : NULL);
        json_put(head, "precision", json_string(clipc_precision_name(engine.precision)));
        json_put(head, "backend", json_string(engine.backend));
        json_put(head, "isa", json_string(engine.isa));
        json_put(head, "dimension", json_integer((json_int_t)run->info.embedding_dimension));
        json_put(head, "normalized", json_boolean(!run->settings->no_normalize));
        sidecar_start(run->sidecar, head);
    }
    run->rows = allocate(run->batch * run->info.embedding_dimension, sizeof *run->rows);
}

static void write_row(embedding_run *run, const float *row, size_t index, const char *input, size_t length)
{
    npy_writer_rows(run->array, row, 1);
    if (run->sidecar)
        sidecar_row(run->sidecar, index, input, length);
}

static int finish(embedding_run *run)
{
    progress_finish();
    const size_t rows = npy_writer_count(run->array);
    outputs_finish(&run->array, &run->sidecar, run->report.failed != 0, run->settings->output);
    const double seconds = progress_seconds();
    message_detail("%zu rows, %.3f s, %.1f/s", rows, seconds, (double)rows / seconds);
    free(run->rows);
    clipc_engine_destroy(&run->engine);
    clipc_model_destroy(&run->model);
    return report_end(&run->report);
}

/* ---- images ---- */

static void skip_image(embedding_run *run, size_t index, const image_item *item, image_outcome outcome,
                       const char *reason)
{
    report_image(&run->report, item->path, outcome, reason);
    if (run->sidecar)
        sidecar_skip(run->sidecar, index, item->path, strlen(item->path), reason);
}

static void add_images(embedding_run *run, const image_item *items, const image_pixels *pixels, size_t count)
{
    const size_t dimension = run->info.embedding_dimension;
    encode_images(run->engine, pixels, count, run->flags, run->rows);
    for (size_t i = 0; i < count; i++) {
        if (embedding_is_finite(run->rows + i * dimension, dimension))
            write_row(run, run->rows + i * dimension, run->report.total + i, items[i].path, strlen(items[i].path));
        else
            skip_image(run, run->report.total + i, &items[i], IMAGE_FAILED, not_finite);
    }
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
    image_pipeline *pipeline =
        image_pipeline_create(settings, run.model, run.batch, session_takes_bytes(settings, run.model), false);
    run.engine = session_create_engine(settings, run.model, true, false, run.batch);
    start_outputs(&run, true);
    const image_item *items = NULL;
    image_pixels pixels = {0};
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels));) {
        if (items[0].outcome == IMAGE_READY)
            add_images(&run, items, &pixels, count);
        else
            skip_image(&run, run.report.total, &items[0], items[0].outcome, items[0].reason);
        run.report.total += count;
        progress_update(run.report.total);
    }
    image_pipeline_destroy(&pipeline);
    return finish(&run);
}

/* ---- texts ---- */

/* Texts on their way through one encode call. */
typedef struct text_batch {
    token_batch tokens;
    text_list texts;
    size_t *indices; /* of the inputs, from 0 */
} text_batch;

static void skip_text(embedding_run *run, size_t index, const text_line *text, const char *reason)
{
    report_text(&run->report, index, reason);
    if (run->sidecar)
        sidecar_skip(run->sidecar, index, text->bytes, text->length, reason);
}

static void encode_gathered(embedding_run *run, text_batch *batch)
{
    const size_t dimension = run->info.embedding_dimension;
    encode_tokens(run->engine, &batch->tokens, run->flags, run->rows);
    for (size_t i = 0; i < batch->texts.count; i++) {
        const text_line *text = &batch->texts.items[i];
        if (embedding_is_finite(run->rows + i * dimension, dimension))
            write_row(run, run->rows + i * dimension, batch->indices[i], text->bytes, text->length);
        else
            skip_text(run, batch->indices[i], text, not_finite);
    }
    text_list_free(&batch->texts);
    progress_update(run->report.total);
}

static void add_text(embedding_run *run, text_batch *batch, const text_line *text)
{
    clipc_error error = {0};
    const size_t index = run->report.total++;
    if (token_batch_add(&batch->tokens, text->bytes, text->length, &error) != CLIPC_OK) {
        skip_text(run, index, text, error.message);
        return;
    }
    batch->indices[batch->texts.count] = index;
    text_list_add(&batch->texts, text->bytes, text->length);
    if (batch->tokens.count == run->batch)
        encode_gathered(run, batch);
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
    start_outputs(&run, false);
    text_batch batch = {.indices = allocate(run.batch, sizeof *batch.indices)};
    token_batch_init(&batch.tokens, run.model, run.info.context_length, run.batch);
    for (text_line next; text_source_next(source, &next);)
        add_text(&run, &batch, &next);
    encode_gathered(&run, &batch);
    token_batch_free(&batch.tokens);
    free(batch.indices);
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
    .shared = SHARED_ALL,
    .run = run,
};
