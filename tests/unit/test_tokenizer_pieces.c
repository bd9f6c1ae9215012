/* Small unigram and byte-fallback tokenizers (tests/unit/pieces, made by tests/parity/make_pieces_fixtures.py) give
 * the ids of the tokenizers package; padding, the packed form, and files that are refused. */
#include "base/mapped_file.h"
#include "base/memory.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define FOLDER     CLIPC_SOURCE_DIR "/tests/unit/pieces/"
#define VOCABULARY ((size_t)4096)
#define LIMIT      ((size_t)256)

static clipc_mapped_file read_file(const char *name)
{
    char path[4096];
    clipc_mapped_file file = {0};
    snprintf(path, sizeof path, FOLDER "%s", name);
    assert_int_equal(clipc_mapped_file_open(path, 0, &file, NULL), CLIPC_OK);
    return file;
}

static clipc_status create(const void *json, size_t size, const char *config, clipc_tokenizer **out,
                           clipc_error *error)
{
    const clipc_tokenizer_files files = {
        .tokenizer_json = {.bytes = json, .size = size, .name = "tokenizer.json"},
        .tokenizer_config = {.bytes = config, .size = config ? strlen(config) : 0, .name = "tokenizer_config.json"}};
    return clipc_tokenizer_create(&files, VOCABULARY, out, error);
}

static clipc_tokenizer *open_named(const char *name, const char *config)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    clipc_mapped_file file = read_file(name);
    if (create(file.bytes, file.size, config, &tokenizer, &error) != CLIPC_OK)
        fail_msg("%s: %s", name, error.message);
    clipc_mapped_file_close(&file);
    return tokenizer;
}

static void expect_ids(const clipc_tokenizer *tokenizer, const char *text, const char *expected)
{
    int32_t ids[LIMIT];
    char found[4096] = "";
    size_t count = 0;
    size_t used = 0;
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, strlen(text), LIMIT, ids, &count, NULL), CLIPC_OK);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%d", i ? " " : "", ids[i]);
    assert_string_equal(found, expected);
}

/* Every line of a file of expected ids, with the tokenizers, which are destroyed, and with their packed forms: the
 * second is the one whose name is `second`. */
static void expect_lines(const char *path, clipc_tokenizer *tokenizers[2], const char *second)
{
    FILE *lines = fopen(path, "r");
    assert_non_null(lines);
    clipc_tokenizer *reopened[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        const void *bytes = NULL;
        size_t size = 0;
        clipc_tokenizer_packed(tokenizers[i], &bytes, &size);
        assert_int_equal(clipc_tokenizer_open_packed(bytes, size, "block", VOCABULARY, &reopened[i], NULL), CLIPC_OK);
    }
    char line[8192];
    size_t count = 0;
    for (; fgets(line, sizeof line, lines); count++) {
        line[strcspn(line, "\n")] = '\0';
        char *text = strchr(line, '\t');
        assert_non_null(text);
        *text++ = '\0';
        char *ids = strchr(text, '\t');
        assert_non_null(ids);
        *ids++ = '\0';
        json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_true(json_is_string(value));
        const size_t which = strcmp(line, second) == 0;
        expect_ids(tokenizers[which], json_string_value(value), ids);
        expect_ids(reopened[which], json_string_value(value), ids);
        json_decref(value);
    }
    assert_true(count >= 30);
    for (size_t i = 0; i < 2; i++) {
        clipc_tokenizer_destroy(&reopened[i]);
        clipc_tokenizer_destroy(&tokenizers[i]);
    }
    fclose(lines);
}

static void test_expected_ids(void **state)
{
    (void)state;
    clipc_tokenizer *tokenizers[2] = {open_named("unigram.json", NULL), open_named("pairs.json", NULL)};
    expect_lines(FOLDER "expected.txt", tokenizers, "pairs.json");
}

/* ---- files of SentencePiece ---- */

#define GEMMA "{\"tokenizer_class\": \"GemmaTokenizer\", \"add_eos_token\": true}"

static clipc_status create_sentencepiece(const void *bytes, size_t size, const char *config, clipc_tokenizer **out,
                                         clipc_error *error)
{
    const clipc_tokenizer_files files = {
        .sentencepiece = {.bytes = bytes, .size = size, .name = "spiece.model"},
        .tokenizer_config = {.bytes = config, .size = config ? strlen(config) : 0, .name = "tokenizer_config.json"}};
    return clipc_tokenizer_create(&files, VOCABULARY, out, error);
}

static clipc_tokenizer *open_sentencepiece(const char *name, const char *config)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    clipc_mapped_file file = read_file(name);
    if (create_sentencepiece(file.bytes, file.size, config, &tokenizer, &error) != CLIPC_OK)
        fail_msg("%s: %s", name, error.message);
    clipc_mapped_file_close(&file);
    return tokenizer;
}

/* SiglipTokenizer's ids, which are the library's own, and GemmaTokenizer's. */
static void test_sentencepiece_ids(void **state)
{
    (void)state;
    clipc_tokenizer *named[2] = {open_sentencepiece("unigram.model", "{\"tokenizer_class\": \"SiglipTokenizer\"}"),
                                 open_sentencepiece("pairs.model", GEMMA)};
    expect_lines(FOLDER "sentencepiece.txt", named, "pairs.model");
    clipc_tokenizer *unnamed[2] = {open_sentencepiece("unigram.model", NULL),
                                   open_sentencepiece("pairs.model", "{\"add_eos_token\": true}")};
    expect_lines(FOLDER "sentencepiece.txt", unnamed, "pairs.model");
}

static void expect_refused_sentencepiece(const void *bytes, size_t size, const char *config, const char *words)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    assert_int_not_equal(create_sentencepiece(bytes, size, config, &tokenizer, &error), CLIPC_OK);
    assert_null(tokenizer);
    if (!strstr(error.message, words))
        fail_msg("%s (expected: %s)", error.message, words);
}

static void test_refused_sentencepiece(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } cases[] = {
        {"", 0, "is no model of SentencePiece"},
        {"{\"model\": 1}", 12, "is no model of SentencePiece"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x01",
         7, "has no unknown piece"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x0A\x05\x0A\x01"
         "b\x18\x02",
         14, "has two unknown pieces"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x0A\x03\x0A\x01"
         "a",
         12, "has a piece twice"},
        {"\x0A\x05\x0A\x01\xFF\x18\x02", 7, "no text"},
        {"\x0A\x02\x0A\x00", 4, "is empty"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x07",
         7, "damaged"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x12\x02\x18\x03",
         11, "of words or characters"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x12\x03\xC0\x01\x01",
         12, "suffix"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x1A\x02\x20\x00",
         11, "keeps spaces"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x1A\x03\x12\x01x",
         12, "charsmap is damaged"},
        {"\x0A\x05\x0A\x01"
         "a\x18\x02\x0A\x05\x0A\x01"
         "b\x18\x04",
         14, "piece 1 is user-defined"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused_sentencepiece(cases[i].bytes, cases[i].size, "{\"tokenizer_class\": \"SiglipTokenizer\"}",
                                     cases[i].words);
    clipc_mapped_file file = read_file("unigram.model");
    expect_refused_sentencepiece(file.bytes, file.size, GEMMA, "the model is not the one");
    expect_refused_sentencepiece(file.bytes, file.size, "{\"tokenizer_class\": \"T5Tokenizer\"}",
                                 "needs tokenizer.json");
    expect_refused_sentencepiece(file.bytes, file.size, "{\"sp_model_kwargs\": {\"enable_sampling\": true}}",
                                 "sp_model_kwargs of tokenizer_config.json is not empty");
    expect_refused_sentencepiece(file.bytes, file.size - 1, NULL, "damaged");
    clipc_mapped_file_close(&file);
}

static void test_padding(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *config;
        bool left;
        int32_t token;
        int32_t end;
    } cases[] = {
        {"unigram.json", "{\"pad_token\": \"</s>\"}", false, 1, 1},
        {"unigram.json", "{\"tokenizer_class\": \"SiglipTokenizer\"}", false, 1, 1},
        {"unigram.json", "{\"tokenizer_class\": \"T5Tokenizer\"}", false, 0, 1},
        {"pairs.json", "{\"tokenizer_class\": \"GemmaTokenizer\", \"padding_side\": \"right\"}", false, 0, 1},
        {"pairs.json", "{\"tokenizer_class\": \"Siglip2Tokenizer\"}", true, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t short_ids[LIMIT];
        int32_t ids[64];
        size_t count = 0;
        clipc_tokenizer_padding padding;
        clipc_tokenizer *tokenizer = open_named(cases[i].file, cases[i].config);
        clipc_tokenizer_get_padding(tokenizer, &padding);
        assert_true(padding.pads);
        assert_int_equal(padding.left, cases[i].left);
        assert_int_equal(padding.token, cases[i].token);
        assert_int_equal(clipc_tokenizer_encode(tokenizer, "a cat", 5, 64, short_ids, &count, NULL), CLIPC_OK);
        assert_in_range(count, 2, 10);
        assert_int_equal(short_ids[count - 1], cases[i].end);
        assert_int_equal(clipc_tokenizer_encode_padded(tokenizer, "a cat", 5, 64, ids, NULL), CLIPC_OK);
        const size_t begin = cases[i].left ? 64 - count : 0;
        for (size_t k = 0; k < 64; k++)
            assert_int_equal(ids[k], k >= begin && k - begin < count ? short_ids[k - begin] : cases[i].token);
        /* Cut: the end token stays. */
        assert_int_equal(clipc_tokenizer_encode_padded(tokenizer, "a cat", 5, 2, ids, NULL), CLIPC_OK);
        assert_int_equal(ids[0], short_ids[0]);
        assert_int_equal(ids[1], cases[i].end);
        clipc_tokenizer_destroy(&tokenizer);
    }
    int32_t ids[4];
    clipc_tokenizer *tokenizer = open_named("unigram.json", NULL);
    assert_int_equal(clipc_tokenizer_encode_padded(tokenizer, "a", 1, 4, ids, NULL), CLIPC_ERROR_UNSUPPORTED);
    clipc_tokenizer_destroy(&tokenizer);
}

static void expect_refused(const char *json, const char *config, clipc_status status, const char *words)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    assert_int_equal(create(json, strlen(json), config, &tokenizer, &error), status);
    assert_null(tokenizer);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" lacks \"%s\"", error.message, words);
}

#define UNIGRAM(more)                                                                                                 \
    "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\", -1.5], [\"b\", -2]]}" more "}"

static void test_refused_files(void **state)
{
    (void)state;
    expect_refused("{\"model\": {\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [[\"a\", 0]]}}", NULL,
                   CLIPC_ERROR_FORMAT, "unk_id");
    expect_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0], [\"a\", 0]]}}", NULL,
                   CLIPC_ERROR_FORMAT, "twice");
    expect_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}}", NULL, CLIPC_ERROR_FORMAT, "score");
    expect_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", NULL, CLIPC_ERROR_FORMAT, "no tokens");
    expect_refused(UNIGRAM(", \"normalizer\": {\"type\": \"NFKD\"}"), NULL, CLIPC_ERROR_UNSUPPORTED, "NFKD");
    expect_refused(
        UNIGRAM(", \"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a|b\"}, \"content\": \"\"}"),
        NULL, CLIPC_ERROR_UNSUPPORTED, "a|b");
    expect_refused(UNIGRAM(", \"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"/////w==\"}"),
                   NULL, CLIPC_ERROR_FORMAT, "precompiled_charsmap");
    expect_refused(UNIGRAM(", \"pre_tokenizer\": {\"type\": \"Digits\"}"), NULL, CLIPC_ERROR_UNSUPPORTED, "Digits");
    expect_refused(UNIGRAM(", \"post_processor\": {\"type\": \"BertProcessing\"}"), NULL, CLIPC_ERROR_UNSUPPORTED,
                   "post_processor");
    expect_refused(UNIGRAM(""), "{\"tokenizer_class\": \"GemmaTokenizer\"}", CLIPC_ERROR_UNSUPPORTED,
                   "tokenizer_class");
    expect_refused(UNIGRAM(""), "{\"tokenizer_class\": \"LlamaTokenizer\"}", CLIPC_ERROR_UNSUPPORTED,
                   "LlamaTokenizer");
    expect_refused(UNIGRAM(""), "{\"truncation_side\": \"left\"}", CLIPC_ERROR_UNSUPPORTED, "truncation_side");
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

/* Blocks with bytes changed are refused, or used without a memory fault. */
static void test_damaged_blocks(void **state)
{
    (void)state;
    static const char text[] = "A photo\xE2\x98\x83 of  caf\xC3\xA9 </s> \xEF\xBC\xA1 \xE2\x96\x81x";
    static const char *const names[] = {"unigram.json", "pairs.json"};
    uint64_t random = 1;
    size_t opened_count = 0;
    for (size_t which = 0; which < 2; which++) {
        const void *bytes = NULL;
        size_t size = 0;
        clipc_tokenizer *tokenizer = open_named(names[which], NULL);
        clipc_tokenizer_packed(tokenizer, &bytes, &size);
        uint8_t *block = clipc_allocate_aligned(size, 1);
        assert_non_null(block);
        for (size_t round = 0; round < 3000; round++) {
            clipc_tokenizer *opened = NULL;
            memcpy(block, bytes, size);
            /* Mostly in the header, else anywhere. */
            const size_t range = round % 3 ? size : 2600;
            for (size_t changes = 1 + next_random(&random) % 8; changes > 0; changes--)
                block[next_random(&random) % range] = (uint8_t)next_random(&random);
            if (clipc_tokenizer_open_packed(block, size, "block", VOCABULARY, &opened, NULL) == CLIPC_OK) {
                int32_t ids[LIMIT];
                size_t count = 0;
                opened_count++;
                if (clipc_tokenizer_encode(opened, text, sizeof text - 1, LIMIT, ids, &count, NULL) == CLIPC_OK)
                    for (size_t i = 0; i < count; i++)
                        assert_in_range(ids[i], 0, VOCABULARY - 1);
            }
            clipc_tokenizer_destroy(&opened);
        }
        clipc_free_aligned(block);
        clipc_tokenizer_destroy(&tokenizer);
    }
    assert_in_range(opened_count, 100, 5900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_ids),          cmocka_unit_test(test_sentencepiece_ids),
        cmocka_unit_test(test_refused_sentencepiece), cmocka_unit_test(test_padding),
        cmocka_unit_test(test_refused_files),         cmocka_unit_test(test_damaged_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
