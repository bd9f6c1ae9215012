/* The tokenizer's files: every layout that is read, and hostile ones, on a vocabulary made here. */
#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VOCABULARY ((size_t)520)

static char bytes_json[16384]; /* "a": 0, "a</w>": 1, …, 512 entries */
static char vocab[20000];
static const char merges[] = "#version: 0.2\na b\nab c</w>\n";

#define LAST ", \"ab\": 512, \"abc</w>\": 513, \"<|startoftext|>\": 514, \"<|endoftext|>\": 515}"

static int make_vocabulary(void **state)
{
    (void)state;
    size_t used = 0;
    int32_t beyond = 0x100;
    for (int32_t byte = 0; byte < 256; byte++) {
        const int itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        uint8_t letter[5] = {0};
        clipc_utf8_write(itself ? byte : beyond++, letter);
        const char *escape = byte == '"' || byte == '\\' ? "\\" : "";
        used += (size_t)snprintf(bytes_json + used, sizeof bytes_json - used, "%s\"%s%s\": %d, \"%s%s</w>\": %d",
                                 byte ? ", " : "{", escape, (char *)letter, 2 * byte, escape, (char *)letter,
                                 2 * byte + 1);
    }
    snprintf(vocab, sizeof vocab, "%s" LAST, bytes_json);
    return 0;
}

static clipc_tokenizer_file file(const char *text, const char *name)
{
    return (clipc_tokenizer_file){.bytes = text, .size = text ? strlen(text) : 0, .name = name};
}

static clipc_tokenizer_files two_files(const char *vocab_text, const char *merges_text)
{
    return (clipc_tokenizer_files){.vocab = file(vocab_text, "vocab.json"), .merges = file(merges_text, "merges.txt")};
}

static void expect_ids(const clipc_tokenizer_files *files, const char *text, size_t count, const int32_t *expected)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    int32_t ids[32];
    size_t found = 0;
    if (clipc_tokenizer_create(files, VOCABULARY, &tokenizer, &error) != CLIPC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(clipc_tokenizer_encode(tokenizer, text, strlen(text), 32, ids, &found, &error), CLIPC_OK);
    assert_int_equal(found, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
    clipc_tokenizer_destroy(&tokenizer);
}

/* Creating fails with that status, and the sentence holds `words`. */
static void expect_failure(const clipc_tokenizer_files *files, clipc_status status, const char *words)
{
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    const clipc_status found = clipc_tokenizer_create(files, VOCABULARY, &tokenizer, &error);
    if (found != status || !strstr(error.message, words))
        fail_msg("status %d instead of %d: %s", found, status, error.message);
    assert_null(tokenizer);
}

static void expect_bad_vocab(const char *tail, clipc_status status, const char *words)
{
    char text[20000];
    snprintf(text, sizeof text, "%s%s", bytes_json, tail);
    const clipc_tokenizer_files files = two_files(text, merges);
    expect_failure(&files, status, words);
}

static void expect_bad_merges(const char *text, clipc_status status, const char *words)
{
    const clipc_tokenizer_files files = two_files(vocab, text);
    expect_failure(&files, status, words);
}

static void expect_bad_config(const char *text, clipc_status status, const char *words)
{
    clipc_tokenizer_files files = two_files(vocab, merges);
    files.tokenizer_config = file(text, "tokenizer_config.json");
    expect_failure(&files, status, words);
}

static const int32_t abc[] = {514, 513, 2 * 'x' + 1, 515};

static void test_vocab_and_merges(void **state)
{
    (void)state;
    clipc_tokenizer_files files = two_files(vocab, merges);
    expect_ids(&files, "ABC x", 4, abc);
    files.merges = file("a b\r\nab c</w>", "merges.txt"); /* no header, CR LF, no final line break */
    expect_ids(&files, "ABC x", 4, abc);
    static const int32_t special[] = {514, 514, 2 * 'a' + 1, 515, 515};
    expect_ids(&files, "<|startoftext|>a<|endoftext|>", 5, special);
    static const int32_t merged[] = {514, 512, 2 * 'a' + 1, 515};
    expect_ids(&files, "aba", 4, merged);
}

static void test_hostile_vocabularies(void **state)
{
    (void)state;
    expect_bad_vocab("", CLIPC_ERROR_TRUNCATED, "vocab.json");
    expect_bad_vocab(", \"ab\": 512, \"abc</w>\": 512}", CLIPC_ERROR_FORMAT, "512");
    expect_bad_vocab(", \"ab\": 512, \"ab\": 513}", CLIPC_ERROR_FORMAT, "vocab.json");
    expect_bad_vocab(", \"ab\": 520}", CLIPC_ERROR_FORMAT, "not below the vocabulary size 520");
    expect_bad_vocab(", \"ab\": -1}", CLIPC_ERROR_FORMAT, "-1");
    expect_bad_vocab(", \"ab\": 9223372036854775808}", CLIPC_ERROR_FORMAT, "vocab.json");
    expect_bad_vocab(", \"ab\": 1.5}", CLIPC_ERROR_FORMAT, "\"ab\" is not an integer");
}

static void test_missing_special_tokens(void **state)
{
    (void)state;
    char text[20000];
    /* Not in the vocabulary: numbered after it, while the model has room. */
    snprintf(text, sizeof text, "%s, \"ab\": 512, \"abc</w>\": 513}", bytes_json);
    clipc_tokenizer_files files = two_files(text, merges);
    expect_ids(&files, "ABC x", 4, abc);
    clipc_tokenizer *tokenizer = NULL;
    clipc_error error = {0};
    assert_int_equal(clipc_tokenizer_create(&files, 515, &tokenizer, &error), CLIPC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "<|endoftext|>"));
}

static void test_hostile_merges(void **state)
{
    (void)state;
    expect_bad_merges("a b\nab zz\n", CLIPC_ERROR_FORMAT, "merge 2 needs token \"zz\"");
    expect_bad_merges("b a\n", CLIPC_ERROR_FORMAT, "\"ba\"");
    expect_bad_merges("a b\n\nab c</w>\n", CLIPC_ERROR_FORMAT, "merge 2");
    expect_bad_merges("", CLIPC_ERROR_FORMAT, "merges.txt: holds no merges, though there are");
    expect_bad_merges("#version: 0.2\n", CLIPC_ERROR_FORMAT, "holds no merges");
    expect_bad_merges("a b c\n", CLIPC_ERROR_FORMAT, "merge 1");
    expect_bad_merges("a\xFF b\n", CLIPC_ERROR_FORMAT, "byte 1");
    char *line = clipc_allocate(100001, 1);
    memset(line, 'a', 100000);
    memcpy(line + 50000, " ", 1);
    expect_bad_merges(line, CLIPC_ERROR_FORMAT, "longer than any token");
    clipc_free(line);
}

static void test_configs(void **state)
{
    (void)state;
    expect_bad_config("{\"do_lower_case\": false}", CLIPC_ERROR_UNSUPPORTED, "do_lower_case");
    expect_bad_config("{\"add_prefix_space\": true}", CLIPC_ERROR_UNSUPPORTED, "add_prefix_space");
    expect_bad_config("{\"tokenizer_class\": \"BertTokenizer\"}", CLIPC_ERROR_UNSUPPORTED, "BertTokenizer");
    expect_bad_config("{\"truncation_side\": \"left\"}", CLIPC_ERROR_UNSUPPORTED, "truncation_side");
    expect_bad_config("{\"model_max_length\": 1}", CLIPC_ERROR_FORMAT, "model_max_length");
    expect_bad_config("{\"model_max_length\": \"77\"}", CLIPC_ERROR_FORMAT, "model_max_length");
    expect_bad_config("{\"bos_token\": null}", CLIPC_ERROR_FORMAT, "bos_token");
    expect_bad_config("{\"bos_token\": 7}", CLIPC_ERROR_FORMAT, "bos_token");
    expect_bad_config("{\"added_tokens_decoder\": {\"7\": {\"content\": \"<|endoftext|>\"}}}", CLIPC_ERROR_FORMAT,
                      "has id 7");
    expect_bad_config("{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", CLIPC_ERROR_FORMAT, "\"x\"");
    expect_bad_config("{\"bos_token\": {\"content\": \"ab\", \"single_word\": true}}", CLIPC_ERROR_UNSUPPORTED,
                      "single_word");
    expect_bad_config("{\"mask_token\": \"a b\"}", CLIPC_ERROR_UNSUPPORTED, "white space");
    expect_bad_config("{\"bos", CLIPC_ERROR_TRUNCATED, "tokenizer_config.json");
    clipc_tokenizer_files files = two_files(vocab, merges);
    files.tokenizer_config = file("{\"model_max_length\": 1000000000000000019884624838656, \"eos_token\": \"ab\"}",
                                  "tokenizer_config.json");
    /* "ab" is the end token now, so it is found inside the word before any merging. */
    static const int32_t other_end[] = {514, 512, 2 * 'c' + 1, 2 * 'x' + 1, 512};
    expect_ids(&files, "abC x", 5, other_end);
}

#define NORMALIZER                                                                                                    \
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Replace\", "        \
    "\"pattern\": {\"Regex\": \"\\\\s+\"}, \"content\": \" \"}, {\"type\": \"Lowercase\"}]}"
#define SPLITTING                                                                                                     \
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " \
    "\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"}, \"behavior\": \"Removed\", "      \
    "\"invert\": true}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true}]}"
#define ENDS                                                                                                          \
    "\"post_processor\": {\"type\": \"RobertaProcessing\", \"sep\": [\"<|endoftext|>\", 515], \"cls\": "              \
    "[\"<|startoftext|>\", 514], \"trim_offsets\": false, \"add_prefix_space\": false}"
#define MODEL(extra) "\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\"" extra
#define PAIRS        "[[\"a\", \"b\"], [\"ab\", \"c</w>\"]]"
#define STRINGS      "[\"a b\", \"ab c</w>\"]"

/* tokenizer.json of these parts; `head` ends where the vocabulary goes. */
static void make_json(char *text, size_t size, const char *head, const char *merge_list)
{
    snprintf(text, size, "{%s, \"vocab\": %s, \"merges\": %s}}", head, vocab, merge_list);
}

static void expect_bad_json(const char *head, const char *merge_list, clipc_status status, const char *words)
{
    char text[24000];
    make_json(text, sizeof text, head, merge_list);
    const clipc_tokenizer_files files = {.tokenizer_json = file(text, "tokenizer.json")};
    expect_failure(&files, status, words);
}

static void test_tokenizer_json(void **state)
{
    (void)state;
    char text[24000];
    const char *good = NORMALIZER ", " SPLITTING ", " ENDS ", " MODEL("");
    make_json(text, sizeof text, good, PAIRS);
    clipc_tokenizer_files files = {.tokenizer_json = file(text, "tokenizer.json")};
    expect_ids(&files, "ABC x", 4, abc);
    make_json(text, sizeof text, good, STRINGS);
    files.tokenizer_json.size = strlen(text);
    expect_ids(&files, "ABC x", 4, abc);
    for (size_t cut = 0; cut < files.tokenizer_json.size; cut += 997) {
        clipc_tokenizer_files shorter = files;
        shorter.tokenizer_json.size = cut;
        expect_failure(&shorter, CLIPC_ERROR_TRUNCATED, "tokenizer.json");
    }
    expect_bad_json(good, "[[\"a\"]]", CLIPC_ERROR_FORMAT, "merge 1");
    expect_bad_json(good, "{}", CLIPC_ERROR_FORMAT, "merges");
    expect_bad_json(SPLITTING ", " ENDS ", " MODEL(""), PAIRS, CLIPC_ERROR_UNSUPPORTED, "normalizer");
    expect_bad_json(NORMALIZER ", " ENDS ", " MODEL(""), PAIRS, CLIPC_ERROR_UNSUPPORTED, "pre_tokenizer");
    expect_bad_json(NORMALIZER ", " SPLITTING ", " MODEL(""), PAIRS, CLIPC_ERROR_UNSUPPORTED, "post_processor");
    expect_bad_json(NORMALIZER ", " SPLITTING ", " ENDS ", " MODEL(", \"ignore_merges\": true"), PAIRS,
                    CLIPC_ERROR_UNSUPPORTED, "ignore_merges");
    expect_bad_json(NORMALIZER ", " SPLITTING ", " ENDS ", " MODEL(", \"dropout\": 0.5"), PAIRS,
                    CLIPC_ERROR_UNSUPPORTED, "dropout");
    expect_bad_json(NORMALIZER ", " SPLITTING ", " ENDS ", \"model\": {\"type\": \"WordPiece\"", PAIRS,
                    CLIPC_ERROR_UNSUPPORTED, "not BPE");
}

static void test_no_files(void **state)
{
    (void)state;
    const clipc_tokenizer_files none = {0};
    expect_failure(&none, CLIPC_ERROR_NOT_FOUND, "tokenizer.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab_and_merges),
        cmocka_unit_test(test_hostile_vocabularies),
        cmocka_unit_test(test_missing_special_tokens),
        cmocka_unit_test(test_hostile_merges),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_tokenizer_json),
        cmocka_unit_test(test_no_files),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, NULL);
}
