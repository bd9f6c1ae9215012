#include "text/sentence.h"

#include "text/pieces.h"
#include "text/unicode.h"

#include <string.h>

/* What the text begins with becomes *part; returns how many bytes that was. */
static size_t next_part(const clipc_charsmap *map, const uint8_t *text, size_t length, const uint8_t **part,
                        size_t *count)
{
    int32_t code_point = 0;
    size_t used = map->unit_count ? clipc_charsmap_longest(map, text, length, part, count) : 0;
    if (used > 0)
        return used;
    used = clipc_utf8_read(text, &code_point);
    *part = text;
    *count = used;
    return used;
}

static clipc_status add_part(const clipc_step *step, const uint8_t *part, size_t count, clipc_text_buffer *out,
                             clipc_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const bool mark = part[i] == ' ' && (step->flags & CLIPC_SENTENCE_ESCAPES);
        CLIPC_TRY(mark ? clipc_text_buffer_add(out, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES, error)
                       : clipc_text_buffer_add(out, part + i, 1, error));
    }
    return CLIPC_OK;
}

static bool ends_with(const clipc_text_buffer *text, const char *end, size_t length)
{
    return text->count >= length && memcmp(text->bytes + text->count - length, end, length) == 0;
}

clipc_status clipc_sentence_normalize(const clipc_step *step, const clipc_charsmap *map, const uint8_t *text,
                                      size_t length, clipc_text_buffer *out, clipc_error *error)
{
    const bool strips = step->flags & CLIPC_SENTENCE_STRIPS;
    const bool escapes = step->flags & CLIPC_SENTENCE_ESCAPES;
    const char *space = escapes ? CLIPC_SPACE_MARK : " ";
    const size_t space_length = escapes ? CLIPC_SPACE_MARK_BYTES : 1;
    const uint8_t *part = NULL;
    size_t count = 0;
    size_t at = 0;
    while (strips && at < length) { /* spaces before the text */
        const size_t used = next_part(map, text + at, length - at, &part, &count);
        if (count != 1 || part[0] != ' ')
            break;
        at += used;
    }
    if (at == length)
        return CLIPC_OK;
    if (step->flags & CLIPC_SENTENCE_PREFIX)
        CLIPC_TRY(clipc_text_buffer_add(out, space, space_length, error));
    bool behind_space = strips;
    while (at < length) {
        at += next_part(map, text + at, length - at, &part, &count);
        while (behind_space && count > 0 && part[0] == ' ') {
            part++;
            count--;
        }
        CLIPC_TRY(add_part(step, part, count, out, error));
        if (count > 0)
            behind_space = part[count - 1] == ' ';
        behind_space = behind_space && strips;
    }
    while (strips && ends_with(out, space, space_length))
        out->count -= space_length;
    return CLIPC_OK;
}
