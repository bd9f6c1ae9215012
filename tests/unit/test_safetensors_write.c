/* What is written can be read, and numbers are narrowed as the readers widen them. */
#include "io/narrow.h"
#include "io/safetensors.h"
#include "io/safetensors_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint8_t file[4096];
static size_t file_size;
static size_t capacity = sizeof file;

static int append(void *user, const void *bytes, size_t size)
{
    (void)user;
    if (size > capacity - file_size)
        return 1;
    memcpy(file + file_size, bytes, size);
    file_size += size;
    return 0;
}

static void reads_what_was_written(void **state)
{
    (void)state;
    static const float values[6] = {1, -2, 3, 0.5f, 5, 65504};
    uint16_t halves[6];
    const clipc_tensor table[] = {
        {.name = "scale", .dtype = CLIPC_DTYPE_F32, .count = 1},
        {.name = "a.weight", .dtype = CLIPC_DTYPE_F16, .rank = 2, .shape = {2, 3}, .count = 6},
        {.name = "a.bias", .dtype = CLIPC_DTYPE_BF16, .rank = 1, .shape = {1}, .count = 1},
    };
    clipc_error error = {0};
    file_size = 0;
    assert_int_equal(clipc_safetensors_write_table(table, 3, append, NULL, &error), CLIPC_OK);
    assert_int_equal(file_size % 8, 0);
    append(NULL, &values[3], sizeof values[3]);
    assert_int_equal(clipc_narrow(values, 6, CLIPC_DTYPE_F16, halves), SIZE_MAX);
    append(NULL, halves, sizeof halves);
    clipc_narrow(values, 1, CLIPC_DTYPE_BF16, halves);
    append(NULL, halves, sizeof halves[0]);

    clipc_safetensors *opened = NULL;
    if (clipc_safetensors_open(file, file_size, "w.safetensors", &opened, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(clipc_safetensors_count(opened), 3);
    for (size_t i = 0; i < 3; i++) {
        const clipc_tensor *tensor = clipc_safetensors_find(opened, table[i].name);
        float read[6];
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, table[i].dtype);
        assert_int_equal(tensor->rank, table[i].rank);
        assert_memory_equal(tensor->shape, table[i].shape, tensor->rank * sizeof tensor->shape[0]);
        clipc_tensor_read(tensor, 0, tensor->count, read);
        assert_memory_equal(read, i == 0 ? &values[3] : values, tensor->count * sizeof *read);
    }
    clipc_safetensors_close(&opened);
}

static void stops_when_told_to(void **state)
{
    (void)state;
    const clipc_tensor table = {.name = "a", .dtype = CLIPC_DTYPE_F32, .count = 1};
    clipc_error error = {0};
    for (capacity = 0; capacity < 64; capacity += 8) {
        file_size = 0;
        assert_int_equal(clipc_safetensors_write_table(&table, 1, append, NULL, &error), CLIPC_ERROR_IO);
    }
    capacity = sizeof file;
    const clipc_tensor bytes = {.name = "a", .dtype = CLIPC_DTYPE_I8, .count = 1};
    assert_int_equal(clipc_safetensors_write_table(&bytes, 1, append, NULL, &error), CLIPC_ERROR_INTERNAL);
}

static void tells_what_is_too_large(void **state)
{
    (void)state;
    const float values[] = {65504, 65519, 65520, -1e9f, __builtin_inff()};
    uint16_t halves[5];
    assert_int_equal(clipc_narrow(values, 5, CLIPC_DTYPE_F16, halves), 2);
    assert_int_equal(clipc_narrow(values, 2, CLIPC_DTYPE_F16, halves), SIZE_MAX);
    assert_int_equal(clipc_narrow(values, 5, CLIPC_DTYPE_BF16, halves), SIZE_MAX);
    const float large = 3.4e38f; /* bf16 ends at 3.39e38 */
    assert_int_equal(clipc_narrow(&large, 1, CLIPC_DTYPE_BF16, halves), 0);
    float in_place[] = {1, 2, 3};
    const uint16_t expected[] = {0x3F80, 0x4000, 0x4040};
    assert_int_equal(clipc_narrow(in_place, 3, CLIPC_DTYPE_BF16, in_place), SIZE_MAX);
    assert_memory_equal(in_place, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(stops_when_told_to),
        cmocka_unit_test(tells_what_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
