/* The tokenizers' files, their packed blocks and their texts. The first byte says which: a JSON file, merges, a model
 * of SentencePiece, the packed block of a small tokenizer with bytes changed, or a text for it; CLIP's tokenizer, or
 * one of pieces. */
#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY ((size_t)1 << 20)
#define LIMIT      ((size_t)77)
#define MAX_BLOCK  ((size_t)1 << 20)

static char vocab[20000];
static clipc_tokenizer *tokenizer;
static clipc_tokenizer *pieces[2]; /* unigram, byte pairs */
static uint8_t *block;

static void make_pieces(void);
int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static clipc_tokenizer_file view(const void *bytes, size_t size)
{
    return (clipc_tokenizer_file){.bytes = bytes, .size = size, .name = "file"};
}

static void make_vocabulary(void)
{
    size_t used = 0;
    int32_t beyond = 0x100;
    for (int32_t byte = 0; byte < 256; byte++) {
        const int itself = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        uint8_t letter[5] = {0};
        clipc_utf8_write(itself ? byte : beyond++, letter);
        const char *escape = byte == '"' || byte == '\\' ? "\\" : "";
        used +=
            (size_t)snprintf(vocab + used, sizeof vocab - used, "%s\"%s%s\": %d, \"%s%s</w>\": %d", byte ? ", " : "{",
                             escape, (char *)letter, 2 * byte, escape, (char *)letter, 2 * byte + 1);
    }
    snprintf(vocab + used, sizeof vocab - used,
             ", \"aa\": 512, \"aaa\": 513, \"ab\": 514, \"abc</w>\": 515, \"<|startoftext|>\": 516, "
             "\"<|endoftext|>\": 517}");
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count;
    (void)arguments;
    static const char merges[] = "a a\naa a\na b\nab c</w>\n";
    static const char config[] = "{\"bos_token\": {\"content\": \"<|startoftext|>\", \"normalized\": true}}";
    make_vocabulary();
    const clipc_tokenizer_files files = {.vocab = view(vocab, strlen(vocab)),
                                         .merges = view(merges, sizeof merges - 1),
                                         .tokenizer_config = view(config, sizeof config - 1)};
    if (clipc_tokenizer_create(&files, VOCABULARY, &tokenizer, NULL) != CLIPC_OK)
        abort();
    make_pieces();
    block = clipc_allocate_aligned(MAX_BLOCK, 1);
    if (!block)
        abort();
    return 0;
}

/* With every kind of step, splitting, added token and fallback between them. */
static void make_pieces(void)
{
    static const char unigram[] =
        "{\"added_tokens\": [{\"id\": 1, \"content\": \"</s>\", \"special\": true, \"lstrip\": true, \"rstrip\": "
        "true}, {\"id\": 9, \"content\": \"B\", \"special\": false, \"normalized\": true}], \"normalizer\": "
        "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Lowercase\"}, {\"type\": \"Replace\", "
        "\"pattern\": {\"Regex\": \"[!-/]\"}, \"content\": \"\"}, {\"type\": \"Replace\", \"pattern\": "
        "{\"Regex\": \"\\\\s+\"}, \"content\": \" \"}, {\"type\": \"Strip\", \"strip_left\": true, "
        "\"strip_right\": true}]}, \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\u2581\", "
        "\"prepend_scheme\": \"always\"}, \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
        "[{\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": \"</s>\"}}], \"special_tokens\": {\"</s>\": "
        "{\"ids\": [1]}}}, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"byte_fallback\": true, \"vocab\": "
        "[[\"<unk>\", 0], [\"</s>\", 0], [\"\u2581\", -2], [\"a\", -1.5], [\"\u2581a\", -1.25], [\"ab\", -3], "
        "[\"b\", -4], [\"<0xC3>\", 0], [\"<0xA9>\", 0]]}}";
    static const char pairs[] =
        "{\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}, "
        "\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"fuse_unk\": true, \"unk_token\": \"<unk>\", "
        "\"vocab\": {\"<unk>\": 0, \"\u2581\": 1, \"a\": 2, \"b\": 3, \"ab\": 4, \"\u2581ab\": 5, \"<0xC3>\": 6, "
        "\"<0xA9>\": 7}, \"merges\": [[\"a\", \"b\"], [\"\u2581\", \"ab\"]]}}";
    static const char *const texts[2] = {unigram, pairs};
    for (size_t i = 0; i < 2; i++) {
        const clipc_tokenizer_files files = {.tokenizer_json = view(texts[i], strlen(texts[i])),
                                             .cleaning = i ? CLIPC_CLEAN_CANONICALIZE : CLIPC_CLEAN_NOTHING};
        if (clipc_tokenizer_create(&files, VOCABULARY, &pieces[i], NULL) != CLIPC_OK)
            abort();
    }
}

static void encode(const clipc_tokenizer *opened, const uint8_t *text, size_t size)
{
    int32_t ids[LIMIT];
    size_t count = 0;
    if (clipc_tokenizer_encode(opened, (const char *)text, size, LIMIT, ids, &count, NULL) != CLIPC_OK)
        return;
    for (size_t i = 0; i < count; i++)
        if (count > LIMIT || ids[i] < 0 || (size_t)ids[i] >= VOCABULARY)
            abort();
}

static void use(clipc_tokenizer *opened)
{
    static const char text[] =
        "aaab ABC </s> \xE2\x96\x81 \xEF\xBC\xA1! isn't <|endoftext|><|STARTOFTEXT|> 12 \xC3\xA9\xCC\x81";
    if (opened)
        encode(opened, (const uint8_t *)text, sizeof text - 1);
    clipc_tokenizer_destroy(&opened);
}

/* Triples of place (two bytes) and value; what is left over is the text. */
static void change_block(const clipc_tokenizer *from, const uint8_t *bytes, size_t size)
{
    size_t block_size = 0;
    const void *packed = NULL;
    clipc_tokenizer *opened = NULL;
    clipc_tokenizer_packed(from, &packed, &block_size);
    if (block_size > MAX_BLOCK)
        abort();
    memcpy(block, packed, block_size);
    for (; size >= 3; bytes += 3, size -= 3)
        block[(size_t)(bytes[0] | bytes[1] << 8) % block_size] = bytes[2];
    (void)clipc_tokenizer_open_packed(block, block_size, "block", VOCABULARY, &opened, NULL);
    use(opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    static const char *const configs[] = {"{\"tokenizer_class\": \"T5Tokenizer\"}",
                                          "{\"tokenizer_class\": \"SiglipTokenizer\"}",
                                          "{\"tokenizer_class\": \"Siglip2Tokenizer\"}", "{\"pad_token\": \"<pad>\"}"};
    clipc_tokenizer_files files = {.vocab = view(vocab, strlen(vocab)), .merges = view("a b\n", 4)};
    clipc_tokenizer *opened = NULL;
    const uint8_t kind = bytes[0] % 18;
    bytes++;
    size--;
    switch (kind) {
    case 0: files.tokenizer_json = view(bytes, size); break;
    case 1: files.vocab = view(bytes, size); break;
    case 2: files.merges = view(bytes, size); break;
    case 3: files.tokenizer_config = view(bytes, size); break;
    case 4: files.special_tokens_map = view(bytes, size); break;
    case 5: change_block(tokenizer, bytes, size); return 0;
    case 6: encode(tokenizer, bytes, size); return 0;
    case 7:
    case 8: change_block(pieces[kind - 7], bytes, size); return 0;
    case 9:
    case 10: encode(pieces[kind - 9], bytes, size); return 0;
    case 15:
    case 16:
    case 17: /* a file of SentencePiece for SiglipTokenizer, Siglip2Tokenizer, or without a class */
        files.vocab = files.merges = (clipc_tokenizer_file){0};
        files.sentencepiece = view(bytes, size);
        if (kind < 17)
            files.tokenizer_config = view(configs[kind - 14], strlen(configs[kind - 14]));
        break;
    default: /* a tokenizer.json as each class that overrules it reads it */
        files.tokenizer_json = view(bytes, size);
        files.tokenizer_config = view(configs[kind - 11], strlen(configs[kind - 11]));
        break;
    }
    (void)clipc_tokenizer_create(&files, VOCABULARY, &opened, NULL);
    use(opened);
    return 0;
}
