#include "bench_work.h"

#include "message.h"
#include "model_inputs.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHORTEST_TEXT 2 /* start and end token */

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static size_t image_count(const bench_work *work)
{
    return work->batch + BENCH_VARIANTS - 1;
}

/* ---- random ---- */

/* Uniform in [-2, 2): the range that normalised pixels have. */
static void make_pixels(bench_work *work)
{
    const size_t count = image_count(work) * work->item_values;
    uint64_t state = 1;
    work->pixels = reallocate(NULL, count, sizeof *work->pixels);
    for (size_t i = 0; i < count; i++)
        work->pixels[i] = (float)(next_random(&state) >> 40) * 0x1p-22F - 2;
}

/* "12" or "5,12,40". */
static void parse_tokens(bench_work *work, const char *list, size_t longest)
{
    work->tokens = allocate(strlen(list) / 2 + 1, sizeof *work->tokens);
    for (const char *at = list;; at++) {
        char *end = NULL;
        errno = 0;
        const unsigned long long number = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || (*end && *end != ','))
            quit(STATUS_USAGE, "--tokens: '%s' is not a whole number or a list of them (5,12,40)", list);
        if (errno == ERANGE || number < SHORTEST_TEXT || number > longest)
            quit(STATUS_USAGE, "--tokens: %.*s is out of range (%d to %zu for this model)", (int)(end - at), at,
                 SHORTEST_TEXT, longest);
        work->tokens[work->token_count++] = (size_t)number;
        at = end;
        if (!*at)
            return;
    }
}

/* Start token, random ids, end token. Ids stay below the end token, so that no sequence ends early. */
static void make_texts(bench_work *work, const clipc_model *model, const clipc_model_info *info)
{
    int32_t *frame = allocate(info->context_length, sizeof *frame);
    size_t frame_length = 0;
    clipc_error error = {0};
    if (clipc_model_tokenize(model, "", 0, frame, &frame_length, &error) != CLIPC_OK)
        quit_failed(&error);
    const int32_t end = frame[frame_length - 1];
    const uint64_t range = end > 0 ? (uint64_t)end : (uint64_t)info->vocabulary_size;
    uint64_t state = 1;
    for (size_t variant = 0; variant < BENCH_VARIANTS; variant++) {
        bench_texts *texts = &work->texts[variant];
        texts->offsets = allocate(work->batch + 1, sizeof *texts->offsets);
        for (size_t i = 0; i < work->batch; i++)
            texts->offsets[i + 1] = texts->offsets[i] + work->tokens[i % work->token_count];
        texts->ids = allocate(texts->offsets[work->batch], sizeof *texts->ids);
        for (size_t i = 0; i < texts->offsets[work->batch]; i++)
            texts->ids[i] = (int32_t)(next_random(&state) % range);
        for (size_t i = 0; i < work->batch; i++) {
            texts->ids[texts->offsets[i]] = frame[0];
            texts->ids[texts->offsets[i + 1] - 1] = end;
        }
    }
    free(frame);
}

/* ---- loaded ---- */

static void copy_pixels(bench_work *work, const model_inputs *inputs, const clipc_model_info *info, const char *path)
{
    if (!inputs->images)
        quit(STATUS_SYSTEM, "%s: holds no images for the image tower", path);
    if (inputs->height != info->image_height || inputs->width != info->image_width)
        quit(STATUS_SYSTEM, "%s: its images are of %zu × %zu, the model takes %zu × %zu", path, inputs->width,
             inputs->height, info->image_width, info->image_height);
    work->pixels = reallocate(NULL, image_count(work) * work->item_values, sizeof *work->pixels);
    for (size_t i = 0; i < image_count(work); i++)
        memcpy(work->pixels + i * work->item_values, inputs->pixels + i % inputs->images * work->item_values,
               work->item_values * sizeof *work->pixels);
}

static void copy_texts(bench_work *work, const model_inputs *inputs, const char *path)
{
    if (!inputs->texts)
        quit(STATUS_SYSTEM, "%s: holds no texts for the text tower", path);
    for (size_t variant = 0; variant < BENCH_VARIANTS; variant++) {
        bench_texts *texts = &work->texts[variant];
        texts->offsets = allocate(work->batch + 1, sizeof *texts->offsets);
        texts->ids = allocate(work->batch * inputs->longest, sizeof *texts->ids);
        for (size_t i = 0; i < work->batch; i++) {
            const size_t *offsets = inputs->offsets + (variant + i) % inputs->texts;
            const size_t length = offsets[1] - offsets[0];
            memcpy(texts->ids + texts->offsets[i], inputs->ids + offsets[0], length * sizeof *texts->ids);
            texts->offsets[i + 1] = texts->offsets[i] + length;
        }
    }
}

static void load_inputs(bench_work *work, const tool_settings *settings, const clipc_model *model,
                        const clipc_model_info *info)
{
    model_inputs inputs;
    model_inputs_create(&inputs, settings, model);
    if (work->text)
        copy_texts(work, &inputs, settings->load_inputs);
    else
        copy_pixels(work, &inputs, info, settings->load_inputs);
    model_inputs_free(&inputs);
}

/* ---- all of them ---- */

static void note_lengths(bench_work *work, const size_t *offsets)
{
    work->tokens = allocate(work->batch, sizeof *work->tokens);
    work->token_count = work->batch;
    bool equal = true;
    for (size_t i = 0; i < work->batch; i++) {
        work->tokens[i] = offsets[i + 1] - offsets[i];
        equal = equal && work->tokens[i] == work->tokens[0];
    }
    if (equal)
        work->token_count = 1;
}

/* The lengths of the first batch. */
static void note_file_lengths(bench_work *work)
{
    int32_t *ids = allocate(work->batch * work->files->context_length, sizeof *ids);
    size_t *offsets = allocate(work->batch + 1, sizeof *offsets);
    bench_files_tokenize(work->files, 0, work->batch, ids, offsets);
    note_lengths(work, offsets);
    free(ids);
    free(offsets);
}

static void make_text_work(bench_work *work, const tool_settings *settings, const clipc_model *model,
                           const clipc_model_info *info)
{
    if (work->source == BENCH_FILES) {
        note_file_lengths(work);
    } else if (work->source == BENCH_LOADED) {
        load_inputs(work, settings, model, info);
        note_lengths(work, work->texts[0].offsets);
    } else {
        parse_tokens(work, settings->tokens, info->context_length);
        make_texts(work, model, info);
    }
}

static void make_image_work(bench_work *work, const tool_settings *settings, const clipc_model *model,
                            const clipc_model_info *info)
{
    work->tokens = allocate(1, sizeof *work->tokens);
    work->tokens[work->token_count++] = info->image_tokens;
    work->item_values = 3 * info->image_height * info->image_width;
    if (work->source == BENCH_LOADED)
        load_inputs(work, settings, model, info);
    else if (work->source == BENCH_RANDOM)
        make_pixels(work);
}

void bench_work_create(bench_work *work, const tool_settings *settings, const clipc_model *model, clipc_engine *engine,
                       const bench_files *files, bool text, size_t batch)
{
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    *work = (bench_work){.engine = engine,
                         .text = text,
                         .batch = batch,
                         .dimension = info.embedding_dimension,
                         .source = files                   ? BENCH_FILES
                                   : settings->load_inputs ? BENCH_LOADED
                                                           : BENCH_RANDOM,
                         .files = files};
    if (text)
        make_text_work(work, settings, model, &info);
    else
        make_image_work(work, settings, model, &info);
}

void bench_work_destroy(bench_work *work)
{
    free(work->tokens);
    free(work->pixels);
    for (size_t i = 0; i < BENCH_VARIANTS; i++) {
        free(work->texts[i].ids);
        free(work->texts[i].offsets);
    }
}

/* ---- one caller ---- */

bool bench_prepares(const bench_work *work)
{
    return work->source == BENCH_FILES;
}

void bench_caller_create(bench_caller *caller, const bench_work *work)
{
    *caller = (bench_caller){.work = work, .embeddings = allocate(work->batch * work->dimension, sizeof(float))};
    if (work->source != BENCH_FILES)
        return;
    if (work->text) {
        caller->texts.ids = allocate(work->batch * work->files->context_length, sizeof *caller->texts.ids);
        caller->texts.offsets = allocate(work->batch + 1, sizeof *caller->texts.offsets);
    } else {
        caller->pixels = allocate(work->batch, work->files->image_bytes);
    }
}

void bench_caller_destroy(bench_caller *caller)
{
    free(caller->embeddings);
    free(caller->pixels);
    free(caller->texts.ids);
    free(caller->texts.offsets);
}

void bench_prepare(bench_caller *caller, size_t iteration)
{
    const bench_work *work = caller->work;
    if (work->source != BENCH_FILES)
        return;
    if (work->text)
        bench_files_tokenize(work->files, iteration * work->batch, work->batch, caller->texts.ids,
                             caller->texts.offsets);
    else
        bench_files_preprocess(work->files, iteration * work->batch, work->batch, caller->pixels);
}

void bench_encode(bench_caller *caller, size_t iteration)
{
    const bench_work *work = caller->work;
    const size_t variant = iteration % BENCH_VARIANTS;
    const bool files = work->source == BENCH_FILES;
    clipc_error error = {0};
    clipc_status status = CLIPC_OK;
    if (work->text) {
        const bench_texts *texts = files ? &caller->texts : &work->texts[variant];
        status = clipc_engine_encode_tokens(work->engine, texts->ids, texts->offsets, work->batch, 0,
                                            caller->embeddings, &error);
    } else if (files && work->files->as_bytes) {
        status = clipc_engine_encode_bytes(work->engine, caller->pixels, work->batch, 0, caller->embeddings, &error);
    } else {
        const float *pixels = files ? caller->pixels : work->pixels + variant * work->item_values;
        status = clipc_engine_encode_images(work->engine, pixels, work->batch, 0, caller->embeddings, &error);
    }
    if (status != CLIPC_OK)
        quit_failed(&error);
}
