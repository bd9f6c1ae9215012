/* The .npy header, written as NumPy writes it and read however it comes. */
#include "io/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint8_t file_bytes[16384];

/* A version 1 file: the dictionary's text as it is, then `data_size` bytes. Returns its size. */
static size_t make_file(const char *dictionary, size_t data_size)
{
    const size_t length = strlen(dictionary);
    memset(file_bytes, 0, sizeof file_bytes);
    memcpy(file_bytes, "\x93NUMPY\x01\x00", 8);
    file_bytes[8] = (uint8_t)length;
    file_bytes[9] = (uint8_t)(length >> 8);
    memcpy(file_bytes + 10, dictionary, length);
    return 10 + length + data_size;
}

/* NumPy's bytes: numpy.lib.format.header_data_from_array_1_0 through write_array_header_1_0. */
static void writes_what_numpy_writes(void **state)
{
    (void)state;
    char header[256];
    const size_t shape[] = {3, 512};
    assert_int_equal(clipc_npy_header(shape, 2, header), 128);
    assert_memory_equal(header, "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }",
                        71);
    for (size_t i = 71; i < 127; i++)
        assert_int_equal(header[i], ' ');
    assert_int_equal(header[127], '\n');
    assert_int_equal(clipc_npy_header(shape, 1, header), 128);
    assert_non_null(strstr(header + 10, "(3,), }"));
}

static void header_length_does_not_depend_on_the_rows(void **state)
{
    (void)state;
    char header[256];
    for (size_t rank = 1; rank <= 8; rank++) {
        size_t shape[8] = {0, 3, 224, 224, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
        const size_t length = clipc_npy_header(shape, rank, header);
        assert_true(length > 0 && length <= 256 && length % 64 == 0);
        shape[0] = SIZE_MAX;
        assert_int_equal(clipc_npy_header(shape, rank, header), length);
    }
    const size_t shape[9] = {0};
    assert_int_equal(clipc_npy_header(shape, 0, header), 0);
    assert_int_equal(clipc_npy_header(shape, 9, header), 0);
}

static void reads_what_it_writes(void **state)
{
    (void)state;
    for (size_t rank = 1; rank <= 8; rank++) {
        const size_t shape[8] = {2, 3, 4, 1, 1, 5, 1, 2};
        char header[256];
        const size_t length = clipc_npy_header(shape, rank, header);
        size_t count = 1;
        for (size_t i = 0; i < rank; i++)
            count *= shape[i];
        memcpy(file_bytes, header, length);
        clipc_npy_layout layout;
        clipc_error error = {0};
        assert_int_equal(clipc_npy_parse(file_bytes, length + 4 * count, "a.npy", &layout, &error), CLIPC_OK);
        assert_int_equal(layout.rank, rank);
        assert_memory_equal(layout.shape, shape, rank * sizeof shape[0]);
        assert_string_equal(layout.dtype_name, "float32");
        assert_int_equal(layout.data_begin, length);
    }
}

static void reads_other_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        size_t data;
        const char *dtype;
        size_t rank;
    } cases[] = {
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }\n   ", 12, "float16", 2},
        {"{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<i8\"}   \n     ", 48, "int64", 2},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (0,), }\n     ", 0, "int32", 1},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n       ", 4, "float32", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_npy_layout layout;
        clipc_error error = {0};
        char aligned[128];
        snprintf(aligned, sizeof aligned, "%-70s", cases[i].dictionary); /* 10 + 70 is a multiple of 8 */
        const size_t size = make_file(aligned, cases[i].data);
        assert_int_equal(clipc_npy_parse(file_bytes, size, "a.npy", &layout, &error), CLIPC_OK);
        assert_string_equal(layout.dtype_name, cases[i].dtype);
        assert_int_equal(layout.rank, cases[i].rank);
    }
}

#define GOOD_START "{'descr': '<f4', 'fortran_order': False, "

static void refuses_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        size_t data;
        clipc_status status;
        const char *cause;
    } cases[] = {
        {"", 0, CLIPC_ERROR_FORMAT, "dictionary"},
        {"[]", 0, CLIPC_ERROR_FORMAT, "dictionary"},
        {"{", 0, CLIPC_ERROR_FORMAT, "key"},
        {"{}", 0, CLIPC_ERROR_FORMAT, "descr"},
        {GOOD_START "}", 0, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (2, 3)} x", 24, CLIPC_ERROR_FORMAT, "end"},
        {GOOD_START "'shape': (2 3)}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (6)}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': [6]}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (-1, 3)}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (1.5,)}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (99999999999999999999,)}", 24, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (4294967296, 4294967296, 3)}", 24, CLIPC_ERROR_FORMAT, "overflows"},
        {GOOD_START "'shape': (1,1,1,1,1,1,1,1,1)}", 4, CLIPC_ERROR_LIMIT, "dimensions"},
        {GOOD_START "'shape': (1,", 4, CLIPC_ERROR_FORMAT, "shape"},
        {GOOD_START "'shape': (6,), 'shape': (6,)}", 24, CLIPC_ERROR_FORMAT, "'shape' twice"},
        {GOOD_START "'shape': (6,), 'more': 1}", 24, CLIPC_ERROR_FORMAT, "'more'"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (6,)}", 24, CLIPC_ERROR_UNSUPPORTED, "'>f4'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (6,)}", 24, CLIPC_ERROR_UNSUPPORTED, "'|O'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", 24, CLIPC_ERROR_FORMAT, "descr"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (6,)}", 24, CLIPC_ERROR_UNSUPPORTED, "Fortran"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}", 24, CLIPC_ERROR_FORMAT, "fortran_order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clipc_npy_layout layout;
        clipc_error error = {0};
        const size_t size = make_file(cases[i].dictionary, cases[i].data);
        assert_int_equal(clipc_npy_parse(file_bytes, size, "bad.npy", &layout, &error), cases[i].status);
        assert_int_equal(error.status, cases[i].status);
        assert_ptr_equal(strstr(error.message, "bad.npy: "), error.message);
        assert_non_null(strstr(error.message, cases[i].cause));
    }
}

static void refuses_bad_sizes(void **state)
{
    (void)state;
    char aligned[128];
    snprintf(aligned, sizeof aligned, "%-118s", GOOD_START "'shape': (2, 3), }");
    static const struct {
        size_t data;
        clipc_status status;
        const char *cause;
    } cases[] = {{23, CLIPC_ERROR_TRUNCATED, "asks for 24 bytes, the file holds 23"},
                 {25, CLIPC_ERROR_FORMAT, "1 bytes after the array"}};
    clipc_npy_layout layout;
    clipc_error error = {0};
    for (size_t i = 0; i < 2; i++) {
        const size_t size = make_file(aligned, cases[i].data);
        assert_int_equal(clipc_npy_parse(file_bytes, size, "bad.npy", &layout, &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].cause));
    }
    const size_t size = make_file(aligned, 24);
    assert_int_equal(clipc_npy_parse(file_bytes, size, "good.npy", &layout, &error), CLIPC_OK);
    for (size_t cut = 0; cut < size; cut++) {
        const clipc_status expected = cut < 6 ? CLIPC_ERROR_FORMAT : CLIPC_ERROR_TRUNCATED;
        assert_int_equal(clipc_npy_parse(file_bytes, cut, "cut.npy", &layout, &error), expected);
    }
    file_bytes[6] = 4;
    assert_int_equal(clipc_npy_parse(file_bytes, size, "new.npy", &layout, &error), CLIPC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "version 4.0"));
    file_bytes[6] = 2; /* the length now takes four bytes, two of them from the text */
    assert_int_equal(clipc_npy_parse(file_bytes, size, "long.npy", &layout, &error), CLIPC_ERROR_LIMIT);
    make_file(GOOD_START "'shape': (2, 3), } ", 24);
    assert_int_equal(
        clipc_npy_parse(file_bytes, 10 + strlen(GOOD_START "'shape': (2, 3), } ") + 24, "odd.npy", &layout, &error),
        CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "not aligned"));
}

static void opens_files(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_npy_XXXXXX";
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    char header[256];
    const size_t shape[] = {1, 2};
    const float values[] = {1.5F, -2.0F};
    const size_t length = clipc_npy_header(shape, 2, header);
    assert_int_equal(write(descriptor, header, length), length);
    assert_int_equal(write(descriptor, values, sizeof values), sizeof values);
    assert_int_equal(close(descriptor), 0);
    clipc_npy *array = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_npy_open(path, &array, &error), CLIPC_OK);
    assert_int_equal(clipc_npy_rank(array), 2);
    assert_int_equal(clipc_npy_shape(array)[1], 2);
    assert_string_equal(clipc_npy_dtype(array), "float32");
    assert_memory_equal(clipc_npy_data(array), values, sizeof values);
    clipc_npy_destroy(&array);
    assert_null(array);
    clipc_npy_destroy(&array);
    assert_int_equal(truncate(path, (off_t)length), 0);
    assert_int_equal(clipc_npy_open(path, &array, &error), CLIPC_ERROR_TRUNCATED);
    assert_null(array);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(clipc_npy_open(path, &array, &error), CLIPC_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
}

/* A seed of the fuzz target, made by numpy.savez. */
static void compares_checksums_of_archives(void **state)
{
    (void)state;
    char path[] = "/tmp/clipc_npz_XXXXXX";
    FILE *seed = fopen(CLIPC_SOURCE_DIR "/fuzz/corpus/npz/two", "rb");
    const int descriptor = mkstemp(path);
    assert_true(seed && descriptor >= 0);
    const size_t size = fread(file_bytes, 1, sizeof file_bytes, seed);
    assert_int_equal(fclose(seed), 0);
    assert_int_equal(write(descriptor, file_bytes, size), size);
    clipc_npz *archive = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_npz_open(path, &archive, &error), CLIPC_OK);
    assert_int_equal(clipc_npz_count(archive), 2);
    const uint8_t *data = clipc_npy_data(clipc_npz_array(archive, 0));
    const size_t first = *data;
    clipc_npz_destroy(&archive);
    /* The first byte behind the header of the first array, that ends with a line feed. */
    size_t at = 0;
    while (at < size && file_bytes[at] != '\n')
        at++;
    assert_true(++at < size && file_bytes[at] == first);
    const uint8_t flipped = file_bytes[at] ^ 1;
    assert_int_equal(pwrite(descriptor, &flipped, 1, (off_t)at), 1);
    assert_int_equal(clipc_npz_open(path, &archive, &error), CLIPC_ERROR_FORMAT);
    assert_null(archive);
    assert_non_null(strstr(error.message, "checksum"));
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_numpy_writes),
        cmocka_unit_test(header_length_does_not_depend_on_the_rows),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(reads_other_spellings),
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_bad_sizes),
        cmocka_unit_test(opens_files),
        cmocka_unit_test(compares_checksums_of_archives),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
