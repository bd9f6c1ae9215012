#include "backend/backend.h"
#include "backend/cpu/encoder.h"
#include "backend/cpu/packed_section.h"
#include "backend/cpu/peaks.h"
#include "backend/cpu/resnet_tower.h"
#include "backend/cpu/work_split.h"
#include "base/cpu_features.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A model compiled for the processor it runs on. */
struct compiled {
    clipc_kernels kernels;
    clipc_precision precision;
    clipc_thread_pool *pool;
    clipc_cpu_tower image; /* zeroed when left out, or a ResNet */
    clipc_cpu_resnet resnet;
    bool is_resnet;
    clipc_cpu_tower text;
    clipc_cpu_workspace image_workspace; /* all lie in the one block: calls follow one another */
    clipc_cpu_workspace text_workspace;
    clipc_cpu_resnet_workspace resnet_workspace;
    void *workspace;
    size_t workspace_bytes;
    clipc_cpu_level level; /* of the processor, or what it was limited to */
    clipc_cpu_steps steps;
    clipc_compile_options options; /* without what it points to */
    size_t dimension;              /* of an embedding */
    size_t budgets[2];             /* [text, image]: bytes of a micro-batch's activations */
};

static clipc_status probe(clipc_error *error)
{
    clipc_cpu_level level = CLIPC_CPU_C;
    return clipc_cpu_level_detect(&level, error);
}

static bool supports_precision(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_AUTO || precision == CLIPC_PRECISION_FP32 ||
           precision == CLIPC_PRECISION_BF16 || precision == CLIPC_PRECISION_INT8;
}

/* AUTO is bf16 where the processor multiplies bf16, else fp32. */
static clipc_precision choose_precision(clipc_precision wanted, const clipc_kernels *kernels)
{
    if (wanted != CLIPC_PRECISION_AUTO)
        return wanted;
    return clipc_kernels_have_bf16(kernels) ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_FP32;
}

static void destroy(void **compiled)
{
    struct compiled *old = *compiled;
    if (!old)
        return;
    clipc_cpu_tower_destroy(&old->image);
    clipc_cpu_resnet_destroy(&old->resnet);
    clipc_cpu_tower_destroy(&old->text);
    clipc_free_aligned(old->workspace);
    clipc_thread_pool_destroy(&old->pool);
    clipc_free(old);
    *compiled = NULL;
}

static clipc_status choose_kernels(const char *limit_name, clipc_cpu_level *level, clipc_kernels *kernels,
                                   clipc_error *error)
{
    clipc_cpu_level limit = CLIPC_CPU_C;
    CLIPC_TRY(clipc_cpu_level_detect(level, error));
    if (limit_name) {
        CLIPC_TRY(clipc_cpu_level_parse(limit_name, &limit, error));
        *level = limit < *level ? limit : *level;
    }
    clipc_kernels_fill(kernels, *level);
    return CLIPC_OK;
}

/* The towers' workspaces from `base` on; returns the bytes they need, or SIZE_MAX. */
static size_t lay_out_workspace(struct compiled *compiled, const clipc_compile_options *options, void *base)
{
    clipc_arena image = {.base = base};
    clipc_arena text = {.base = base};
    if (compiled->is_resnet)
        clipc_cpu_resnet_plan(&compiled->resnet, options->max_batch, options->threads, compiled->budgets[1], &image,
                              &compiled->resnet_workspace);
    else if (options->image_tower)
        clipc_cpu_workspace_plan(&compiled->image, options->max_batch, options->threads, compiled->budgets[1], &image,
                                 &compiled->image_workspace);
    if (options->text_tower)
        clipc_cpu_workspace_plan(&compiled->text, options->max_batch, options->threads, compiled->budgets[0], &text,
                                 &compiled->text_workspace);
    return image.overflow || text.overflow ? SIZE_MAX : clipc_max(image.used, text.used);
}

static clipc_status plan_workspace(struct compiled *compiled, const clipc_compile_options *options, clipc_error *error)
{
    clipc_free_aligned(compiled->workspace);
    compiled->workspace_bytes = lay_out_workspace(compiled, options, NULL);
    compiled->workspace = clipc_allocate_aligned(1, compiled->workspace_bytes);
    if (!compiled->workspace)
        return clipc_fail_memory(error, compiled->workspace_bytes, "the activations");
    lay_out_workspace(compiled, options, compiled->workspace);
    return CLIPC_OK;
}

/* ---- tuning: how much is computed together changes no bit of what is computed ---- */

#define MEBIBYTE            ((size_t)1 << 20)
#define LEAST_BUDGET        MEBIBYTE
#define MOST_BUDGET         (MEBIBYTE << 10)
#define LEAST_PIECE         ((size_t)1 << 14)
#define MOST_PIECE          ((size_t)1 << 26)
#define LEAST_GAIN          1.01 /* below, clipc's own choice stays: it would be noise */
#define ENOUGH_SECONDS      8    /* of one choice, after which no further round begins */
#define ENOUGH_SECONDS_FULL 60

static const char *const budget_names[2] = {"text.activation_bytes", "image.activation_bytes"};
static const char piece_name[] = "piece_bytes";

static void made_for(const void *compiled, char text[CLIPC_MADE_FOR])
{
    const struct compiled *self = compiled;
    char name[128];
    clipc_cpu_name(name, sizeof name);
    snprintf(text, CLIPC_MADE_FOR, "cpu, %s, %s, %s, %zu threads, clipc %s", name,
             clipc_cpu_level_name(clipc_kernels_level(&self->kernels, self->precision)),
             clipc_precision_name(self->precision), clipc_thread_pool_threads(self->pool), clipc_version());
}

/* Those of `set`, which may be NULL, or clipc's own. */
static void apply_choices(struct compiled *compiled, const clipc_choice_set *set)
{
    for (int image = 0; image < 2; image++)
        compiled->budgets[image] =
            clipc_choice_number(set, budget_names[image], LEAST_BUDGET, MOST_BUDGET, CLIPC_ACTIVATION_BUDGET);
    compiled->kernels.piece_bytes = clipc_choice_number(set, piece_name, LEAST_PIECE, MOST_PIECE, CLIPC_PIECE_BYTES);
}

/* Says that an engine file was made for processors with other kernels. */
static void log_repacked(const clipc_model *model, const clipc_compile_options *options,
                         const struct compiled *compiled)
{
    const size_t layers = compiled->image.repacked + compiled->resnet.repacked + compiled->text.repacked;
    if (!layers || !options->log)
        return;
    clipc_error line; /* its message has room for a sentence, and is made safe to print */
    clipc_fail(&line, CLIPC_OK,
               "%s: packed for %s; %zu layers were repacked for %s, which takes time and memory at every start: "
               "convert it again here",
               model->path, model->layout, layers,
               clipc_cpu_level_name(clipc_kernels_level(&compiled->kernels, compiled->precision)));
    options->log(options->log_user, CLIPC_LOG_WARNING, line.message);
}

static clipc_status compile(const clipc_model *model, const clipc_compile_options *options, void **out,
                            clipc_error *error)
{
    *out = NULL;
    clipc_status status = CLIPC_OK;
    struct compiled *compiled = clipc_allocate(1, sizeof *compiled);
    if (!compiled)
        return clipc_fail_memory(error, sizeof *compiled, "a compiled model");
    CLIPC_CHECK(choose_kernels(options->cpu_level, &compiled->level, &compiled->kernels, error));
    compiled->precision = choose_precision(options->precision, &compiled->kernels);
    CLIPC_CHECK(clipc_thread_pool_create(options->threads, &compiled->pool, error));
    compiled->is_resnet = options->image_tower && clipc_config_is_resnet(&model->config);
    if (compiled->is_resnet)
        CLIPC_CHECK(clipc_cpu_resnet_create(model, &compiled->kernels, compiled->precision, options->keep_precise,
                                            compiled->pool, &compiled->resnet, error));
    else if (options->image_tower)
        CLIPC_CHECK(clipc_cpu_image_tower_create(model, &compiled->kernels, compiled->precision, options->keep_precise,
                                                 compiled->pool, &compiled->image, error));
    if (options->text_tower)
        CLIPC_CHECK(clipc_cpu_text_tower_create(model, &compiled->kernels, compiled->precision, options->keep_precise,
                                                compiled->pool, &compiled->text, error));
    char text[CLIPC_MADE_FOR];
    made_for(compiled, text);
    apply_choices(compiled, clipc_tune_find(model, options, text));
    compiled->options = *options;
    compiled->dimension = model->config.embedding_dimension;
    CLIPC_CHECK(plan_workspace(compiled, options, error));
    log_repacked(model, options, compiled);
    *out = compiled;
    return CLIPC_OK;
fail:;
    void *half_built = compiled;
    destroy(&half_built);
    return status;
}

static void info(const void *compiled, clipc_compiled_info *info)
{
    const struct compiled *self = compiled;
    *info = (clipc_compiled_info){.precision = self->precision,
                                  .isa = clipc_cpu_level_name(clipc_kernels_level(&self->kernels, self->precision)),
                                  .threads = clipc_thread_pool_threads(self->pool),
                                  .packed_bytes =
                                      self->image.weight_bytes + self->resnet.weight_bytes + self->text.weight_bytes,
                                  .workspace_bytes = self->workspace_bytes};
}

static clipc_status plan(const clipc_compile_options *options, clipc_compiled_info *info, clipc_error *error)
{
    clipc_cpu_level level = CLIPC_CPU_C;
    clipc_kernels kernels;
    CLIPC_TRY(choose_kernels(options->cpu_level, &level, &kernels, error));
    const clipc_precision precision = choose_precision(options->precision, &kernels);
    *info = (clipc_compiled_info){.precision = precision,
                                  .isa = clipc_cpu_level_name(clipc_kernels_level(&kernels, precision)),
                                  .threads = options->threads};
    return CLIPC_OK;
}

static clipc_status encode_images(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error)
{
    (void)error;
    const struct compiled *self = compiled;
    if (self->is_resnet)
        clipc_cpu_resnet_encode(&self->resnet, &self->resnet_workspace, self->pool, pixels, count, embeddings);
    else
        clipc_cpu_encode_images(&self->image, &self->image_workspace, self->pool, pixels, count, embeddings);
    return CLIPC_OK;
}

static clipc_status encode_tokens(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error)
{
    (void)error;
    const struct compiled *self = compiled;
    clipc_cpu_encode_tokens(&self->text, &self->text_workspace, self->pool, ids, offsets, count, embeddings);
    return CLIPC_OK;
}

static clipc_status pack(const clipc_model *model, const clipc_compile_options *options,
                         clipc_packed_function function, void *context, clipc_compiled_info *packed_info,
                         clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_cpu_level level = CLIPC_CPU_C;
    clipc_kernels kernels;
    clipc_thread_pool *pool = NULL;
    CLIPC_TRY(choose_kernels(options->cpu_level, &level, &kernels, error));
    const clipc_precision precision = choose_precision(options->precision, &kernels);
    CLIPC_CHECK(clipc_thread_pool_create(options->threads, &pool, error));
    if (options->image_tower && clipc_config_is_resnet(&model->config))
        CLIPC_CHECK(
            clipc_cpu_resnet_pack(model, &kernels, precision, options->keep_precise, pool, function, context, error));
    else if (options->image_tower)
        CLIPC_CHECK(clipc_cpu_tower_pack(model, true, &kernels, precision, options->keep_precise, pool, function,
                                         context, error));
    if (options->text_tower)
        CLIPC_CHECK(clipc_cpu_tower_pack(model, false, &kernels, precision, options->keep_precise, pool, function,
                                         context, error));
    *packed_info = (clipc_compiled_info){.precision = precision,
                                         .isa = clipc_cpu_level_name(clipc_kernels_level(&kernels, precision)),
                                         .threads = options->threads};
fail:
    clipc_thread_pool_destroy(&pool);
    return status;
}

static clipc_status device_count(size_t *count, clipc_error *error)
{
    *count = 1;
    return probe(error);
}

static clipc_status device_info(size_t index, clipc_device_info *info, clipc_error *error)
{
    (void)index;
    clipc_compiled_info planned = {0};
    const clipc_compile_options options = {.threads = clipc_thread_count_default(), .max_batch = 1};
    CLIPC_TRY(plan(&options, &planned, error));
    info->isa = planned.isa;
    info->precision = planned.precision;
    info->units = planned.threads;
    clipc_cpu_name(info->name, sizeof info->name);
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long free_pages = sysconf(_SC_AVPHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && free_pages > 0 && page > 0) {
        info->memory_bytes = (uint64_t)pages * (uint64_t)page;
        info->free_bytes = (uint64_t)free_pages * (uint64_t)page;
    }
    return CLIPC_OK;
}

static clipc_status record_steps(void *compiled, bool on, const clipc_step_target *target, clipc_error *error)
{
    (void)error;
    struct compiled *self = compiled;
    if (on)
        self->steps = (clipc_cpu_steps){.target = target ? *target : (clipc_step_target){0}};
    self->image_workspace.steps = on ? &self->steps : NULL;
    self->text_workspace.steps = self->image_workspace.steps;
    self->resnet_workspace.steps = self->image_workspace.steps;
    return CLIPC_OK;
}

static bool step(void *compiled, size_t index, clipc_step_info *info)
{
    const struct compiled *self = compiled;
    return clipc_cpu_steps_get(&self->steps, index, info);
}

static clipc_status measure_peaks(void *compiled, clipc_peaks *peaks, clipc_error *error)
{
    const struct compiled *self = compiled;
    return clipc_measure_peaks(self->level, self->pool, peaks, error);
}

static clipc_status set_tap(void *compiled, const clipc_tap_target *target, clipc_error *error)
{
    (void)error;
    struct compiled *self = compiled;
    self->image_workspace.tap = *target;
    self->text_workspace.tap = *target;
    return CLIPC_OK;
}

static double seconds_of(struct compiled *self, const clipc_tune_request *request, bool images, float *embeddings)
{
    struct timespec begin;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (images)
        encode_images(self, request->pixels, request->count, embeddings, NULL);
    else
        encode_tokens(self, request->ids, request->offsets, request->count, embeddings, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

/* One thing to choose: candidates take turns, and the least time of each counts. The first is clipc's own. */
typedef struct choice {
    const char *name;
    size_t *place;
    bool images; /* what is measured */
    const size_t *candidates;
    size_t count;
} choice;

static clipc_status measure(struct compiled *self, const clipc_tune_request *request, const choice *one,
                            float *embeddings, clipc_error *error)
{
    double least[16] = {0};
    double spent = 0;
    size_t best = 0;
    char value[CLIPC_CHOICE_VALUE];
    const size_t rounds = request->full ? 7 : 3;
    for (size_t round = 0; round < rounds && spent < (request->full ? ENOUGH_SECONDS_FULL : ENOUGH_SECONDS); round++)
        for (size_t i = 0; i < one->count; i++) {
            *one->place = one->candidates[i];
            CLIPC_TRY(plan_workspace(self, &self->options, error));
            if (round == 0)
                spent += seconds_of(self, request, one->images, embeddings); /* pages are touched */
            const double seconds = seconds_of(self, request, one->images, embeddings);
            least[i] = round == 0 || seconds < least[i] ? seconds : least[i];
            spent += seconds;
        }
    for (size_t i = 1; i < one->count; i++)
        if (least[i] < least[best])
            best = i;
    best = least[0] < LEAST_GAIN * least[best] ? 0 : best;
    *one->place = one->candidates[best];
    snprintf(value, sizeof value, "%zu", one->candidates[best]);
    return clipc_tune_choose(request, one->name, value, least[0] / least[best], error);
}

static clipc_status tune_all(struct compiled *self, const clipc_tune_request *request, float *embeddings,
                             clipc_error *error)
{
    static const size_t budgets[] = {
        CLIPC_ACTIVATION_BUDGET, 6 * MEBIBYTE,  24 * MEBIBYTE, 3 * MEBIBYTE,  4 * MEBIBYTE, 8 * MEBIBYTE,
        16 * MEBIBYTE,           32 * MEBIBYTE, 48 * MEBIBYTE, 64 * MEBIBYTE, 96 * MEBIBYTE};
    static const size_t pieces[] = {CLIPC_PIECE_BYTES, MEBIBYTE / 4,     MEBIBYTE,    MEBIBYTE / 8,
                                    MEBIBYTE * 3 / 8,  MEBIBYTE * 3 / 4, MEBIBYTE * 2};
    const choice choices[] = {
        {budget_names[1], &self->budgets[1], true, budgets, request->full ? sizeof budgets / sizeof *budgets : 3},
        {budget_names[0], &self->budgets[0], false, budgets, request->full ? sizeof budgets / sizeof *budgets : 3},
        {piece_name, &self->kernels.piece_bytes, request->pixels != NULL, pieces,
         request->full ? sizeof pieces / sizeof *pieces : 3},
    };
    apply_choices(self, request->set);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (!clipc_choice_get(request->set, choices[i].name) &&
            (choices[i].images ? request->pixels != NULL : request->ids != NULL))
            CLIPC_TRY(measure(self, request, &choices[i], embeddings, error));
    return plan_workspace(self, &self->options, error);
}

static clipc_status tune(void *compiled, const clipc_tune_request *request, clipc_error *error)
{
    struct compiled *self = compiled;
    const size_t values = request->count * self->dimension;
    float *embeddings = clipc_allocate(values, sizeof *embeddings);
    if (!embeddings)
        return clipc_fail_memory(error, values * sizeof *embeddings, "embeddings");
    const clipc_status status = tune_all(self, request, embeddings, error);
    clipc_free(embeddings);
    return status;
}

const clipc_backend clipc_backend_cpu = {
    .name = "cpu",
    .automatic = true,
    .probe = probe,
    .supports_precision = supports_precision,
    .compile = compile,
    .plan = plan,
    .info = info,
    .encode_images = encode_images,
    .encode_tokens = encode_tokens,
    .destroy = destroy,
    .pack = pack,
    .unpack = clipc_cpu_unpack,
    .device_count = device_count,
    .device_info = device_info,
    .record_steps = record_steps,
    .step = step,
    .measure_peaks = measure_peaks,
    .set_tap = set_tap,
    .made_for = made_for,
    .tune = tune,
    .mixes_precisions = true,
};
