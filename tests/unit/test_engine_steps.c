/* What an engine says about its time, its machine, and what it would settle on. */
#include "clipc/clipc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { BATCH = 3, IMAGE = 3 * 128 * 128, DIMENSION = 256 }; /* the demo model */

static clipc_engine *open_engine(const char *backend, clipc_precision precision)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.threads = 2;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_create(model, &config, &engine, NULL), CLIPC_OK);
    clipc_model_destroy(&model);
    return engine;
}

static void encode(clipc_engine *engine, float *embeddings)
{
    float *pixels = calloc((size_t)BATCH * IMAGE, sizeof *pixels);
    assert_non_null(pixels);
    for (size_t i = 0; i < (size_t)BATCH * IMAGE; i++)
        pixels[i] = (float)(i % 97) / 48 - 1;
    assert_int_equal(clipc_engine_encode_images(engine, pixels, BATCH, 0, embeddings, NULL), CLIPC_OK);
    free(pixels);
}

static clipc_step_info find_step(clipc_engine *engine, const char *name)
{
    clipc_step_info info = {.size = sizeof info};
    for (size_t i = 0; i < clipc_engine_step_count(engine); i++) {
        assert_int_equal(clipc_engine_get_step(engine, i, &info, NULL), CLIPC_OK);
        if (strcmp(info.step, name) == 0)
            return info;
    }
    fail_msg("no step %s", name);
    return info;
}

/* The image tower of the demo model: width 256, 6 layers, MLP 1024, 65 tokens. */
static void steps_are_counted(void **state)
{
    (void)state;
    static float plain[BATCH * DIMENSION];
    static float recorded[BATCH * DIMENSION];
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_FP32);
    encode(engine, plain);
    assert_int_equal(clipc_engine_step_count(engine), 0);
    assert_int_equal(clipc_engine_record_steps(engine, 1, NULL), CLIPC_OK);
    encode(engine, recorded);
    assert_memory_equal(plain, recorded, sizeof plain);

    const clipc_step_info fc1 = find_step(engine, "fc1 + activation");
    const double rows = 5 * BATCH * 65 + BATCH; /* the last layer's are the pooled ones */
    assert_int_equal(fc1.calls, 6);
    assert_true(fc1.operations == 2 * rows * 256 * 1024);
    assert_true(fc1.bytes == 4 * (6.0 * 256 * 1024 + rows * 256 + rows * 1024));
    assert_true(fc1.seconds > 0);
    assert_int_equal(fc1.precision, CLIPC_PRECISION_FP32);
    assert_ptr_equal(strstr(fc1.kernel, "gemm_tile_f32__"), fc1.kernel);
    const clipc_step_info attention = find_step(engine, "attention");
    assert_true(attention.operations == 4.0 * 256 * BATCH * (5 * 65 * 65 + 4 * 65)); /* the last: rows of 4 heads */
    const clipc_step_info keys = find_step(engine, "query × weights of the keys");
    assert_true(keys.calls == 1 && keys.operations == 2.0 * BATCH * 256 * 256);
    const clipc_step_info norm = find_step(engine, "layer norm");
    assert_int_equal(norm.calls, 1 + 6 * 2 + 1 + 1); /* before, two a layer, the pooled rows' query, and after */
    assert_true(norm.operations == 0);
    /* fp32 in and out: the first, two a layer on all rows but for the pooled ones of the last, one more of all its
     * rows, and the last of all */
    assert_true(norm.bytes == 8.0 * 256 * (BATCH * 65 * (1 + 5 * 2 + 1) + BATCH * 3));

    assert_int_equal(clipc_engine_record_steps(engine, 0, NULL), CLIPC_OK);
    encode(engine, recorded);
    assert_int_equal(find_step(engine, "fc1 + activation").calls, 6);
    assert_int_equal(clipc_engine_record_steps(engine, 1, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_step_count(engine), 0);
    clipc_engine_destroy(&engine);
}

struct trace {
    size_t runs;
    double seconds;
    double operations;
    double bytes;
    double last_begin;
    size_t fc1_of_layer[6];
    size_t outside; /* of the layers */
    size_t of_text;
    bool backwards;
};

static void note_run(void *user, const clipc_step_run *run)
{
    struct trace *trace = user;
    assert_int_equal(run->size, sizeof *run);
    trace->runs++;
    trace->seconds += run->seconds;
    trace->operations += run->operations;
    trace->bytes += run->bytes;
    trace->backwards = trace->backwards || run->begin < trace->last_begin;
    trace->last_begin = run->begin + run->seconds;
    trace->outside += run->layer == -1;
    trace->of_text += !run->image;
    assert_in_range(run->layer + 1, 0, 6);
    if (strcmp(run->step, "fc1 + activation") == 0)
        trace->fc1_of_layer[run->layer]++;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Every run once, one after the other, within the call; together they are what is recorded. */
static void runs_are_told(void **state)
{
    (void)state;
    static float plain[BATCH * DIMENSION];
    static float traced[BATCH * DIMENSION];
    struct trace trace = {0};
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_FP32);
    encode(engine, plain);
    assert_int_equal(clipc_engine_trace_steps(engine, note_run, &trace, NULL), CLIPC_OK);
    trace.last_begin = now();
    encode(engine, traced);
    assert_true(trace.last_begin <= now() && !trace.backwards);
    assert_memory_equal(plain, traced, sizeof plain);
    struct trace recorded = {0};
    for (size_t i = 0; i < clipc_engine_step_count(engine); i++) {
        clipc_step_info info = {.size = sizeof info};
        assert_int_equal(clipc_engine_get_step(engine, i, &info, NULL), CLIPC_OK);
        recorded.runs += info.calls;
        recorded.operations += info.operations;
        recorded.bytes += info.bytes;
        recorded.seconds += info.seconds;
    }
    assert_int_equal(trace.runs, recorded.runs);
    assert_true(trace.operations == recorded.operations && trace.bytes == recorded.bytes);
    assert_true(fabs(trace.seconds - recorded.seconds) <= 1e-9 * recorded.seconds);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(trace.fc1_of_layer[i], 1);
    assert_int_equal(trace.outside, 6); /* patches, their embedding and norm, pooling, the last norm, projection */
    assert_int_equal(trace.of_text, 0);

    const int32_t ids[] = {49406, 320, 1125, 49407};
    const size_t offsets[] = {0, 4};
    trace = (struct trace){0};
    assert_int_equal(clipc_engine_encode_tokens(engine, ids, offsets, 1, 0, traced, NULL), CLIPC_OK);
    assert_true(trace.runs > 4 * 6 && trace.of_text == trace.runs);
    assert_int_equal(trace.outside, 4);

    assert_int_equal(clipc_engine_trace_steps(engine, NULL, NULL, NULL), CLIPC_OK);
    const size_t runs = trace.runs;
    encode(engine, traced);
    assert_int_equal(clipc_engine_record_steps(engine, 1, NULL), CLIPC_OK); /* tells nobody */
    encode(engine, traced);
    assert_int_equal(trace.runs, runs);
    assert_int_equal(clipc_engine_trace_steps(NULL, note_run, &trace, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(&engine);
    engine = open_engine("ref", CLIPC_PRECISION_FP32);
    assert_int_equal(clipc_engine_trace_steps(engine, note_run, &trace, NULL), CLIPC_ERROR_UNSUPPORTED);
    clipc_engine_destroy(&engine);
}

static void products_of_bf16_are_named_so(void **state)
{
    (void)state;
    static float embeddings[BATCH * DIMENSION];
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_BF16);
    assert_int_equal(clipc_engine_record_steps(engine, 1, NULL), CLIPC_OK);
    encode(engine, embeddings);
    const clipc_step_info fc2 = find_step(engine, "fc2 + residual");
    assert_int_equal(fc2.precision, CLIPC_PRECISION_BF16);
    assert_ptr_equal(strstr(fc2.kernel, "gemm_tile_bf16__"), fc2.kernel);
    assert_true(fc2.operations == 2.0 * (5 * BATCH * 65 + BATCH) * 256 * 1024);
    clipc_engine_destroy(&engine);
}

/* All products of rows with weights are in int8, but for the projection and, in the last layer, what multiplies the
 * weights of keys and values; attention's own are not. */
static void what_is_not_int8_is_told(void **state)
{
    (void)state;
    static float embeddings[BATCH * DIMENSION];
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_INT8);
    assert_int_equal(clipc_engine_record_steps(engine, 1, NULL), CLIPC_OK);
    encode(engine, embeddings);
    static const char *const products[] = {"query, key, value", "attention output + residual", "fc1 + activation",
                                           "fc2 + residual"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(find_step(engine, products[i]).precision, CLIPC_PRECISION_INT8);
        assert_non_null(strstr(find_step(engine, products[i]).kernel, "gemm_tile_i8__"));
    }
    assert_int_equal(find_step(engine, "quantization").calls, 2 * 6);
    assert_int_equal(find_step(engine, "query × weights of the keys").precision, CLIPC_PRECISION_BF16);
    assert_int_equal(find_step(engine, "sums × weights of the values").precision, CLIPC_PRECISION_BF16);
    assert_int_equal(find_step(engine, "patch embedding").precision, CLIPC_PRECISION_INT8);
    assert_int_not_equal(find_step(engine, "projection").precision, CLIPC_PRECISION_INT8);
    clipc_engine_destroy(&engine);
}

static void peaks_are_plausible(void **state)
{
    (void)state;
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_FP32);
    clipc_peaks peaks = {.size = sizeof peaks};
    assert_int_equal(clipc_engine_measure_peaks(engine, &peaks, NULL), CLIPC_OK);
    assert_true(peaks.fp32_operations > 1e8 && peaks.fp32_operations < 1e14);
    assert_true(peaks.bf16_operations >= 0 && peaks.bf16_operations < 1e15);
    assert_true(peaks.int8_operations >= 0 && peaks.int8_operations < 1e15);
    assert_true(peaks.one_thread_bytes > 1e7 && peaks.one_thread_bytes < 1e13);
    assert_true(peaks.all_threads_bytes > 1e7 && peaks.all_threads_bytes < 1e14);
    assert_true(peaks.start_seconds >= 0 && peaks.start_seconds < 1);
    clipc_engine_destroy(&engine);
}

static void wrong_arguments(void **state)
{
    (void)state;
    clipc_engine *engine = open_engine("cpu", CLIPC_PRECISION_FP32);
    clipc_engine *plain = open_engine("ref", CLIPC_PRECISION_FP32);
    clipc_step_info step = {.size = sizeof step};
    clipc_peaks peaks = {.size = sizeof peaks};
    assert_int_equal(clipc_engine_record_steps(NULL, 1, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_record_steps(plain, 1, NULL), CLIPC_ERROR_UNSUPPORTED);
    assert_int_equal(clipc_engine_step_count(NULL), 0);
    assert_int_equal(clipc_engine_step_count(plain), 0);
    assert_int_equal(clipc_engine_get_step(engine, 0, &step, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_get_step(plain, 0, &step, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_get_step(engine, 0, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_measure_peaks(NULL, &peaks, NULL), CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_engine_measure_peaks(plain, &peaks, NULL), CLIPC_ERROR_UNSUPPORTED);
    peaks.size = 1;
    assert_int_equal(clipc_engine_measure_peaks(engine, &peaks, NULL), CLIPC_ERROR_ARGUMENT);
    step.size = 1;
    assert_int_equal(clipc_engine_get_step(engine, 0, &step, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_engine_destroy(&engine);
    clipc_engine_destroy(&plain);
}

/* The plan is what the engine then says of itself. */
static void plans_come_true(void **state)
{
    (void)state;
    clipc_model *model = NULL;
    assert_int_equal(clipc_model_open(NULL, NULL, &model, NULL), CLIPC_OK);
    static const char *const backends[] = {"auto", "cpu", "ref"};
    static const char *const levels[] = {NULL, "c"};
    for (size_t i = 0; i < 6; i++) {
        clipc_engine *engine = NULL;
        clipc_engine_info plan = {.size = sizeof plan};
        clipc_engine_info info = {.size = sizeof info};
        clipc_engine_config config;
        clipc_engine_config_init(&config);
        config.backend = backends[i / 2];
        config.cpu_level = levels[i % 2];
        config.threads = 2;
        assert_int_equal(clipc_engine_plan(model, &config, &plan, NULL), CLIPC_OK);
        assert_int_equal(clipc_engine_create(model, &config, &engine, NULL), CLIPC_OK);
        assert_int_equal(clipc_engine_get_info(engine, &info, NULL), CLIPC_OK);
        assert_string_equal(plan.backend, info.backend);
        assert_string_equal(plan.isa, info.isa);
        assert_int_equal(plan.precision, info.precision);
        assert_int_equal(plan.threads, info.threads);
        assert_true(plan.packed_bytes == 0 && plan.workspace_bytes == 0);
        clipc_engine_destroy(&engine);
    }
    clipc_engine_info plan = {.size = sizeof plan};
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    assert_int_equal(clipc_engine_plan(model, NULL, &plan, NULL), CLIPC_OK);
    assert_int_equal(clipc_engine_plan(model, &config, NULL, NULL), CLIPC_ERROR_ARGUMENT);
    config.precision = CLIPC_PRECISION_FP8;
    assert_int_equal(clipc_engine_plan(model, &config, &plan, NULL), CLIPC_ERROR_UNSUPPORTED);
    plan.size = 1;
    assert_int_equal(clipc_engine_plan(model, NULL, &plan, NULL), CLIPC_ERROR_ARGUMENT);
    plan.size = sizeof plan;
    assert_int_equal(clipc_engine_plan(NULL, NULL, &plan, NULL), CLIPC_ERROR_ARGUMENT);
    clipc_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_counted),
        cmocka_unit_test(runs_are_told),
        cmocka_unit_test(products_of_bf16_are_named_so),
        cmocka_unit_test(what_is_not_int8_is_told),
        cmocka_unit_test(peaks_are_plausible),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(plans_come_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
