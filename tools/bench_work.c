#include "bench_work.h"

#include "message.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Inputs go in a circle of this many variants: images start one item further on each time, texts have other ids. */
#define VARIANTS 8

#define SHORTEST_TEXT 2 /* start and end token */

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [-2, 2): the range that normalised pixels have. */
static void make_pixels(bench_work *work)
{
    const size_t count = (work->batch + VARIANTS - 1) * work->item_values;
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
static void make_ids(bench_work *work, const clipc_model *model, const clipc_model_info *info)
{
    int32_t *frame = allocate(info->context_length, sizeof *frame);
    size_t frame_length = 0;
    clipc_error error = {0};
    if (clipc_model_tokenize(model, "", 0, frame, &frame_length, &error) != CLIPC_OK)
        quit_failed(&error);
    const int32_t end = frame[frame_length - 1];
    const uint64_t range = end > 0 ? (uint64_t)end : (uint64_t)info->vocabulary_size;
    work->offsets = allocate(work->batch + 1, sizeof *work->offsets);
    for (size_t i = 0; i < work->batch; i++)
        work->offsets[i + 1] = work->offsets[i] + work->tokens[i % work->token_count];
    work->batch_tokens = work->offsets[work->batch];
    uint64_t state = 1;
    work->ids = allocate(VARIANTS * work->batch_tokens, sizeof *work->ids);
    for (size_t i = 0; i < VARIANTS * work->batch_tokens; i++)
        work->ids[i] = (int32_t)(next_random(&state) % range);
    for (size_t variant = 0; variant < VARIANTS; variant++) {
        int32_t *ids = work->ids + variant * work->batch_tokens;
        for (size_t i = 0; i < work->batch; i++) {
            ids[work->offsets[i]] = frame[0];
            ids[work->offsets[i + 1] - 1] = end;
        }
    }
    free(frame);
}

void bench_work_create(bench_work *work, const tool_settings *settings, const clipc_model *model,
                       const clipc_model_info *info)
{
    *work = (bench_work){.text = strcmp(settings->tower, "text") == 0,
                         .batch = settings->batch ? (size_t)settings->batch : 1};
    session_require_tower(model, !work->text);
    if (work->text) {
        parse_tokens(work, settings->tokens, info->context_length);
        make_ids(work, model, info);
    } else {
        work->tokens = allocate(1, sizeof *work->tokens);
        work->tokens[work->token_count++] = info->image_tokens;
        work->batch_tokens = work->batch * info->image_tokens;
        work->item_values = 3 * info->image_height * info->image_width;
        make_pixels(work);
    }
    work->engine = session_create_engine(settings, model, !work->text, work->text, work->batch);
    work->embeddings = allocate(work->batch * info->embedding_dimension, sizeof *work->embeddings);
}

void bench_work_destroy(bench_work *work)
{
    clipc_engine_destroy(&work->engine);
    free(work->tokens);
    free(work->pixels);
    free(work->ids);
    free(work->offsets);
    free(work->embeddings);
}

void bench_work_encode(bench_work *work, size_t iteration)
{
    const size_t variant = iteration % VARIANTS;
    clipc_error error = {0};
    clipc_status status = CLIPC_OK;
    if (work->text)
        status = clipc_engine_encode_tokens(work->engine, work->ids + variant * work->batch_tokens, work->offsets,
                                            work->batch, 0, work->embeddings, &error);
    else
        status = clipc_engine_encode_images(work->engine, work->pixels + variant * work->item_values, work->batch, 0,
                                            work->embeddings, &error);
    if (status != CLIPC_OK)
        quit_failed(&error);
}
