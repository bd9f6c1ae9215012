/* The reader of torch.save's files: what it makes of small ones (tests/interop/make_fixtures.py), and what it refuses.
 */
#include "base/mapped_file.h"
#include "base/memory.h"
#include "io/torch_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES CLIPC_SOURCE_DIR "/tests/unit/torch/"

static void open_file(const char *name, clipc_mapped_file *file)
{
    char path[1024];
    clipc_error error = {0};
    snprintf(path, sizeof path, "%s%s", FILES, name);
    if (clipc_mapped_file_open(path, 0, file, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
}

static clipc_torch_file *read_file(const clipc_mapped_file *file, const char *name)
{
    clipc_torch_file *torch_file = NULL;
    clipc_error error = {0};
    assert_true(clipc_torch_file_matches(file->bytes, file->size));
    if (clipc_torch_file_open(file->bytes, file->size, name, &torch_file, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    return torch_file;
}

/* Checks dtype, shape ("[2,3]") and, read as fp32, the values; integers are not compared. */
static void expect_tensor(const clipc_torch_file *file, const char *name, clipc_dtype dtype, const char *shape,
                          const float *values)
{
    char text[CLIPC_SHAPE_TEXT];
    const clipc_tensor *tensor = clipc_tensor_table_find(clipc_torch_file_table(file), name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    assert_string_equal(clipc_shape_text(tensor->shape, tensor->rank, text), shape);
    for (size_t i = 0; values && i < tensor->count; i++) {
        float value = 0;
        clipc_tensor_read(tensor, i, 1, &value);
        assert_true(value == values[i]);
    }
}

static void expect_state(const clipc_torch_file *file)
{
    assert_false(clipc_torch_file_is_script(file));
    assert_int_equal(clipc_torch_file_table(file)->count, 8);
    expect_tensor(file, "plain", CLIPC_DTYPE_F32, "[2,3]", (const float[]){1, 2, 3, 4, 5, 6});
    expect_tensor(file, "transposed", CLIPC_DTYPE_F32, "[3,2]", (const float[]){1, 4, 2, 5, 3, 6});
    expect_tensor(file, "row", CLIPC_DTYPE_F32, "[3]", (const float[]){4, 5, 6});
    expect_tensor(file, "half", CLIPC_DTYPE_F16, "[2]", (const float[]){0.5F, -2});
    expect_tensor(file, "bfloat", CLIPC_DTYPE_BF16, "[1]", (const float[]){1.5F});
    expect_tensor(file, "parameter", CLIPC_DTYPE_F32, "[2]", (const float[]){1, 1});
    expect_tensor(file, "nothing", CLIPC_DTYPE_F32, "[0,4]", NULL);
    expect_tensor(file, "scalar", CLIPC_DTYPE_I64, "[]", NULL);
    int64_t nine = 0;
    memcpy(&nine, clipc_tensor_table_find(clipc_torch_file_table(file), "scalar")->data, sizeof nine);
    assert_int_equal(nine, 9);
}

static void reads_state_dicts_of_every_form(void **state)
{
    (void)state;
    static const char *const names[] = {"state.pt", "old.pt",        "protocol4.pt",
                                        "zip64.pt", "checkpoint.pt", "tinyclip.pt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        clipc_mapped_file file;
        open_file(names[i], &file);
        clipc_torch_file *torch_file = read_file(&file, names[i]);
        expect_state(torch_file);
        clipc_torch_file_close(&torch_file);
        clipc_mapped_file_close(&file);
    }
}

static void reads_modules_of_torchscript(void **state)
{
    (void)state;
    clipc_mapped_file file;
    open_file("script.pt", &file);
    clipc_torch_file *torch_file = read_file(&file, "script.pt");
    assert_true(clipc_torch_file_is_script(torch_file));
    expect_tensor(torch_file, "bias", CLIPC_DTYPE_F32, "[2]", (const float[]){5, 6});
    expect_tensor(torch_file, "blocks.0.weight", CLIPC_DTYPE_F16, "[2,2]", (const float[]){1, 2, 3, 4});
    expect_tensor(torch_file, "blocks.1.weight", CLIPC_DTYPE_F16, "[2,2]", (const float[]){1, 2, 3, 4});
    expect_tensor(torch_file, "blocks.1.steps", CLIPC_DTYPE_I64, "[]", NULL);
    assert_int_equal(clipc_torch_file_table(torch_file)->count, 5);
    clipc_torch_file_close(&torch_file);
    clipc_mapped_file_close(&file);
}

static void maps_what_is_dense(void **state)
{
    (void)state;
    clipc_mapped_file file;
    open_file("state.pt", &file);
    clipc_torch_file *torch_file = read_file(&file, "state.pt");
    const clipc_tensor_table *table = clipc_torch_file_table(torch_file);
    for (size_t i = 0; i < table->count; i++) {
        const uint8_t *data = table->by_name[i]->data;
        const bool inside = data >= file.bytes && data <= file.bytes + file.size;
        assert_int_equal(inside, strcmp(table->by_name[i]->name, "transposed") != 0);
    }
    clipc_torch_file_close(&torch_file);
    clipc_mapped_file_close(&file);
}

static void expect_refusal(const void *bytes, size_t size, const char *name, clipc_status status, const char *cause)
{
    clipc_torch_file *torch_file = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_torch_file_open(bytes, size, name, &torch_file, &error), status);
    assert_null(torch_file);
    if (!strstr(error.message, cause) || strncmp(error.message, name, strlen(name)) != 0)
        fail_msg("'%s' does not say '%s'", error.message, cause);
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {"stranger.pt", CLIPC_ERROR_UNSUPPORTED,
         "the pickle names __main__.Stranger, which saved weights do not need"},
        {"numpy.pt", CLIPC_ERROR_UNSUPPORTED, "the pickle names numpy"},
        {"list.pt", CLIPC_ERROR_UNSUPPORTED, "holds neither a state dict nor a TorchScript module"},
        {"tinyclip_masks.pt", CLIPC_ERROR_UNSUPPORTED,
         "tensor '_image_encoder.l0_module.lambda_1' is a mask of TinyCLIP's automatic weight inheritance"},
        {"deflated.pt", CLIPC_ERROR_UNSUPPORTED, "data.pkl is compressed"},
        {"expanded.pt", CLIPC_ERROR_UNSUPPORTED, "tensor 'a' is no dense array, and larger than what it is made of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_mapped_file file;
        open_file(cases[i].file, &file);
        expect_refusal(file.bytes, file.size, cases[i].file, cases[i].status, cases[i].cause);
        clipc_mapped_file_close(&file);
    }
}

/* Cut short anywhere, no file is read; changed anywhere, none is read past its end (the sanitizers watch). */
static void survives_damage(void **state)
{
    (void)state;
    static const char *const names[] = {"state.pt", "old.pt", "script.pt", "zip64.pt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        clipc_mapped_file file;
        open_file(names[i], &file);
        for (size_t size = 0; size < file.size; size++) {
            uint8_t *copy = malloc(size ? size : 1);
            assert_non_null(copy);
            memcpy(copy, file.bytes, size);
            clipc_torch_file *torch_file = NULL;
            assert_int_not_equal(clipc_torch_file_open(copy, size, "cut", &torch_file, NULL), CLIPC_OK);
            free(copy);
        }
        uint8_t *copy = malloc(file.size);
        assert_non_null(copy);
        for (size_t at = 0; at < file.size; at++) {
            memcpy(copy, file.bytes, file.size);
            copy[at] ^= (uint8_t)(1 + at % 255);
            clipc_torch_file *torch_file = NULL;
            clipc_torch_file_open(copy, file.size, "damaged", &torch_file, NULL);
            clipc_torch_file_close(&torch_file);
        }
        free(copy);
        clipc_mapped_file_close(&file);
    }
}

/* A pickle in the older form, between its fixed first three parts and the list of keys. */
static void expect_old(const char *pickle, size_t length, clipc_status status, const char *cause)
{
    static const char begin[] =
        "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02M\xE9\x03.\x80\x02}.";
    char bytes[512];
    assert_true(sizeof begin + length < sizeof bytes);
    memcpy(bytes, begin, sizeof begin - 1);
    memcpy(bytes + sizeof begin - 1, pickle, length);
    expect_refusal(bytes, sizeof begin - 1 + length, "old", status, cause);
}

#define OLD(text, status, cause) expect_old(text, sizeof text - 1, status, cause)

static void runs_nothing(void **state)
{
    (void)state;
    OLD("\x80\x02"
        "cos\nsystem\n(U\x04true"
        "tR.",
        CLIPC_ERROR_UNSUPPORTED, "the pickle names os.system");
    OLD("\x80\x04\x8C\x08"
        "builtins\x8C\x04"
        "eval\x93.",
        CLIPC_ERROR_UNSUPPORTED, "the pickle names builtins.eval");
    OLD("\x80\x02"
        "ctorch\nFloatStorage\n)R.",
        CLIPC_ERROR_UNSUPPORTED, "calls a class");
    OLD("\x80\x02"
        "ccollections\nOrderedDict\n)\x81.",
        CLIPC_ERROR_UNSUPPORTED, "makes an object of a class");
    OLD("\x80\x02i.", CLIPC_ERROR_UNSUPPORTED, "opcode 0x69 at byte 2");
    OLD("\x80\x01.", CLIPC_ERROR_UNSUPPORTED, "protocol 1");
    OLD("\x80\x02)R.", CLIPC_ERROR_FORMAT, "takes more from its stack");
    OLD("\x80\x02t.", CLIPC_ERROR_FORMAT, "looks for a mark");
    OLD("\x80\x02(t0.", CLIPC_ERROR_FORMAT, "ends with 0 values");
    OLD("\x80\x02h\x05.", CLIPC_ERROR_FORMAT, "has not remembered");
    OLD("\x80\x02}(Nu.", CLIPC_ERROR_FORMAT, "a key and no value");
    OLD("\x80\x02NNa.", CLIPC_ERROR_FORMAT, "what is no list");
    OLD("\x80\x02N}b.", CLIPC_ERROR_FORMAT, "the state of what is no object");
    OLD("\x80\x02NQ.", CLIPC_ERROR_FORMAT, "wrong arguments");
    OLD("\x80\x02]q\x00h\x00"
        "a.\x80\x02].",
        CLIPC_ERROR_UNSUPPORTED, "neither a state dict"); /* within itself */
    OLD("\x80\x02X\xFF\xFF\xFF\xFF", CLIPC_ERROR_TRUNCATED, "ends too early");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_state_dicts_of_every_form),
        cmocka_unit_test(reads_modules_of_torchscript),
        cmocka_unit_test(maps_what_is_dense),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(runs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
