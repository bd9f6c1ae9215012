/* The n-th allocation fails, for n = 1, 2, 3 … until all goes well: no crash, nothing left behind, the right status.
 */
#include "base/mapped_file.h"
#include "clipc/clipc.h"
#include "fail/failing_allocator.h"
#include "onnx/import.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GRAPHS      CLIPC_SOURCE_DIR "/tests/unit/onnx/"
#define SMALL_MODEL CLIPC_SOURCE_DIR "/tests/golden/models/sharded"
#define SIGLIP      CLIPC_SOURCE_DIR "/tests/golden/models/siglip"
#define RESNET      CLIPC_SOURCE_DIR "/tests/golden/models/open_clip_resnet"
#define PICTURE     CLIPC_SOURCE_DIR "/models/demo/samples/cat.png"
#define THREADS     3
#define ITEMS       3
#define MAX_PIXELS  (3 * 128 * 128)
#define MAX_TOKENS  77
#define MAX_WIDTH   256

/* What a user does, from files to embeddings. Static, so that the test itself allocates nothing. */
typedef struct scenario {
    const char *model_path; /* NULL: the demo model */
    const char *backend;
    clipc_precision precision; /* of an engine file that is made */
    size_t encode_calls;       /* allocations while encoding, when all went well */
} scenario;

static float pixels[ITEMS * MAX_PIXELS];
static int32_t ids[ITEMS * MAX_TOKENS];
static size_t offsets[ITEMS + 1];
static float embeddings[ITEMS * MAX_WIDTH];

static void ignore(void *user, const clipc_tap *tap)
{
    (void)user;
    (void)tap;
}

static clipc_status encode(clipc_engine *engine, scenario *run, clipc_error *error)
{
    /* It costs no memory either; ResNets have none. */
    const bool resnet = run->model_path && strcmp(run->model_path, RESNET) == 0;
    const clipc_status tapped = resnet ? CLIPC_OK : clipc_engine_set_tap(engine, ignore, NULL, error);
    if (tapped != CLIPC_OK)
        return tapped;
    const size_t before = failing_allocator_calls();
    const clipc_status images = clipc_engine_encode_images(engine, pixels, ITEMS, 0, embeddings, error);
    if (images != CLIPC_OK)
        return images;
    const clipc_status texts = clipc_engine_encode_tokens(engine, ids, offsets, ITEMS, 0, embeddings, error);
    run->encode_calls = failing_allocator_calls() - before;
    return texts;
}

static clipc_status prepare_inputs(const clipc_model *model, clipc_error *error)
{
    static const char *const texts[ITEMS] = {"a cat", "", "a photo of two dogs"};
    clipc_model_info info = {.size = sizeof info};
    clipc_status status = clipc_model_get_info(model, &info, error);
    const size_t image = 3 * info.image_height * info.image_width;
    for (size_t i = 0; i < ITEMS && status == CLIPC_OK; i++) {
        size_t count = 0;
        status = clipc_model_tokenize(model, texts[i], strlen(texts[i]), ids + offsets[i], &count, error);
        offsets[i + 1] = offsets[i] + count;
        if (status == CLIPC_OK)
            status = clipc_model_preprocess_file(model, PICTURE, NULL, pixels + i * image, error);
    }
    return status;
}

static clipc_status embed(scenario *run, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = run->backend;
    config.threads = THREADS;
    config.max_batch = 2;

    clipc_status status = clipc_model_open(run->model_path, NULL, &model, error);
    if (status != CLIPC_OK)
        assert_null(model);
    if (status == CLIPC_OK)
        status = prepare_inputs(model, error);
    if (status == CLIPC_OK) {
        status = clipc_engine_create(model, &config, &engine, error);
        assert_true((status == CLIPC_OK) == (engine != NULL));
    }
    clipc_model_destroy(&model);
    if (status == CLIPC_OK)
        status = encode(engine, run, error);
    clipc_engine_destroy(&engine);
    return status;
}

/* ---- engine files and peaks ---- */

static uint8_t file_bytes[(size_t)1 << 21];
static size_t file_size;
static char file_path[] = "/tmp/clipc-fail-XXXXXX"; /* an engine file of int8 */
static char fp32_path[] = "/tmp/clipc-fail-XXXXXX";

static int keep(void *user, const void *bytes, size_t size)
{
    (void)user;
    if (size > sizeof file_bytes - file_size)
        return 1;
    memcpy(file_bytes + file_size, bytes, size);
    file_size += size;
    return 0;
}

static clipc_status convert(scenario *run, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.threads = THREADS;
    config.backend = run->backend;
    config.precision = run->precision;
    file_size = 0;
    clipc_status status = clipc_model_open(run->model_path, NULL, &model, error);
    if (status == CLIPC_OK)
        status = clipc_model_convert(model, &config, keep, NULL, error);
    clipc_model_destroy(&model);
    return status;
}

static int begin(void *user, const char *name)
{
    (void)user;
    (void)name;
    file_size = 0;
    return 0;
}

static clipc_status write_directory(scenario *run, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_status status = clipc_model_open(run->model_path, NULL, &model, error);
    if (status == CLIPC_OK)
        status = clipc_model_write_directory(model, CLIPC_PRECISION_AUTO, begin, keep, NULL, error);
    clipc_model_destroy(&model);
    return status;
}

static clipc_status measure(scenario *run, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_peaks peaks = {.size = sizeof peaks};
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.threads = THREADS;
    clipc_status status = clipc_model_open(run->model_path, NULL, &model, error);
    if (status == CLIPC_OK)
        status = clipc_engine_create(model, &config, &engine, error);
    clipc_model_destroy(&model);
    if (status == CLIPC_OK)
        status = clipc_engine_measure_peaks(engine, &peaks, error);
    clipc_engine_destroy(&engine);
    return status;
}

/* ---- graphs ---- */

static clipc_status no_external(void *user, const char *location, const uint8_t **bytes, size_t *size,
                                clipc_error *error)
{
    (void)user;
    (void)bytes;
    (void)size;
    return clipc_fail(error, CLIPC_ERROR_NOT_FOUND, "%s: no such file", location);
}

static clipc_status import_graph(scenario *run, clipc_error *error)
{
    const clipc_onnx_external external = {no_external, NULL};
    clipc_onnx_import found;
    clipc_mapped_file file;
    clipc_status status = clipc_mapped_file_open(run->model_path, 0, &file, error);
    if (status != CLIPC_OK)
        return status;
    status = clipc_onnx_import_read(file.bytes, file.size, run->model_path, &external, &found, error);
    clipc_onnx_import_free(&found);
    clipc_mapped_file_close(&file);
    return status;
}

static clipc_status open_graph(scenario *run, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_model_config config;
    clipc_model_config_init(&config);
    config.visual = run->model_path;
    const clipc_status status = clipc_model_open(NULL, &config, &model, error);
    clipc_model_destroy(&model);
    return status;
}

static int write_engine_file(char *path, clipc_precision precision)
{
    scenario run = {.model_path = SMALL_MODEL, .precision = precision};
    clipc_error error = {0};
    const int descriptor = mkstemp(path);
    if (descriptor < 0 || convert(&run, &error) != CLIPC_OK)
        return -1;
    const bool written = write(descriptor, file_bytes, file_size) == (ssize_t)file_size;
    return close(descriptor) == 0 && written ? 0 : -1;
}

/* Writes the small model as engine files, which the tests open. */
static int make_engine_files(void **state)
{
    (void)state;
    return write_engine_file(file_path, CLIPC_PRECISION_INT8) | write_engine_file(fp32_path, CLIPC_PRECISION_FP32);
}

static int remove_engine_files(void **state)
{
    (void)state;
    return unlink(file_path) | unlink(fp32_path);
}

static void fail_each_in_turn(clipc_status (*perform)(scenario *, clipc_error *), scenario *run, bool rest)
{
    const ptrdiff_t blocks = failing_allocator_blocks();
    for (size_t n = 1;; n++) {
        clipc_error error = {0};
        failing_allocator_arm(n, rest);
        const clipc_status status = perform(run, &error);
        const size_t calls = failing_allocator_calls();
        failing_allocator_arm(0, false);
        assert_int_equal(failing_allocator_blocks(), blocks);
        if (calls < n) {
            assert_int_equal(status, CLIPC_OK);
            assert_true(n > 4); /* else the allocations were not seen at all */
            return;
        }
        if (status != CLIPC_ERROR_MEMORY)
            print_error("allocation %zu: %s: %s\n", n, clipc_status_text(status), error.message);
        assert_int_equal(status, CLIPC_ERROR_MEMORY);
        assert_int_equal(error.status, CLIPC_ERROR_MEMORY);
        assert_true(error.message[0] != '\0');
    }
}

static const char *const models[] = {SMALL_MODEL, RESNET, NULL};
/* Device memory and its driver are not ours to count: tests/device. */
static const char *const backends[] = {"cpu", "ref"};
#define BACKENDS (sizeof backends / sizeof *backends)

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKENDS; i++) {
        scenario run = {.model_path = SMALL_MODEL, .backend = backends[i]};
        fail_each_in_turn(embed, &run, false);
        fail_each_in_turn(embed, &run, true);
    }
}

/* Another family's weights, and attention pooling. */
static void test_every_allocation_of_a_siglip_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKENDS; i++) {
        scenario run = {.model_path = SIGLIP, .backend = backends[i]};
        fail_each_in_turn(embed, &run, false);
    }
}

static void test_every_allocation_of_a_resnet_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKENDS; i++) {
        scenario run = {.model_path = RESNET, .backend = backends[i]};
        fail_each_in_turn(embed, &run, false);
    }
    scenario making = {.model_path = RESNET, .precision = CLIPC_PRECISION_FP32};
    fail_each_in_turn(convert, &making, false);
}

static void test_every_allocation_of_the_demo_model_may_fail(void **state)
{
    (void)state;
    scenario run = {.model_path = NULL, .backend = "auto"};
    fail_each_in_turn(embed, &run, false);
}

static void test_every_allocation_of_an_engine_file_may_fail(void **state)
{
    (void)state;
    scenario making = {.model_path = SMALL_MODEL, .precision = CLIPC_PRECISION_INT8};
    fail_each_in_turn(convert, &making, false);
    fail_each_in_turn(convert, &making, true);
    scenario using = {.model_path = file_path, .backend = "cpu"};
    fail_each_in_turn(embed, &using, false);
    fail_each_in_turn(embed, &using, true);
    scenario again = {.model_path = file_path, .precision = CLIPC_PRECISION_INT8};
    fail_each_in_turn(convert, &again, false);
    for (size_t i = 0; i < 2; i++) {
        scenario blocks = {
            .model_path = i ? SIGLIP : SMALL_MODEL, .backend = "cuda", .precision = CLIPC_PRECISION_FP8};
        fail_each_in_turn(convert, &blocks, false);
        fail_each_in_turn(convert, &blocks, true);
    }
}

/* From a directory, and from an engine file, whose weights are unpacked and whose tokenizer has no files. */
static void test_every_allocation_of_writing_a_directory_may_fail(void **state)
{
    (void)state;
    scenario copying = {.model_path = SMALL_MODEL};
    fail_each_in_turn(write_directory, &copying, false);
    fail_each_in_turn(write_directory, &copying, true);
    scenario unpacking = {.model_path = fp32_path};
    fail_each_in_turn(write_directory, &unpacking, false);
}

static void test_every_allocation_of_measuring_peaks_may_fail(void **state)
{
    (void)state;
    scenario run = {.model_path = file_path};
    fail_each_in_turn(measure, &run, false);
}

static void test_every_allocation_of_reading_graphs_may_fail(void **state)
{
    (void)state;
    static const char *const graphs[] = {GRAPHS "openai_12_textual.onnx",
                                         GRAPHS "openai_17_quint8_textual.onnx",
                                         GRAPHS "transformers_20_export_visual.onnx",
                                         GRAPHS "resnet_17_visual.onnx",
                                         GRAPHS "coca_14_textual.onnx",
                                         GRAPHS "coca_14_visual.onnx"};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
        scenario run = {.model_path = graphs[i]};
        fail_each_in_turn(import_graph, &run, false);
        fail_each_in_turn(import_graph, &run, true);
    }
    scenario run = {.model_path = GRAPHS "openai_17_visual.onnx"};
    fail_each_in_turn(open_graph, &run, false);
    fail_each_in_turn(open_graph, &run, true);
}

static void expect_no_allocation(const char *model, const char *backend)
{
    scenario run = {.model_path = model, .backend = backend, .encode_calls = SIZE_MAX};
    clipc_error error = {0};
    failing_allocator_arm(0, false);
    if (embed(&run, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(run.encode_calls, 0);
}

static void test_encoding_allocates_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKENDS; i++)
        for (size_t j = 0; j < sizeof models / sizeof *models; j++)
            expect_no_allocation(models[j], backends[i]);
    expect_no_allocation(file_path, "cpu");
}

/* SigLIP's tokenizers, built from a file of either kind, packed and used on a text that is too long for the buffers at
 * hand. */
static clipc_status tokenize_pieces(const clipc_mapped_file *file, bool sentencepiece, clipc_text_cleaning cleaning,
                                    clipc_error *error)
{
    static char text[4000];
    static int32_t tokens[64];
    clipc_tokenizer *tokenizer = NULL;
    const clipc_tokenizer_file view = {.bytes = file->bytes, .size = file->size, .name = "a tokenizer"};
    clipc_tokenizer_files files = {.cleaning = cleaning};
    *(sentencepiece ? &files.sentencepiece : &files.tokenizer_json) = view;
    size_t count = 0;
    memset(text, 'q', sizeof text);
    clipc_status status = clipc_tokenizer_create(&files, 4096, &tokenizer, error);
    assert_true((status == CLIPC_OK) == (tokenizer != NULL));
    if (status == CLIPC_OK)
        status = clipc_tokenizer_encode(tokenizer, text, sizeof text, 64, tokens, &count, error);
    clipc_tokenizer_destroy(&tokenizer);
    return status;
}

static void test_tokenizers_of_pieces(void **state)
{
    (void)state;
    static const char *const paths[] = {
        CLIPC_SOURCE_DIR "/tests/unit/pieces/unigram.json", CLIPC_SOURCE_DIR "/tests/unit/pieces/pairs.json",
        CLIPC_SOURCE_DIR "/tests/unit/pieces/unigram.model", CLIPC_SOURCE_DIR "/tests/unit/pieces/pairs.model"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        clipc_mapped_file file = {0};
        assert_int_equal(clipc_mapped_file_open(paths[i], 0, &file, NULL), CLIPC_OK);
        const ptrdiff_t blocks = failing_allocator_blocks();
        size_t calls = SIZE_MAX;
        for (size_t n = 1; calls >= n - 1; n++) {
            clipc_error error = {0};
            failing_allocator_arm(n, false);
            const clipc_status status = tokenize_pieces(&file, i >= 2, CLIPC_CLEAN_CANONICALIZE, &error);
            calls = failing_allocator_calls();
            failing_allocator_arm(0, false);
            assert_int_equal(failing_allocator_blocks(), blocks);
            assert_int_equal(status, calls < n ? CLIPC_OK : CLIPC_ERROR_MEMORY);
        }
        assert_true(calls > 10);
        clipc_mapped_file_close(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizers_of_pieces),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_every_allocation_of_a_siglip_may_fail),
        cmocka_unit_test(test_every_allocation_of_a_resnet_may_fail),
        cmocka_unit_test(test_every_allocation_of_the_demo_model_may_fail),
        cmocka_unit_test(test_every_allocation_of_an_engine_file_may_fail),
        cmocka_unit_test(test_every_allocation_of_writing_a_directory_may_fail),
        cmocka_unit_test(test_every_allocation_of_measuring_peaks_may_fail),
        cmocka_unit_test(test_every_allocation_of_reading_graphs_may_fail),
        cmocka_unit_test(test_encoding_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, make_engine_files, remove_engine_files);
}
