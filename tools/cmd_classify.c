/* clipc classify: which of some labels fits each image. */
#include "commands.h"

#include "conflicts.h"
#include "encode.h"
#include "image_pipeline.h"
#include "json_line.h"
#include "message.h"
#include "progress.h"
#include "ranking.h"
#include "report.h"
#include "result_sheet.h"
#include "session.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

#define PLACE "{}"
/* A card of the result sheet with all of a thousand labels helps nobody. */
#define SHEET_LABELS 8

static const char *const synopsis[] = {
    "classify [--model DIR] IMAGE|DIR|@LIST|-...",
    "         --labels A,B,C | --labels-file FILE",
    "         [--template TEXT]... [--top K] [--json] [--html OUT.html]",
    NULL,
};

static const char *const examples[] = {
    "Is it a cat or a dog?",
    "clipc classify cat.png --labels cat,dog",
    "All images below a folder, the three best of many labels, as a page to look at",
    "clipc classify photos/ --labels-file labels.txt --top 3 --html result.html",
    "Several templates, averaged as in zero-shot evaluation; one JSON object a line",
    "clipc classify @list.txt --labels cat,dog --template 'a photo of a {}' --template 'a drawing of a {}' --json",
    NULL,
};

static const tool_option options[] = {
    {"labels", 'l', OPTION_TEXTS, "A,B,C", "labels, separated by commas and trimmed; may be repeated",
     offsetof(tool_settings, labels), 0, 0, NULL},
    {"labels-file", 0, OPTION_TEXT, "FILE", "a file with one label a line", offsetof(tool_settings, labels_file), 0, 0,
     NULL},
    {"template", 't', OPTION_TEXTS, "TEXT", "the text a label becomes, with {} for the label; may be repeated",
     offsetof(tool_settings, templates), 0, 0, NULL},
    {"top", 'k', OPTION_NUMBER, "K", "show the K best labels of each image only", offsetof(tool_settings, top), 1,
     UINT32_MAX, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object a line", offsetof(tool_settings, json), 0, 0, NULL},
    {"html", 0, OPTION_TEXT, "OUT.html", "also write a result sheet with thumbnails and bars",
     offsetof(tool_settings, html), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* ---- labels and templates ---- */

/* The labels between the commas; empty ones are passed over. */
static void add_labels(text_list *labels, const char *list)
{
    for (;;) {
        const size_t length = strcspn(list, ",");
        text_list_add_trimmed(labels, list, length);
        if (!list[length])
            return;
        list += length + 1;
    }
}

static void drop_empty(text_list *labels)
{
    size_t kept = 0;
    for (size_t i = 0; i < labels->count; i++) {
        if (labels->items[i].length)
            labels->items[kept++] = labels->items[i];
        else
            free(labels->items[i].bytes);
    }
    labels->count = kept;
}

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A label named twice shares its score with itself, which is seldom meant. */
static void note_duplicates(const text_list *labels)
{
    char **sorted = allocate(labels->count, sizeof *sorted);
    for (size_t i = 0; i < labels->count; i++)
        sorted[i] = labels->items[i].bytes;
    qsort(sorted, labels->count, sizeof *sorted, compare_labels);
    for (size_t i = 1; i < labels->count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0) {
            message_note("label '%s' is named more than once: a softmax shares its score out", sorted[i]);
            break;
        }
    free(sorted);
}

/* A NUL byte would cut the label where it is shown. */
static void add_file_label(text_list *labels, const char *file, size_t index, const text_line *line)
{
    if (memchr(line->bytes, '\0', line->length))
        quit(STATUS_USAGE, "%s: line %zu holds a NUL byte", file, index + 1);
    text_list_add_trimmed(labels, line->bytes, line->length);
}

static void read_labels(const tool_settings *settings, text_list *labels)
{
    for (size_t i = 0; i < settings->labels.count; i++)
        add_labels(labels, settings->labels.items[i]);
    if (settings->labels_file) {
        text_list lines = {0};
        string_list files = {0};
        string_list_add(&files, settings->labels_file);
        text_list_read(&lines, &(string_list){0}, &files);
        for (size_t i = 0; i < lines.count; i++)
            add_file_label(labels, settings->labels_file, i, &lines.items[i]);
        text_list_free(&lines);
        free(files.items);
    }
    drop_empty(labels);
    if (labels->count == 0)
        quit(STATUS_USAGE, "classify: no labels%s (--labels A,B,C or --labels-file FILE)",
             settings->labels_file ? " in the file" : "");
    note_duplicates(labels);
}

static void check_templates(const string_list *templates)
{
    for (size_t i = 0; i < templates->count; i++)
        if (!strstr(templates->items[i], PLACE))
            quit(STATUS_USAGE, "--template: '%s' has no {} for the label", templates->items[i]);
}

/* Every {} of the template replaced. The caller frees. */
static char *fill_template(const char *template, const text_line *label, size_t *length)
{
    size_t places = 0;
    for (const char *at = strstr(template, PLACE); at; at = strstr(at + strlen(PLACE), PLACE))
        places++;
    char *filled = allocate(strlen(template) + places * label->length + 1, 1);
    size_t used = 0;
    for (;;) {
        const char *place = strstr(template, PLACE);
        const size_t before = place ? (size_t)(place - template) : strlen(template);
        memcpy(filled + used, template, before);
        used += before;
        if (!place)
            break;
        memcpy(filled + used, label->bytes, label->length);
        used += label->length;
        template = place + strlen(PLACE);
    }
    *length = used;
    return filled;
}

/* Makes one row of `embeddings` a label: the mean over the templates. */
static void embed_labels(const clipc_model *model, const clipc_model_info *info, clipc_engine *engine,
                         const text_list *labels, const string_list *templates, size_t batch, float *embeddings)
{
    const size_t dimension = info->embedding_dimension;
    const size_t block = templates->count < batch ? batch / templates->count : 1; /* labels encoded at once */
    token_batch tokens;
    token_batch_init(&tokens, model, info->context_length, block * templates->count);
    float *rows = allocate(block * templates->count * dimension, sizeof *rows);
    for (size_t first = 0; first < labels->count; first += block) {
        const size_t count = labels->count - first < block ? labels->count - first : block;
        for (size_t i = 0; i < count * templates->count; i++) {
            const text_line *label = &labels->items[first + i / templates->count];
            size_t length = 0;
            char *prompt = fill_template(templates->items[i % templates->count], label, &length);
            clipc_error error = {0};
            if (token_batch_add(&tokens, prompt, length, &error) != CLIPC_OK)
                quit(error.status == CLIPC_ERROR_FORMAT ? STATUS_USAGE : STATUS_SYSTEM, "label '%s': %s", label->bytes,
                     error.message);
            free(prompt);
        }
        token_batch_encode(&tokens, engine, 0, rows);
        if (templates->count == 1)
            memcpy(embeddings + first * dimension, rows, count * dimension * sizeof *rows);
        for (size_t i = 0; i < count && templates->count > 1; i++)
            clipc_embeddings_average(rows + i * templates->count * dimension, templates->count, dimension,
                                     embeddings + (first + i) * dimension);
    }
    free(rows);
    token_batch_free(&tokens);
}

/* ---- images ---- */

typedef struct zero_shot {
    const tool_settings *settings;
    const clipc_model_info *info;
    clipc_engine *engine;
    const char *precision; /* of the engine */
    const text_list *labels;
    const float *label_embeddings;
    float *image_embeddings; /* [batch, D] */
    float *similarities;     /* [batch, labels] */
    float *scores;
    ranked_label *ranked;
    ranking_style style;
    result_sheet *sheet; /* or NULL */
} zero_shot;

/* Frees the arrays of one run; the rest is borrowed. */
static void zero_shot_free(zero_shot *classifier)
{
    free(classifier->image_embeddings);
    free(classifier->similarities);
    free(classifier->scores);
    free(classifier->ranked);
}

static void show(zero_shot *classifier, const image_item *item, const float *similarities)
{
    const size_t labels = classifier->labels->count;
    const uint64_t top = classifier->settings->top;
    const size_t count = top && top < labels ? (size_t)top : labels;
    rank_labels(classifier->labels, similarities, classifier->info, classifier->scores, classifier->ranked);
    if (classifier->settings->json)
        json_print(ranking_to_json(item->path, classifier->precision, classifier->ranked, count));
    else
        ranking_print(&classifier->style, item->path, classifier->ranked, count);
    if (classifier->sheet)
        result_sheet_add(classifier->sheet, item, classifier->ranked,
                         !top && count > SHEET_LABELS ? SHEET_LABELS : count);
}

static void show_missing(zero_shot *classifier, const image_item *item, image_outcome outcome, const char *reason,
                         input_report *report)
{
    report_image(report, item->path, outcome, reason);
    if (classifier->sheet && outcome == IMAGE_FAILED)
        result_sheet_add_missing(classifier->sheet, item, reason);
}

static void classify_run(zero_shot *classifier, const image_item *items, const image_pixels *pixels, size_t count,
                         input_report *report)
{
    const size_t labels = classifier->labels->count;
    const size_t dimension = classifier->info->embedding_dimension;
    encode_images(classifier->engine, pixels, count, 0, classifier->image_embeddings);
    clipc_similarities(classifier->image_embeddings, count, classifier->label_embeddings, labels, dimension,
                       classifier->similarities);
    for (size_t i = 0; i < count; i++) {
        progress_hide();
        if (embedding_is_finite(classifier->image_embeddings + i * dimension, dimension))
            show(classifier, &items[i], classifier->similarities + i * labels);
        else
            show_missing(classifier, &items[i], IMAGE_FAILED, not_finite, report);
    }
}

static void classify_all(zero_shot *classifier, image_pipeline *pipeline, input_report *report)
{
    const image_item *items = NULL;
    image_pixels pixels = {0};
    for (size_t count = 0; (count = image_pipeline_next(pipeline, &items, &pixels)); report->total += count) {
        progress_update(report->total);
        if (items[0].outcome == IMAGE_READY)
            classify_run(classifier, items, &pixels, count, report);
        else
            show_missing(classifier, &items[0], items[0].outcome, items[0].reason, report);
    }
}

static void check_usage(const tool_settings *settings)
{
    if (settings->operands.count == 0)
        quit(STATUS_USAGE, "classify: no images (IMAGE, DIR, @LIST or -)");
    if (settings->labels.count == 0 && !settings->labels_file)
        quit(STATUS_USAGE, "classify: no labels (--labels A,B,C or --labels-file FILE)");
    conflicts_check(settings, &settings->operands);
    check_templates(&settings->templates);
}

static int run(const tool_settings *settings)
{
    check_usage(settings);
    text_list labels = {0};
    read_labels(settings, &labels);
    result_sheet *sheet = settings->html ? result_sheet_open(settings->html) : NULL;

    progress_start("images", &settings->operands, 0, true);
    const size_t batch = session_batch(settings);
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    string_list default_template = {0};
    string_list_add(&default_template, info.default_template);
    const string_list *templates = settings->templates.count ? &settings->templates : &default_template;
    for (size_t i = 0; i < templates->count; i++)
        message_detail("template \"%s\"", templates->items[i]);

    /* Images are decoded while the engine is made and the labels are encoded. */
    image_pipeline *pipeline =
        image_pipeline_create(settings, model, batch, session_takes_bytes(settings, model), sheet != NULL);
    clipc_engine *engine = session_create_engine(settings, model, true, true, batch);
    float *label_embeddings = allocate(labels.count * info.embedding_dimension, sizeof *label_embeddings);
    embed_labels(model, &info, engine, &labels, templates, batch, label_embeddings);
    if (sheet)
        result_sheet_start(sheet, &info, session_precision(engine), templates, labels.count);

    zero_shot classifier = {
        .settings = settings,
        .info = &info,
        .engine = engine,
        .precision = session_precision(engine),
        .labels = &labels,
        .label_embeddings = label_embeddings,
        .image_embeddings = allocate(batch * info.embedding_dimension, sizeof(float)),
        .similarities = allocate(batch * labels.count, sizeof(float)),
        .scores = allocate(labels.count, sizeof(float)),
        .ranked = allocate(labels.count, sizeof(ranked_label)),
        .style = ranking_style_for(&labels),
        .sheet = sheet,
    };
    input_report report = {0};
    classify_all(&classifier, pipeline, &report);
    progress_finish();
    if (sheet)
        result_sheet_finish(&sheet);
    message_detail("%zu inputs, %.3f s", report.total, progress_seconds());

    image_pipeline_destroy(&pipeline);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    zero_shot_free(&classifier);
    free(label_embeddings);
    free(default_template.items);
    text_list_free(&labels);
    return report_end(&report);
}

const tool_command command_classify = {
    .name = "classify",
    .summary = "say which of some labels fits each image",
    .synopsis = synopsis,
    .description =
        "Puts each label into the template, compares the text with each image and prints, best first, the label's "
        "score (the softmax of the similarities over all labels, as a percentage) and its cosine similarity. With a "
        "SigLIP, scores are sigmoids: each label's probability for itself, which need not add up to 100 %.\n\n"
        "Images are files, directories (read recursively in sorted order; files that are no images are skipped), "
        "@LIST, a file of paths, or -, paths on standard input. JPEG, PNG, WebP, GIF (first frame) and BMP are told "
        "by their content.\n\n"
        "The template is \"a photo of a {}\", and with a SigLIP \"This is a photo of {}.\", unless the model's "
        "directory names another or --template is given.",
    .examples = examples,
    .options = options,
    .shared = SHARED_ALL,
    .run = run,
};
