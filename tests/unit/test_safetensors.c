/* The safetensors reader on good tables and on hostile ones: each is refused with a sentence that names the cause. */
#include "io/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file of its own size on the heap, so that a sanitizer sees any step past its end. */
static uint8_t *make_file(uint64_t claimed, const char *header, size_t header_size, size_t data_size, size_t *size)
{
    *size = 8 + header_size + data_size;
    uint8_t *bytes = calloc(1, *size);
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(claimed >> (8 * i));
    memcpy(bytes + 8, header, header_size);
    return bytes;
}

static clipc_status open_header(const char *header, size_t data_size, clipc_error *error)
{
    size_t size = 0;
    uint8_t *bytes = make_file(strlen(header), header, strlen(header), data_size, &size);
    clipc_safetensors *file = NULL;
    const clipc_status status = clipc_safetensors_open(bytes, size, "w.safetensors", &file, error);
    assert_true((status == CLIPC_OK) == (file != NULL));
    clipc_safetensors_close(&file);
    free(bytes);
    return status;
}

static void reads_a_table(void **state)
{
    (void)state;
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                         "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]}}   ";
    size_t size = 0;
    uint8_t *bytes = make_file(strlen(header), header, strlen(header), 16, &size);
    clipc_safetensors *file = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_safetensors_open(bytes, size, "w.safetensors", &file, &error), CLIPC_OK);
    assert_int_equal(clipc_safetensors_count(file), 3);
    const clipc_tensor *b = clipc_safetensors_find(file, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, CLIPC_DTYPE_F16);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->count, 6);
    assert_ptr_equal(b->data, bytes + 8 + strlen(header) + 4);
    assert_int_equal(clipc_safetensors_find(file, "a")->count, 1);
    assert_int_equal(clipc_safetensors_find(file, "empty")->count, 0);
    assert_null(clipc_safetensors_find(file, "c"));
    assert_null(clipc_safetensors_find(file, "__metadata__"));
    assert_ptr_equal(clipc_safetensors_at(file, 1), b);
    assert_null(clipc_safetensors_at(file, 3));
    clipc_safetensors_close(&file);
    assert_null(file);
    clipc_safetensors_close(&file);
    free(bytes);
}

#define TENSOR(name, dtype, shape, begin, end)                                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void refuses_bad_tables(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        clipc_status status;
        const char *cause;
    } cases[] = {
        /* offsets */
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "4", "12") "}", 12, CLIPC_ERROR_FORMAT,
         "tensors 'a' and 'b' overlap"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT,
         "overlap"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[1]", "4", "8") "}", 8, CLIPC_ERROR_FORMAT,
         "overlap"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "12", "20") "}", 20, CLIPC_ERROR_FORMAT,
         "4 bytes before tensor 'b' belong to no tensor"},
        {"{" TENSOR("a", "F32", "[2]", "4", "12") "}", 12, CLIPC_ERROR_FORMAT, "4 bytes before tensor 'a'"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "}", 9, CLIPC_ERROR_FORMAT, "1 bytes after the last tensor"},
        {"{}", 1, CLIPC_ERROR_FORMAT, "1 bytes after the last tensor"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "}", 7, CLIPC_ERROR_TRUNCATED, "'a' ends at offset 8"},
        {"{" TENSOR("a", "F32", "[2]", "1000", "1008") "}", 8, CLIPC_ERROR_TRUNCATED, "'a' ends at offset 1008"},
        {"{" TENSOR("a", "F32", "[2]", "-8", "0") "}", 8, CLIPC_ERROR_FORMAT, "'a' has data_offsets"},
        {"{" TENSOR("a", "F32", "[2]", "0", "-8") "}", 8, CLIPC_ERROR_FORMAT, "'a' has data_offsets"},
        {"{" TENSOR("a", "F32", "[2]", "8", "0") "}", 8, CLIPC_ERROR_FORMAT, "before it begins"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8.0") "}", 8, CLIPC_ERROR_FORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "[2]", "0", "\"8\"") "}", 8, CLIPC_ERROR_FORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8,9") "}", 8, CLIPC_ERROR_FORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "[2]", "0", "18446744073709551615") "}", 8, CLIPC_ERROR_FORMAT, "too big integer"},
        {"{" TENSOR("a", "F32", "[2]", "9223372036854775800", "9223372036854775807") "}", 8, CLIPC_ERROR_TRUNCATED,
         "'a' ends at offset 9223372036854775807"},
        /* shapes */
        {"{" TENSOR("a", "F32", "[3]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' takes 8 bytes"},
        {"{" TENSOR("a", "F16", "[2]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' takes 8 bytes"},
        {"{" TENSOR("a", "F32", "[-2]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' has a shape"},
        {"{" TENSOR("a", "F32", "[2.0]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' has a shape"},
        {"{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "overflows"},
        {"{" TENSOR("a", "F32", "[4611686018427387904]", "0", "0") "}", 0, CLIPC_ERROR_FORMAT, "'a' takes 0 bytes"},
        {"{" TENSOR("a", "F32", "[576460752303423490]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' takes 8 bytes"},
        {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, CLIPC_ERROR_LIMIT, "9 dimensions"},
        {"{" TENSOR("a", "F32", "2", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "'a' has no shape"},
        {"{" TENSOR("a", "F4", "[3]", "0", "1") "}", 1, CLIPC_ERROR_FORMAT, "'a' takes 1 bytes"},
        /* the rest of an entry */
        {"{" TENSOR("a", "F31", "[2]", "0", "8") "}", 8, CLIPC_ERROR_FORMAT, "unknown dtype 'F31'"},
        {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, CLIPC_ERROR_FORMAT, "'a' has no dtype"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, CLIPC_ERROR_FORMAT, "'a' has no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, CLIPC_ERROR_FORMAT, "'a' has no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, CLIPC_ERROR_FORMAT, "data_offsets"},
        {"{\"a\":[]}", 0, CLIPC_ERROR_FORMAT, "'a' is not described by an object"},
        {"{\"__metadata__\":7}", 0, CLIPC_ERROR_FORMAT, "__metadata__"},
        /* names and syntax */
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("a", "F32", "[1]", "4", "8") "}", 8, CLIPC_ERROR_FORMAT,
         "duplicate object key near '\"a\"'"},
        {"{" TENSOR("a\\u0000b", "F32", "[1]", "0", "4") "}", 4, CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"{" TENSOR("\xFF", "F32", "[1]", "0", "4") "}", 4, CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "} x", 4, CLIPC_ERROR_FORMAT, "not valid JSON"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4"), 4, CLIPC_ERROR_TRUNCATED, "ends too early"},
        {"[]", 0, CLIPC_ERROR_FORMAT, "does not begin with '{'"},
        {" {}", 0, CLIPC_ERROR_FORMAT, "does not begin with '{'"},
        {"", 0, CLIPC_ERROR_FORMAT, "does not begin with '{'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_error error = {0};
        const clipc_status status = open_header(cases[i].header, cases[i].data, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].cause))
            print_message("%s\n -> %d %s\n", cases[i].header, status, error.message);
        assert_int_equal(status, cases[i].status);
        assert_int_equal(error.status, cases[i].status);
        assert_ptr_equal(strstr(error.message, "w.safetensors: "), error.message);
        assert_non_null(strstr(error.message, cases[i].cause));
    }
}

static void refuses_bad_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t claimed;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {3, CLIPC_ERROR_TRUNCATED, "claims a header of 3 bytes, but only 2 follow"},
        {100000000, CLIPC_ERROR_TRUNCATED, "but only 2 follow"},
        {100000001, CLIPC_ERROR_FORMAT, "over the format's limit"},
        {UINT64_MAX, CLIPC_ERROR_FORMAT, "over the format's limit"},
        {UINT64_MAX - 7, CLIPC_ERROR_FORMAT, "over the format's limit"},
        {(uint64_t)1 << 63, CLIPC_ERROR_FORMAT, "over the format's limit"},
        {1, CLIPC_ERROR_TRUNCATED, "ends too early"},
    };
    clipc_safetensors *file = NULL;
    clipc_error error = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = 0;
        uint8_t *bytes = make_file(cases[i].claimed, "{}", 2, 0, &size);
        assert_int_equal(clipc_safetensors_open(bytes, size, "w.safetensors", &file, &error), cases[i].status);
        assert_null(file);
        assert_non_null(strstr(error.message, cases[i].cause));
        free(bytes);
    }
    for (size_t size = 0; size < 8; size++) {
        uint8_t *bytes = calloc(1, size + 1);
        assert_non_null(bytes);
        assert_int_equal(clipc_safetensors_open(bytes, size, "w.safetensors", &file, &error), CLIPC_ERROR_TRUNCATED);
        assert_non_null(strstr(error.message, "too few"));
        free(bytes);
    }
}

/* Nesting that would overflow the stack of a careless parser. */
static void refuses_deep_nesting(void **state)
{
    (void)state;
    const size_t depth = 200000;
    char *header = malloc(depth + 6);
    assert_non_null(header);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', depth);
    header[depth + 5] = '\0';
    clipc_error error = {0};
    assert_int_equal(open_header(header, 0, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "maximum parsing depth"));
    free(header);
}

/* A good file cut at every place is refused. */
static void refuses_every_cut(void **state)
{
    (void)state;
    const char *header = "{" TENSOR("a", "F32", "[2]", "0", "8") "}";
    size_t size = 0;
    uint8_t *bytes = make_file(strlen(header), header, strlen(header), 8, &size);
    clipc_safetensors *file = NULL;
    clipc_error error = {0};
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, bytes, cut);
        assert_int_equal(clipc_safetensors_open(part, cut, "w.safetensors", &file, &error), CLIPC_ERROR_TRUNCATED);
        free(part);
    }
    assert_int_equal(clipc_safetensors_open(bytes, size, "w.safetensors", &file, &error), CLIPC_OK);
    clipc_safetensors_close(&file);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_table),       cmocka_unit_test(refuses_bad_tables),
        cmocka_unit_test(refuses_bad_lengths), cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(refuses_every_cut),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
