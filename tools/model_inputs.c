#include "model_inputs.h"

#include "conflicts.h"
#include "image_pipeline.h"
#include "message.h"
#include "npz_writer.h"
#include "session.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_COUNT 4
#define DEFAULT_SEED  1
#define SHORTEST_TEXT 3 /* start, one token, end */

static clipc_model_info info_of(const clipc_model *model)
{
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    return info;
}

bool model_inputs_given(const tool_settings *settings)
{
    return settings->images.count || settings->texts.count || settings->text_files.count || settings->load_inputs;
}

void model_inputs_check(const tool_settings *settings, const char *command)
{
    if (settings->load_inputs && (settings->images.count || settings->texts.count || settings->text_files.count))
        quit(STATUS_USAGE, "%s: --load-inputs gives all the inputs; --image, --text and --file do not go with it",
             command);
    if (model_inputs_given(settings) && (settings->count || settings->seed))
        quit(STATUS_USAGE, "%s: --count and --seed are of random inputs, and there are others", command);
    conflicts_check(settings, &settings->images);
}

/* ---- from files ---- */

static void read_images(model_inputs *inputs, const tool_settings *settings, const clipc_model *model)
{
    const size_t values = 3 * inputs->height * inputs->width;
    const image_item *items = NULL;
    image_pixels pixels;
    tool_settings images = *settings;
    images.operands = settings->images;
    image_pipeline *pipeline = image_pipeline_create(&images, model, session_batch(settings), false, false);
    for (size_t count; (count = image_pipeline_next(pipeline, &items, &pixels));) {
        if (items[0].outcome == IMAGE_FAILED)
            quit(STATUS_SYSTEM, "%s: %s", items[0].path, items[0].reason);
        if (items[0].outcome != IMAGE_READY)
            continue;
        inputs->pixels = reallocate(inputs->pixels, (inputs->images + count) * values, sizeof *inputs->pixels);
        memcpy(inputs->pixels + inputs->images * values, pixels.floats, count * values * sizeof *inputs->pixels);
        inputs->images += count;
    }
    image_pipeline_destroy(&pipeline);
}

/* Appends one text. */
static void add_ids(model_inputs *inputs, const int32_t *ids, size_t count)
{
    const size_t begin = inputs->texts ? inputs->offsets[inputs->texts] : 0;
    inputs->ids = reallocate(inputs->ids, begin + count, sizeof *inputs->ids);
    inputs->offsets = reallocate(inputs->offsets, inputs->texts + 2, sizeof *inputs->offsets);
    memcpy(inputs->ids + begin, ids, count * sizeof *ids);
    inputs->offsets[0] = 0;
    inputs->offsets[++inputs->texts] = begin + count;
    inputs->longest = count > inputs->longest ? count : inputs->longest;
}

static void read_texts(model_inputs *inputs, const tool_settings *settings, const clipc_model *model)
{
    text_list texts = {0};
    int32_t *ids = allocate(info_of(model).context_length, sizeof *ids);
    text_list_read(&texts, &settings->texts, &settings->text_files);
    for (size_t i = 0; i < texts.count; i++) {
        size_t count = 0;
        clipc_error error = {0};
        if (clipc_model_tokenize(model, texts.items[i].bytes, texts.items[i].length, ids, &count, &error) != CLIPC_OK)
            quit_failed(&error);
        add_ids(inputs, ids, count);
    }
    free(ids);
    text_list_free(&texts);
}

/* ---- random ---- */

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [-2, 2): the range that normalised pixels have. */
static void make_images(model_inputs *inputs, size_t count, uint64_t seed)
{
    const size_t values = count * 3 * inputs->height * inputs->width;
    inputs->images = count;
    inputs->pixels = allocate(values, sizeof *inputs->pixels);
    for (size_t i = 0; i < values; i++)
        inputs->pixels[i] = (float)(next_random(&seed) >> 40) * 0x1p-22F - 2;
}

/* Start token, random ids below the end token, end token, of random lengths. */
static void make_texts(model_inputs *inputs, const clipc_model *model, size_t count, uint64_t seed)
{
    const clipc_model_info info = info_of(model);
    int32_t *ids = allocate(info.context_length, sizeof *ids);
    size_t length = 0;
    clipc_error error = {0};
    if (clipc_model_tokenize(model, "", 0, ids, &length, &error) != CLIPC_OK)
        quit_failed(&error);
    const int32_t end = ids[length - 1];
    const uint64_t range = end > 0 ? (uint64_t)end : (uint64_t)info.vocabulary_size;
    for (size_t text = 0; text < count; text++) {
        const size_t tokens = info.context_length <= SHORTEST_TEXT
                                  ? info.context_length
                                  : SHORTEST_TEXT + next_random(&seed) % (info.context_length - SHORTEST_TEXT + 1);
        for (size_t i = 1; i < tokens; i++)
            ids[i] = (int32_t)(next_random(&seed) % range);
        ids[tokens - 1] = end;
        add_ids(inputs, ids, tokens);
    }
    free(ids);
}

/* ---- from another run ---- */

static void load_images(model_inputs *inputs, const named_tensor *pixels, const char *path)
{
    if (pixels->rank != 4 || pixels->shape[1] != 3)
        quit(STATUS_SYSTEM, "%s: pixels are not of the shape images × 3 × height × width", path);
    inputs->images = pixels->shape[0];
    inputs->height = pixels->shape[2];
    inputs->width = pixels->shape[3];
    inputs->pixels = allocate(pixels->count ? pixels->count : 1, sizeof *inputs->pixels);
    memcpy(inputs->pixels, pixels->values, pixels->count * sizeof *inputs->pixels);
}

/* Ids stay below 2^24, so that floats hold them. */
static void load_texts(model_inputs *inputs, const named_tensor *ids, const named_tensor *lengths, const char *path)
{
    if (!lengths || ids->rank != 2 || lengths->rank != 1 || lengths->count != ids->shape[0])
        quit(STATUS_SYSTEM, "%s: ids are not of the shape texts × tokens with lengths of the shape texts", path);
    int32_t *row = allocate(ids->shape[1] ? ids->shape[1] : 1, sizeof *row);
    for (size_t text = 0; text < ids->shape[0]; text++) {
        const float length = lengths->values[text];
        if (!(length >= 1 && length <= (float)ids->shape[1]))
            quit(STATUS_SYSTEM, "%s: the length of text %zu is not 1 to %zu", path, text, ids->shape[1]);
        for (size_t i = 0; i < (size_t)length; i++) {
            const float id = ids->values[text * ids->shape[1] + i];
            if (!(id >= 0 && id < 0x1p24F))
                quit(STATUS_SYSTEM, "%s: text %zu has a token id that is none", path, text);
            row[i] = (int32_t)id;
        }
        add_ids(inputs, row, (size_t)length);
    }
    free(row);
}

static void load(model_inputs *inputs, const char *path)
{
    tensor_set set = {0};
    tensor_set_read(&set, path);
    const named_tensor *pixels = tensor_set_find(&set, "pixels");
    const named_tensor *ids = tensor_set_find(&set, "ids");
    if (!pixels && !ids)
        quit(STATUS_SYSTEM, "%s: holds neither 'pixels' nor 'ids'", path);
    if (pixels)
        load_images(inputs, pixels, path);
    if (ids)
        load_texts(inputs, ids, tensor_set_find(&set, "lengths"), path);
    tensor_set_free(&set);
}

/* ---- all of them ---- */

void model_inputs_create(model_inputs *inputs, const tool_settings *settings, const clipc_model *model)
{
    const clipc_model_info info = info_of(model);
    const size_t count = settings->count ? (size_t)settings->count : DEFAULT_COUNT;
    const uint64_t seed = settings->seed ? settings->seed : DEFAULT_SEED;
    *inputs = (model_inputs){.height = info.image_height, .width = info.image_width};
    if (settings->load_inputs) {
        inputs->origin = "loaded";
        load(inputs, settings->load_inputs);
        return;
    }
    inputs->origin = model_inputs_given(settings) ? "given" : "random";
    if (settings->images.count && !info.image_absent)
        read_images(inputs, settings, model);
    if ((settings->texts.count || settings->text_files.count) && !info.text_absent)
        read_texts(inputs, settings, model);
    if (model_inputs_given(settings))
        return;
    if (!info.image_absent)
        make_images(inputs, count, seed);
    if (!info.text_absent)
        make_texts(inputs, model, count, seed);
}

void model_inputs_save(const model_inputs *inputs, const char *path)
{
    npz_writer *writer = npz_writer_open(path);
    const size_t images[] = {inputs->images, 3, inputs->height, inputs->width};
    const size_t texts[] = {inputs->texts, inputs->longest};
    if (inputs->images)
        npz_writer_floats(writer, "pixels", images, 4, inputs->pixels);
    if (inputs->texts) {
        int32_t *ids = allocate(inputs->texts * inputs->longest, sizeof *ids);
        int32_t *lengths = allocate(inputs->texts, sizeof *lengths);
        for (size_t i = 0; i < inputs->texts; i++) {
            const size_t length = inputs->offsets[i + 1] - inputs->offsets[i];
            memcpy(ids + i * inputs->longest, inputs->ids + inputs->offsets[i], length * sizeof *ids);
            lengths[i] = (int32_t)length;
        }
        npz_writer_integers(writer, "ids", texts, 2, ids);
        npz_writer_integers(writer, "lengths", texts, 1, lengths);
        free(ids);
        free(lengths);
    }
    npz_writer_close(&writer);
}

void model_inputs_free(model_inputs *inputs)
{
    free(inputs->pixels);
    free(inputs->ids);
    free(inputs->offsets);
    *inputs = (model_inputs){0};
}

/* ---- through an engine ---- */

/* A row that is not finite is what the comparison is to find, so it ends nothing. */
static void check(clipc_status status, const clipc_error *error)
{
    if (status == CLIPC_ERROR_FORMAT)
        message_note("%s", error->message);
    else if (status != CLIPC_OK)
        quit_failed(error);
}

void model_inputs_encode(const model_inputs *inputs, const tool_settings *settings, clipc_engine *engine,
                         const clipc_model *model, bool steps, tensor_set *out)
{
    const clipc_model_info info = info_of(model);
    const unsigned flags = settings->no_normalize ? CLIPC_ENCODE_UNNORMALIZED : 0;
    clipc_error error = {0};
    if (steps && clipc_engine_set_tap(engine, tensor_set_tap, out, &error) != CLIPC_OK)
        quit_failed(&error);
    if (inputs->images && !info.image_absent) {
        const size_t shape[] = {inputs->images, info.embedding_dimension};
        float *rows = allocate(shape[0] * shape[1], sizeof *rows);
        if (inputs->height != info.image_height || inputs->width != info.image_width)
            quit(STATUS_SYSTEM, "%s: takes images of %zu × %zu, the inputs have %zu × %zu", session_model_label(&info),
                 info.image_width, info.image_height, inputs->width, inputs->height);
        check(clipc_engine_encode_images(engine, inputs->pixels, inputs->images, flags, rows, &error), &error);
        tensor_set_add(out, "image_embeddings", shape, 2, rows);
    }
    if (inputs->texts && !info.text_absent) {
        const size_t shape[] = {inputs->texts, info.embedding_dimension};
        float *rows = allocate(shape[0] * shape[1], sizeof *rows);
        check(clipc_engine_encode_tokens(engine, inputs->ids, inputs->offsets, inputs->texts, flags, rows, &error),
              &error);
        tensor_set_add(out, "text_embeddings", shape, 2, rows);
    }
    if (steps)
        clipc_engine_set_tap(engine, NULL, NULL, NULL);
}
