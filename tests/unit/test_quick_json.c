/* What is read quickly is what jansson reads: on files as they are, and on ones with bytes changed. */
#include "base/checked.h"
#include "base/memory.h"
#include "text/tokenizer_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VOCABULARY                                                                                                    \
    "{\"a\": 0, \"\\\"\\\\\\/\\b\\f\\n\\r\\t\" : 1,\n\t\"\\u0120th\\u00E9\":2 , \"\xC4\xA0\": 30,\"\":123456789}"
#define MERGES "[\"a b\", [\"\\u00e9\", \"c\"],\r\n\"\xC4\xA0 d</w>\" ]"

static const char vocab[] = VOCABULARY;
static const char tokenizer[] =
    "{\"version\": \"1.0\", \"vocab\": {\"no\": -1}, \"other\": {\"merges\": [1, {\"model\": 2}]}, \"model\": "
    "{\"type\": \"BPE\", \"inner\": {\"vocab\": \"]}\"}, \"vocab\": " VOCABULARY ", \"merges\": " MERGES
    ", \"dropout\": null}, \"last\": [true, 1.5]}";
static const char merges_first[] =
    "{\"model\": {\"merges\": " MERGES ", \"unk\": \"\\\"\", \"vocab\": " VOCABULARY "}, \"x\": 1}";

static void compare_vocabulary(const clipc_vocabulary *vocabulary, const json_t *object)
{
    assert_int_equal(vocabulary->count, json_object_size(object));
    for (size_t i = 0; i < vocabulary->count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        const json_t *value = json_object_getn(object, entry->text, entry->length);
        assert_true(json_is_integer(value));
        assert_int_equal(entry->id, json_integer_value(value));
        assert_int_equal(clipc_vocabulary_find(vocabulary, entry->text, entry->length), entry->id);
    }
    assert_int_equal(clipc_vocabulary_find(vocabulary, "absent", 6), CLIPC_NO_TOKEN);
}

static void compare_merge(const clipc_merge_text *merge, const json_t *value)
{
    char joined[512];
    const json_t *left = json_array_get(value, 0);
    const json_t *right = json_array_get(value, 1);
    if (json_is_array(value))
        snprintf(joined, sizeof joined, "%s %s", json_string_value(left), json_string_value(right));
    else
        snprintf(joined, sizeof joined, "%s", json_string_value(value));
    assert_int_equal(strlen(joined), merge->left_length + 1 + merge->right_length);
    assert_memory_equal(joined, merge->left, merge->left_length);
    assert_int_equal(joined[merge->left_length], ' ');
    assert_memory_equal(joined + merge->left_length + 1, merge->right, merge->right_length);
}

/* Opens the text both ways; true when it was read quickly. */
static bool compare(const char *text, size_t size, bool is_tokenizer_json)
{
    const clipc_tokenizer_file file = {.bytes = text, .size = size, .name = "file"};
    const clipc_tokenizer_file some = {.bytes = "", .size = 0, .name = "merges.txt"};
    const clipc_tokenizer_files files = {.tokenizer_json = is_tokenizer_json ? file : (clipc_tokenizer_file){0},
                                         .vocab = is_tokenizer_json ? (clipc_tokenizer_file){0} : file,
                                         .merges = is_tokenizer_json ? (clipc_tokenizer_file){0} : some};
    clipc_token_source source;
    const clipc_status status = clipc_token_source_open(&files, false, &source, NULL);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const bool quick = source.quick;
    assert_int_equal(status == CLIPC_OK, json_is_object(root));
    if (quick) {
        json_t *model = json_object_get(root, "model");
        const json_t *merges = json_object_get(model, "merges");
        compare_vocabulary(&source.vocabulary, is_tokenizer_json ? json_object_get(model, "vocab") : root);
        assert_int_equal(source.merge_count, json_array_size(merges));
        for (size_t i = 0; i < source.merge_count; i++)
            compare_merge(&source.merges[i], json_array_get(merges, i));
        if (is_tokenizer_json) {
            json_object_set_new(model, "vocab", json_object());
            json_object_set_new(model, "merges", json_array());
            assert_true(json_equal(root, source.root));
        }
    } else if (status == CLIPC_OK) {
        assert_true(json_equal(root, source.root));
    }
    json_decref(root);
    clipc_token_source_close(&source);
    return quick;
}

static void test_usual_files_are_taken(void **state)
{
    (void)state;
    assert_true(compare(vocab, sizeof vocab - 1, false));
    assert_true(compare(tokenizer, sizeof tokenizer - 1, true));
    assert_true(compare(merges_first, sizeof merges_first - 1, true));
    assert_true(compare("{}", 2, false));
}

static void test_unusual_files_are_declined(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{\"a\": -1}",
        "{\"a\": 1.0}",
        "{\"a\": 01}",
        "{\"a\": 1e2}",
        "{\"a\": 1234567890}",
        "{\"a\": 1, \"a\": 2}",
        "{\"a\": 1, \"\\u0061\": 2}",
        "{\"a\": 1,}",
        "{\"a\": 1",
        "{\"a\": 1} x",
        "{\"a\\u0000\": 1}",
        "{\"\\ud83d\\ude00\": 1}",
        "{\"\\ud83d\": 1}",
        "{\"a\nb\": 1}",
        "{\"\xFF\": 1}",
        "{\"\\x\": 1}",
        "[1]",
        "{\"a\": \"b\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(compare(texts[i], strlen(texts[i]), false));
    static const char *const tokenizers[] = {
        "{\"model\": {\"vocab\": {}, \"merges\": [], \"vocab\": {}}}",
        "{\"model\": {\"vocab\": {}}, \"model\": {\"merges\": []}}",
        "{\"model\": {\"vocab\": {}, \"merges\": [\"a  b\"]}}",
        "{\"model\": {\"vocab\": {}, \"merges\": [[\"a\", \"b\", \"c\"]]}}",
        "{\"model\": {\"vocab\": {}, \"merges\": []}",
        "{\"model\": [\"vocab\": {}, \"merges\": []]}",
        "{\"mod\\u0065l\": {}, \"model\": {\"vocab\": {}, \"merges\": []}}",
        "{\"model\": {\"vocab\": {}, \"merges\": []}}}",
        "[{\"vocab\": {}, \"merges\": []}]",
    };
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
        assert_false(compare(tokenizers[i], strlen(tokenizers[i]), true));
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

/* Overwrites, removes or doubles a byte or three. */
static size_t change(char *text, size_t size, uint64_t *random)
{
    static const char likely[] = "\"\\{}[]:, u0123456789aeE+-.\n\t\xC4\xA0\xED";
    for (uint32_t changes = 1 + next_random(random) % 3; changes > 0; changes--) {
        const size_t place = next_random(random) % size;
        switch (next_random(random) % 3) {
        case 0: text[place] = likely[next_random(random) % (sizeof likely - 1)]; break;
        case 1: memmove(text + place, text + place + 1, --size - place); break;
        default: memmove(text + place + 1, text + place, size++ - place); break;
        }
    }
    return size;
}

static void test_changed_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_tokenizer_json;
    } files[] = {{vocab, false}, {tokenizer, true}, {merges_first, true}};
    uint64_t random = 1;
    size_t taken = 0;
    for (size_t i = 0; i < 30000; i++) {
        char text[1024];
        const size_t size = strlen(files[i % 3].text);
        memcpy(text, files[i % 3].text, size);
        taken += compare(text, change(text, size, &random), files[i % 3].is_tokenizer_json);
    }
    assert_in_range(taken, 1000, 29000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_files_are_taken),
        cmocka_unit_test(test_unusual_files_are_declined),
        cmocka_unit_test(test_changed_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
