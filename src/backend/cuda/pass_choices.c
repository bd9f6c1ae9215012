#include "backend/cuda/pass_choices.h"

#include "base/checked.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS    "streams"
#define PASS       "image.pass."
#define CANDIDATES 32
#define LEAST_GAIN 1.02 /* below, clipc's own choice stays: it would be noise */
/* A pass of fewer images leaves a device idle. */
#define LEAST_ITEMS         8
#define LEAST_CALL          16
#define ROUNDS              5
#define ROUNDS_FULL         12
#define ENOUGH_SECONDS      1.5 /* for one size of call; the first round is made whole */
#define ENOUGH_SECONDS_FULL 5.0

/* ---- reading ---- */

void clipc_cuda_pass_choices_read(const clipc_choice_set *set, clipc_cuda_pass_choices *out)
{
    *out = (clipc_cuda_pass_choices){.streams = clipc_choice_number(set, STREAMS, 1, CLIPC_CUDA_MOST_STREAMS, 0)};
    for (size_t i = 0; set && i < set->count && out->count < CLIPC_CUDA_CUTS; i++) {
        const char *name = set->items[i].name;
        char *end = NULL;
        if (strncmp(name, PASS, strlen(PASS)) != 0 || name[strlen(PASS)] < '1' || name[strlen(PASS)] > '9')
            continue;
        const unsigned long long count = strtoull(name + strlen(PASS), &end, 10);
        const size_t items = clipc_choice_number(set, name, 1, (size_t)count, 0);
        if (*end == '\0' && items)
            out->cuts[out->count++] = (clipc_cuda_cut){(size_t)count, items};
    }
}

size_t clipc_cuda_pass_choices_get(const clipc_cuda_pass_choices *choices, size_t count, size_t own)
{
    for (size_t i = 0; i < choices->count; i++)
        if (choices->cuts[i].count == count)
            return clipc_min(choices->cuts[i].items, own);
    return own;
}

/* ---- measuring ---- */

typedef struct candidate {
    size_t items; /* of a pass */
    size_t streams;
    double seconds; /* the least */
    bool out;       /* its bits are others */
} candidate;

static size_t passes_of(size_t count, size_t items)
{
    return (count + items - 1) / items;
}

static void add(candidate *candidates, size_t *used, size_t items, size_t streams)
{
    for (size_t i = 0; i < *used; i++)
        if (candidates[i].items == items && candidates[i].streams == streams)
            return;
    if (*used < CANDIDATES)
        candidates[(*used)++] = (candidate){.items = items, .streams = streams};
}

/* The first is clipc's own. More streams than passes have nothing to do, and one stream with several passes computes
 * nothing while it copies. `streams`: what is settled already, or 0. */
static size_t list_candidates(const clipc_cuda_caller *caller, size_t count, size_t streams, candidate *candidates)
{
    size_t used = 0;
    const size_t own = caller->own_pass(caller->user, count);
    add(candidates, &used, own, streams ? streams : caller->own_streams);
    for (size_t passes = passes_of(count, own); passes <= clipc_max(8, passes_of(count, own)); passes++) {
        const size_t items = clipc_min(passes_of(count, passes), own);
        if (items < LEAST_ITEMS && passes > passes_of(count, own))
            break;
        if (passes > 4 && passes % 2)
            continue;
        for (size_t of = 2; of <= clipc_min(caller->most_streams, passes); of++)
            if (!streams || of == streams)
                add(candidates, &used, items, of);
    }
    return used;
}

/* A turn of one candidate: once to get ready, as it may need a stream or a graph that is not there yet, then twice. */
static clipc_status take_turn(const clipc_cuda_caller *caller, size_t count, candidate *one, float *embeddings,
                              double *spent, clipc_error *error)
{
    for (int i = 0; i < 3; i++) {
        double seconds = 0;
        CLIPC_TRY(caller->run(caller->user, count, one->items, one->streams, embeddings, &seconds, error));
        *spent += seconds;
        if (i > 0 && (one->seconds == 0 || seconds < one->seconds))
            one->seconds = seconds;
    }
    return CLIPC_OK;
}

/* embeddings [2, count, dimension]: clipc's own, and those of a candidate. */
static clipc_status measure(const clipc_cuda_caller *caller, const clipc_tune_request *request, size_t count,
                            candidate *candidates, size_t used, float *embeddings, clipc_error *error)
{
    const size_t rounds = request->full ? ROUNDS_FULL : ROUNDS;
    const double enough = request->full ? ENOUGH_SECONDS_FULL : ENOUGH_SECONDS;
    float *others = embeddings + count * caller->dimension;
    double spent = 0;
    for (size_t round = 0; round < rounds && (round == 0 || spent < enough); round++)
        for (size_t i = 0; i < used; i++) {
            if (candidates[i].out)
                continue;
            CLIPC_TRY(
                take_turn(caller, count, &candidates[i], i == 0 && round == 0 ? embeddings : others, &spent, error));
            if (i > 0)
                candidates[i].out = memcmp(embeddings, others, count * caller->dimension * sizeof *embeddings) != 0;
        }
    return CLIPC_OK;
}

static clipc_status put(const clipc_tune_request *request, const char *name, size_t value, double speedup,
                        clipc_error *error)
{
    char text[CLIPC_CHOICE_VALUE];
    snprintf(text, sizeof text, "%zu", value);
    return clipc_tune_choose(request, name, text, speedup, error);
}

static clipc_status tune_call(const clipc_cuda_caller *caller, const clipc_tune_request *request, size_t count,
                              clipc_error *error)
{
    char name[CLIPC_CHOICE_NAME];
    candidate candidates[CANDIDATES];
    size_t best = 0;
    snprintf(name, sizeof name, PASS "%zu", count);
    if (clipc_choice_get(request->set, name))
        return CLIPC_OK;
    const size_t settled = clipc_choice_number(request->set, STREAMS, 1, caller->most_streams, 0);
    const size_t used = list_candidates(caller, count, settled, candidates);
    float *embeddings = clipc_allocate(2 * count * caller->dimension, sizeof *embeddings);
    if (!embeddings)
        return clipc_fail_memory(error, 2 * count * caller->dimension * sizeof *embeddings, "embeddings");
    const clipc_status status =
        used > 1 ? measure(caller, request, count, candidates, used, embeddings, error) : CLIPC_OK;
    clipc_free(embeddings);
    CLIPC_TRY(status);
    for (size_t i = 1; i < used; i++)
        if (!candidates[i].out && candidates[i].seconds < candidates[best].seconds)
            best = i;
    if (candidates[0].seconds < LEAST_GAIN * candidates[best].seconds)
        best = 0;
    const double speedup = best ? candidates[0].seconds / candidates[best].seconds : 1;
    if (!settled && used > 1)
        CLIPC_TRY(put(request, STREAMS, candidates[best].streams, speedup, error));
    return put(request, name, candidates[best].items, speedup, error);
}

clipc_status clipc_cuda_tune_calls(const clipc_cuda_caller *caller, const clipc_tune_request *request,
                                   clipc_error *error)
{
    CLIPC_TRY(tune_call(caller, request, request->count, error));
    for (size_t count = request->count / 2; request->full && count >= LEAST_CALL; count /= 2)
        CLIPC_TRY(tune_call(caller, request, count, error));
    return CLIPC_OK;
}
