/* The tokenizer's files, its packed block and its texts. The first byte says which: a JSON file, merges, the packed
 * block of a small tokenizer with bytes changed, or a text for it. */
#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY ((size_t)1024)
#define LIMIT      ((size_t)77)

static char vocab[20000];
static clipc_tokenizer *tokenizer;
static uint8_t *block;
static size_t block_size;

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
    const void *bytes = NULL;
    if (clipc_tokenizer_create(&files, VOCABULARY, &tokenizer, NULL) != CLIPC_OK)
        abort();
    clipc_tokenizer_packed(tokenizer, &bytes, &block_size);
    block = clipc_allocate_aligned(block_size, 1);
    if (!block)
        abort();
    return 0;
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
    static const char text[] = "aaab ABC isn't <|endoftext|><|STARTOFTEXT|> 12 \xC3\xA9\xCC\x81";
    if (opened)
        encode(opened, (const uint8_t *)text, sizeof text - 1);
    clipc_tokenizer_destroy(&opened);
}

/* Triples of place (two bytes) and value; what is left over is the text. */
static void change_block(const uint8_t *bytes, size_t size)
{
    const void *packed = NULL;
    clipc_tokenizer *opened = NULL;
    clipc_tokenizer_packed(tokenizer, &packed, &block_size);
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
    clipc_tokenizer_files files = {.vocab = view(vocab, strlen(vocab)), .merges = view("a b\n", 4)};
    clipc_tokenizer *opened = NULL;
    const uint8_t kind = bytes[0] % 7;
    bytes++;
    size--;
    switch (kind) {
    case 0: files.tokenizer_json = view(bytes, size); break;
    case 1: files.vocab = view(bytes, size); break;
    case 2: files.merges = view(bytes, size); break;
    case 3: files.tokenizer_config = view(bytes, size); break;
    case 4: files.special_tokens_map = view(bytes, size); break;
    case 5: change_block(bytes, size); return 0;
    default: encode(tokenizer, bytes, size); return 0;
    }
    (void)clipc_tokenizer_create(&files, VOCABULARY, &opened, NULL);
    use(opened);
    return 0;
}
