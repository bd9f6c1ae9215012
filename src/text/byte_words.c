#include "base/memory.h"
#include "text/tokenizer_build.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

/* GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards in their order. */
static bool stands_for_itself(unsigned byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

int32_t clipc_byte_letter(unsigned byte)
{
    if (stands_for_itself(byte))
        return (int32_t)byte;
    int32_t letter = 0x100;
    for (unsigned other = 0; other < byte; other++)
        letter += !stands_for_itself(other);
    return letter;
}

clipc_status clipc_vocabulary_bytes(const clipc_vocabulary *vocabulary, const char *name, uint32_t unknown,
                                    clipc_packed_parts *parts, clipc_error *error)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t text[4 + sizeof CLIPC_WORD_END];
        const size_t length = clipc_utf8_write(clipc_byte_letter(byte), text);
        memcpy(text + length, CLIPC_WORD_END, sizeof CLIPC_WORD_END);
        for (unsigned last = 0; last < 2; last++) {
            const size_t whole = length + (last ? sizeof CLIPC_WORD_END - 1 : 0);
            uint32_t id = clipc_vocabulary_find(vocabulary, (const char *)text, whole);
            if (id == CLIPC_NO_TOKEN)
                id = unknown;
            CLIPC_FAIL_IF(id == CLIPC_NO_TOKEN, error, CLIPC_ERROR_FORMAT,
                          "%s: no token \"%.*s\" for byte 0x%02x, and no unknown token", name, (int)whole, text, byte);
            parts->byte_tokens[last][byte] = id;
        }
    }
    return CLIPC_OK;
}

/* Turns a token's letters back to bytes; 0 when they are no word of 1 … CLIPC_WORD_BYTES bytes. */
static size_t word_bytes(const char *text, size_t length, const int16_t letters[0x144],
                         uint8_t bytes[CLIPC_WORD_BYTES])
{
    const size_t mark = sizeof CLIPC_WORD_END - 1;
    if (length <= mark || memcmp(text + length - mark, CLIPC_WORD_END, mark) != 0)
        return 0;
    size_t count = 0;
    for (size_t at = 0; at < length - mark;) {
        int32_t letter = 0;
        at += clipc_utf8_read((const uint8_t *)text + at, &letter);
        if (count == CLIPC_WORD_BYTES || letter >= 0x144 || letters[letter] < 0)
            return 0;
        bytes[count++] = (uint8_t)letters[letter];
    }
    return count;
}

clipc_status clipc_vocabulary_words(const clipc_vocabulary *vocabulary, clipc_packed_parts *parts, clipc_error *error)
{
    int16_t letters[0x144];
    memset(letters, -1, sizeof letters);
    for (unsigned byte = 0; byte < 256; byte++)
        letters[clipc_byte_letter(byte)] = (int16_t)byte;
    parts->words = clipc_allocate(vocabulary->count, sizeof *parts->words);
    if (!parts->words)
        return clipc_fail_memory(error, vocabulary->count * sizeof *parts->words, "a vocabulary");
    for (size_t i = 0; i < vocabulary->count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        struct clipc_whole_word *word = &parts->words[parts->word_count];
        word->length = (uint8_t)word_bytes(entry->text, entry->length, letters, word->bytes);
        word->id = (uint32_t)entry->id;
        parts->word_count += word->length > 0;
    }
    return CLIPC_OK;
}
