/* The tokenizer on the demo model's vocabulary: ids that are known, limits, long words, the packed block. */
#include "base/mapped_file.h"
#include "base/memory.h"
#include "text/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VOCABULARY ((size_t)49408)
#define START      49406
#define END        49407

static clipc_tokenizer *tokenizer;

static int load(void **state)
{
    (void)state;
    static const char *const names[4] = {"vocab.json", "merges.txt", "tokenizer_config.json",
                                         "special_tokens_map.json"};
    clipc_mapped_file mapped[4] = {0};
    clipc_tokenizer_file views[4] = {0};
    clipc_error error;
    for (size_t i = 0; i < 4; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/models/demo/model/%s", CLIPC_SOURCE_DIR, names[i]);
        if (clipc_mapped_file_open(path, 0, &mapped[i], &error) != CLIPC_OK)
            return -1;
        views[i] = (clipc_tokenizer_file){.bytes = mapped[i].bytes, .size = mapped[i].size, .name = names[i]};
    }
    const clipc_tokenizer_files files = {
        .vocab = views[0], .merges = views[1], .tokenizer_config = views[2], .special_tokens_map = views[3]};
    const clipc_status status = clipc_tokenizer_create(&files, VOCABULARY, &tokenizer, &error);
    for (size_t i = 0; i < 4; i++)
        clipc_mapped_file_close(&mapped[i]);
    return status == CLIPC_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    clipc_tokenizer_destroy(&tokenizer);
    return 0;
}

typedef struct vector {
    const char *text;
    size_t count;
    int32_t ids[40]; /* start and end token left out */
} vector;

/* OpenAI's and Hugging Face's published examples, then strings that have tripped tokenizers up; ids of tokenizers
 * 0.23.3. */
static const vector vectors[] = {
    {"a photo of a cat", 5, {320, 1125, 539, 320, 2368}},
    {"a photo of a dog", 5, {320, 1125, 539, 320, 1929}},
    {"hello world", 2, {3306, 1002}},
    {"Hello World!, how are you?", 7, {3306, 1002, 29325, 829, 631, 592, 286}},
    {"the quick brown fox jumped over the lazy dog", 9, {518, 3712, 2866, 3240, 16901, 962, 518, 10753, 1929}},
    {"You should've done this", 5, {592, 1535, 1200, 1700, 589}},
    {"Hi", 1, {1883}},
    {"I'm fine, thanks!", 6, {328, 880, 3797, 267, 1085, 256}},
    {"blaa bla", 3, {2205, 320, 19630}},
    {"A\012'll 11p223RF\342\230\206ho!!to?'d'd''d of a cat to-$''d.",
     27,
     {320, 1342, 272,  272, 335, 273, 273,  274, 16368, 13439, 2971, 748, 531, 13610,
      323, 1896, 8445, 323, 539, 320, 2368, 531, 12,    3,     8445, 323, 269}},
    {"xa\314\203y x\303\243y", 6, {87, 19339, 344, 87, 19339, 344}},
    {"\302\205 \342\200\216 \342\200\217 \342\200\250 \342\200\251 x", 4, {31001, 728, 493, 343}},
    {"CAN'T 'S 'LL", 4, {753, 713, 568, 1342}},
    {"<|startoftext|>a<|endoftext|>'s", 4, {49406, 320, 49407, 568}},
    {"<|STARTOFTEXT|>!!'s", 10, {27, 347, 993, 6659, 4160, 91, 285, 1443, 262, 338}},
    {"!<|ENDOFTEXT|>", 7, {0, 27, 347, 40786, 4160, 91, 285}},
    {"\316\237\316\224\316\245\316\243\316\243\316\225\316\245\316\243",
     16,
     {138, 123, 138, 112, 139, 227, 139, 225, 139, 225, 138, 113, 139, 227, 139, 481}},
    {"\304\260stanbul", 3, {328, 16384, 11231}},
    {"e\314\243\314\202 \341\204\200\341\205\241\341\206\250", 5, {157, 119, 485, 21122, 479}},
    {"\340\275\265\340\275\263", 8, {39219, 109, 39219, 109, 39219, 110, 39219, 368}},
    {"a\314\201\341\253\201\314\243", 6, {22229, 157, 104, 223, 136, 352}},
    {"\352\237\232 \360\226\272\240", 7, {166, 253, 505, 172, 244, 118, 375}},
    {"\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247", 4, {25023, 26304, 964, 356}},
    {"\364\217\277\277", 4, {176, 237, 123, 379}},
    {"\342\204\253", 2, {127, 354}},
};

static void test_known_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        int32_t ids[77];
        size_t count = 0;
        clipc_error error;
        assert_int_equal(
            clipc_tokenizer_encode(tokenizer, vectors[i].text, strlen(vectors[i].text), 77, ids, &count, &error),
            CLIPC_OK);
        assert_int_equal(ids[0], START);
        assert_int_equal(ids[count - 1], END);
        assert_int_equal(count - 2, vectors[i].count);
        assert_memory_equal(ids + 1, vectors[i].ids, vectors[i].count * sizeof *ids);
    }
}

static void test_limit(void **state)
{
    (void)state;
    static const char text[] = "I'm fine, thanks!";
    static const int32_t expected[6] = {START, 328, 880, 3797, 267, END};
    int32_t ids[7] = {0, 0, 0, 0, 0, 0, -1};
    size_t count = 0;
    clipc_error error;
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, strlen(text), 6, ids, &count, &error), CLIPC_OK);
    assert_int_equal(count, 6);
    assert_memory_equal(ids, expected, sizeof expected);
    assert_int_equal(ids[6], -1);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, strlen(text), 2, ids, &count, &error), CLIPC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[1], END);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, strlen(text), 1, ids, &count, &error),
                     CLIPC_ERROR_ARGUMENT);
    assert_int_equal(clipc_tokenizer_max_length(tokenizer), 77);
}

static void test_empty_and_nul(void **state)
{
    (void)state;
    int32_t ids[8];
    size_t count = 0;
    clipc_error error;
    assert_int_equal(clipc_tokenizer_encode(tokenizer, NULL, 0, 8, ids, &count, &error), CLIPC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, "a\0b", 3, 8, ids, &count, &error), CLIPC_OK);
    assert_int_equal(count, 5);
    assert_int_equal(ids[1], 320);
    assert_int_equal(ids[2], 444);
    assert_int_equal(ids[3], 321);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *place;
    } bad[] = {{"a\xFF", 2, "byte 1"},
               {"cat \xC3", 5, "byte 4"},
               {"\xC0\x80", 2, "byte 0"},
               {"\xED\xA0\x80", 3, "byte 0"},
               {"\xF4\x90\x80\x80", 4, "byte 0"},
               {"12345678\x80", 9, "byte 8"},
               {"\xE2\x82\xAC\xE2\x82", 5, "byte 3"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t ids[8];
        size_t count = 0;
        clipc_error error;
        assert_int_equal(clipc_tokenizer_encode(tokenizer, bad[i].text, bad[i].length, 8, ids, &count, &error),
                         CLIPC_ERROR_FORMAT);
        assert_non_null(strstr(error.message, bad[i].place));
    }
}

/* A megabyte in one word: would take hours if merging were quadratic. */
static void test_megabyte_word(void **state)
{
    (void)state;
    const size_t length = 1000000;
    char *text = clipc_allocate(length, 1);
    int32_t *ids = clipc_allocate(length + 2, sizeof *ids);
    int32_t first[77];
    size_t count = 0;
    size_t cut = 0;
    assert_non_null(text);
    assert_non_null(ids);
    memset(text, 'a', length);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, length, length + 2, ids, &count, NULL), CLIPC_OK);
    assert_true(count > 2 && count < length);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, length, 77, first, &cut, NULL), CLIPC_OK);
    assert_int_equal(cut, 77);
    assert_memory_equal(first, ids, 76 * sizeof *ids);
    for (size_t i = 0; i + 2 <= length; i += 2)
        memcpy(text + i, "\xCC\x81", 2);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, length, 77, first, &cut, NULL), CLIPC_OK);
    assert_int_equal(cut, 77);
    clipc_free(text);
    clipc_free(ids);
}

/* Encodes what has many sorts of words; any status will do for a damaged block. */
static clipc_status exercise(const clipc_tokenizer *opened, int32_t ids[77], size_t *count)
{
    static const char text[] = "A photo of a cat, isn't it? <|endoftext|> <|STARTOFTEXT|> na\xC3\xAFve 12 zzyzxqqk";
    return clipc_tokenizer_encode(opened, text, strlen(text), 77, ids, count, NULL);
}

static void test_packed_again(void **state)
{
    (void)state;
    const void *bytes = NULL;
    size_t size = 0;
    clipc_tokenizer *opened = NULL;
    clipc_error error;
    int32_t ids[77];
    int32_t again[77];
    size_t count = 0;
    size_t count_again = 0;
    assert_int_equal(exercise(tokenizer, ids, &count), CLIPC_OK);
    clipc_tokenizer_packed(tokenizer, &bytes, &size);
    assert_int_equal(clipc_tokenizer_open_packed(bytes, size, "block", VOCABULARY, &opened, &error), CLIPC_OK);
    assert_int_equal(exercise(opened, again, &count_again), CLIPC_OK);
    assert_int_equal(count, count_again);
    assert_memory_equal(ids, again, count * sizeof *ids);
    clipc_tokenizer_destroy(&opened);
    assert_int_equal(clipc_tokenizer_open_packed(bytes, size - 1, "block", VOCABULARY, &opened, &error),
                     CLIPC_ERROR_TRUNCATED);
    assert_int_equal(clipc_tokenizer_open_packed(bytes, size, "block", VOCABULARY - 1, &opened, &error),
                     CLIPC_ERROR_FORMAT);
    assert_null(opened);
}

static size_t count_words(uint32_t state)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)1 << tokenizer->header->words_bits; i++)
        count += tokenizer->words[i].key[1] != 0 && tokenizer->words[i].state == state;
    return count;
}

/* Words are tried as they are met, and all of them before the block is handed out. */
static void test_words_are_tried(void **state)
{
    (void)state;
    const void *bytes = NULL;
    size_t size = 0;
    int32_t ids[77];
    int32_t again[77];
    size_t count = 0;
    size_t count_again = 0;
    clipc_tokenizer *kept = tokenizer;
    tokenizer = NULL;
    assert_int_equal(load(NULL), 0);
    const size_t untried = count_words(CLIPC_WORD_UNTRIED);
    assert_int_equal(count_words(CLIPC_WORD_IS_TOKEN), 0);
    assert_int_equal(exercise(tokenizer, ids, &count), CLIPC_OK);
    assert_in_range(count_words(CLIPC_WORD_IS_TOKEN), 5, 20);
    assert_int_equal(exercise(tokenizer, again, &count_again), CLIPC_OK);
    assert_int_equal(count, count_again);
    assert_memory_equal(ids, again, count * sizeof *ids);
    clipc_tokenizer_packed(tokenizer, &bytes, &size);
    assert_int_equal(count_words(CLIPC_WORD_UNTRIED), 0);
    assert_true(count_words(CLIPC_WORD_IS_TOKEN) > untried / 2);
    unload(NULL);
    tokenizer = kept;
}

/* Every bit of the header and the added tokens, and bits all over the tables: opening or encoding may fail, never
 * fault, and every id stays below the vocabulary size. */
static void test_flipped_bits(void **state)
{
    (void)state;
    const void *bytes = NULL;
    size_t size = 0;
    clipc_tokenizer_packed(tokenizer, &bytes, &size);
    uint8_t *copy = clipc_allocate_aligned(size, 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    const size_t small = (size_t)((const clipc_packed_header *)bytes)->merges_place;
    for (size_t bit = 0; bit < 8 * size; bit += bit < 8 * small ? 1 : 8009) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        clipc_tokenizer *opened = NULL;
        int32_t ids[77];
        size_t count = 0;
        if (clipc_tokenizer_open_packed(copy, size, "block", VOCABULARY, &opened, NULL) == CLIPC_OK &&
            exercise(opened, ids, &count) == CLIPC_OK)
            for (size_t i = 0; i < count; i++)
                assert_in_range(ids[i], 0, VOCABULARY - 1);
        clipc_tokenizer_destroy(&opened);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    clipc_free_aligned(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_ids),       cmocka_unit_test(test_limit),
        cmocka_unit_test(test_empty_and_nul),   cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_megabyte_word),   cmocka_unit_test(test_packed_again),
        cmocka_unit_test(test_words_are_tried), cmocka_unit_test(test_flipped_bits),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
