/* clipc similarity: the matrix of cosines between images and texts. */
#include "commands.h"

#include "conflicts.h"
#include "encode.h"
#include "escape.h"
#include "image_pipeline.h"
#include "json_line.h"
#include "message.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "session.h"
#include "texts.h"

#include <stdlib.h>

#define COLUMN_WIDTH   8
#define WIDEST_HEADING 24

static const char *const synopsis[] = {
    "similarity [--model DIR] IMAGE|DIR|@LIST|-...",
    "           --text TEXT | --texts-file FILE [--json]",
    NULL,
};

static const char *const examples[] = {
    "Two images, two texts",
    "clipc similarity cat.png dog.png --text 'a cat' --text 'a dog'",
    "Texts from a file, one JSON object an image",
    "clipc similarity photos/ --texts-file captions.txt --json",
    NULL,
};

static const tool_option options[] = {
    {"text", 't', OPTION_TEXTS, "TEXT", "a text; may be repeated", offsetof(tool_settings, texts), 0, 0, NULL},
    {"texts-file", 'f', OPTION_TEXTS, "FILE", "a file with one text a line; - is standard input",
     offsetof(tool_settings, text_files), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object a line", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static void embed_texts(const clipc_model *model, const clipc_model_info *info, clipc_engine *engine,
                        const text_list *texts, size_t batch, float *embeddings)
{
    token_batch tokens;
    token_batch_init(&tokens, model, info->context_length, batch);
    for (size_t i = 0; i < texts->count;) {
        const size_t first = i;
        for (; i < texts->count && tokens.count < batch; i++) {
            clipc_error error = {0};
            if (token_batch_add(&tokens, texts->items[i].bytes, texts->items[i].length, &error) != CLIPC_OK)
                quit(error.status == CLIPC_ERROR_FORMAT ? STATUS_USAGE : STATUS_SYSTEM, "text %zu: %s", i + 1,
                     error.message);
        }
        token_batch_encode(&tokens, engine, 0, embeddings + first * info->embedding_dimension);
    }
    token_batch_free(&tokens);
}

/* The images' names come last, so that nothing has to be known about those that follow. */
static void print_headings(const text_list *texts, size_t *widths)
{
    for (size_t i = 0; i < texts->count; i++) {
        char *heading = escape_clipped(texts->items[i].bytes, WIDEST_HEADING);
        const size_t width = display_width(heading);
        widths[i] = width > COLUMN_WIDTH ? width : COLUMN_WIDTH;
        print_format("%*s%s  ", (int)(widths[i] - width), "", heading);
        free(heading);
    }
    print_text("image\n");
}

static void print_row(const char *image, const float *similarities, const size_t *widths, size_t count)
{
    char *name = escape_for_terminal(image);
    for (size_t i = 0; i < count; i++)
        print_format("%*.4f  ", (int)widths[i], (double)similarities[i]);
    print_text(name);
    print_text("\n");
    print_flush();
    free(name);
}

static void print_json_row(const char *image, const char *precision, const float *similarities, size_t count)
{
    json_t *values = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(values, json_float(similarities[i]));
    json_t *line = json_object();
    json_put(line, "image", json_name(image));
    json_put(line, "precision", json_string(precision));
    json_put(line, "similarities", values);
    json_print(line);
}

typedef struct comparison {
    const tool_settings *settings;
    clipc_engine *engine;
    const char *precision; /* that the engine settled on */
    size_t dimension;
    const text_list *texts;
    float *text_embeddings;  /* [texts, dimension] */
    float *image_embeddings; /* [batch, dimension] */
    float *similarities;     /* [batch, texts] */
    size_t *widths;          /* of the columns */
} comparison;

static void compare_run(const comparison *with, const image_item *items, const image_pixels *pixels, size_t count,
                        input_report *report)
{
    const size_t texts = with->texts->count;
    encode_images(with->engine, pixels, count, 0, with->image_embeddings);
    clipc_similarities(with->image_embeddings, count, with->text_embeddings, texts, with->dimension,
                       with->similarities);
    for (size_t i = 0; i < count; i++) {
        if (!embedding_is_finite(with->image_embeddings + i * with->dimension, with->dimension))
            report_image(report, items[i].path, IMAGE_FAILED, not_finite);
        else if (with->settings->json)
            print_json_row(items[i].path, with->precision, with->similarities + i * texts, texts);
        else
            print_row(items[i].path, with->similarities + i * texts, with->widths, texts);
    }
}

static void compare_all(const comparison *with, image_pipeline *pipeline, input_report *report)
{
    const image_item *items = NULL;
    image_pixels pixels = {0};
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels)); report->total += count) {
        progress_update(report->total);
        if (items[0].outcome == IMAGE_READY)
            compare_run(with, items, &pixels, count, report);
        else
            report_image(report, items[0].path, items[0].outcome, items[0].reason);
    }
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count == 0)
        quit(STATUS_USAGE, "similarity: no images (IMAGE, DIR, @LIST or -)");
    if (settings->texts.count == 0 && settings->text_files.count == 0)
        quit(STATUS_USAGE, "similarity: no texts (--text TEXT or --texts-file FILE)");
    conflicts_check(settings, &settings->operands);
    text_list texts = {0};
    text_list_read(&texts, &settings->texts, &settings->text_files);
    if (texts.count == 0)
        quit(STATUS_USAGE, "similarity: no texts in the file");
    progress_start("images", &settings->operands, 0, true);
    const size_t batch = session_batch(settings);
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    const size_t dimension = info.embedding_dimension;
    image_pipeline *pipeline =
        image_pipeline_create(settings, model, batch, session_takes_bytes(settings, model), false);
    clipc_engine *engine = session_create_engine(settings, model, true, true, batch);
    const comparison with = {
        .settings = settings,
        .engine = engine,
        .precision = session_precision(engine),
        .dimension = dimension,
        .texts = &texts,
        .text_embeddings = allocate(texts.count * dimension, sizeof(float)),
        .image_embeddings = allocate(batch * dimension, sizeof(float)),
        .similarities = allocate(batch * texts.count, sizeof(float)),
        .widths = allocate(texts.count, sizeof(size_t)),
    };
    embed_texts(model, &info, engine, &texts, batch, with.text_embeddings);
    if (!settings->json)
        print_headings(&texts, with.widths);
    input_report report = {0};
    compare_all(&with, pipeline, &report);
    progress_finish();
    image_pipeline_destroy(&pipeline);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    free(with.text_embeddings);
    free(with.image_embeddings);
    free(with.similarities);
    free(with.widths);
    text_list_free(&texts);
    return report_end(&report);
}

const tool_command command_similarity = {
    .name = "similarity",
    .summary = "print the cosine similarities of images and texts",
    .synopsis = synopsis,
    .description =
        "Prints a row an image and a column a text, in the order given. Texts are used as they are, with no "
        "template. Image operands are as for classify, files of texts as for embed.",
    .examples = examples,
    .options = options,
    .shared = SHARED_ALL,
    .run = run,
};
