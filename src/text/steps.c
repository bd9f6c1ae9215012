#include "text/sentence.h"

#include "base/checked.h"
#include "base/memory.h"
#include "text/python_case.h"
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

/* A cluster of more bytes is never replaced as a whole (tokenizers, normalizers/precompiled.rs). */
#define LONGEST_CLUSTER ((size_t)5)

void clipc_text_buffer_init(clipc_text_buffer *buffer)
{
    buffer->bytes = buffer->own;
    buffer->count = 0;
    buffer->capacity = CLIPC_BUFFER_BYTES;
    buffer->heap = NULL;
}

void clipc_text_buffer_finish(clipc_text_buffer *buffer)
{
    clipc_free(buffer->heap);
    clipc_text_buffer_init(buffer);
}

static clipc_status reserve(clipc_text_buffer *buffer, size_t more, clipc_error *error)
{
    if (buffer->capacity - buffer->count >= more)
        return CLIPC_OK;
    size_t capacity = 0;
    uint8_t *larger = NULL;
    if (clipc_add(buffer->count, more, &capacity) && clipc_multiply(capacity, 2, &capacity))
        larger = clipc_reallocate(buffer->heap, capacity, 1);
    if (!larger)
        return clipc_fail_memory(error, capacity, "a long text");
    if (!buffer->heap)
        memcpy(larger, buffer->own, buffer->count);
    buffer->heap = buffer->bytes = larger;
    buffer->capacity = capacity;
    return CLIPC_OK;
}

clipc_status clipc_text_buffer_add(clipc_text_buffer *buffer, const void *bytes, size_t count, clipc_error *error)
{
    CLIPC_TRY(reserve(buffer, count, error));
    if (count)
        memcpy(buffer->bytes + buffer->count, bytes, count);
    buffer->count += count;
    return CLIPC_OK;
}

static clipc_status add_code_point(clipc_text_buffer *buffer, int32_t code_point, clipc_error *error)
{
    uint8_t bytes[4];
    return clipc_text_buffer_add(buffer, bytes, clipc_utf8_write(code_point, bytes), error);
}

static bool is_space(int32_t code_point)
{
    return clipc_code_classify(code_point) == CLIPC_CODE_SPACE;
}

static bool in_set(const clipc_step *step, int32_t code_point)
{
    if (code_point < 128 && (step->set[code_point / 32] >> (code_point % 32) & 1))
        return true;
    if ((step->flags & CLIPC_SET_PYTHON_CONTROL) && code_point >= 0x1C && code_point <= 0x1F)
        return true;
    return (step->flags & CLIPC_SET_SPACE) && is_space(code_point);
}

static clipc_status lower(const uint8_t *text, size_t length, bool python, clipc_text_buffer *out, clipc_error *error)
{
    CLIPC_TRY(reserve(out, length, error));
    for (size_t at = 0; at < length;) {
        if (text[at] < 0x80) {
            const uint8_t letter = (uint8_t)(text[at] | ((uint8_t)(text[at] - 'A') < 26 ? 0x20 : 0));
            CLIPC_TRY(clipc_text_buffer_add(out, &letter, 1, error));
            at++;
            continue;
        }
        int32_t code_point = 0;
        int32_t letters[2];
        const size_t step = clipc_utf8_read(text + at, &code_point);
        size_t count = clipc_code_lower(code_point, letters);
        if (python)
            count = clipc_python_lower(text, length, at, code_point, letters);
        for (size_t i = 0; i < count; i++)
            CLIPC_TRY(add_code_point(out, letters[i], error));
        at += step;
    }
    return CLIPC_OK;
}

/* The beginning of the character that ends before `at`. */
static size_t step_back(const uint8_t *text, size_t at)
{
    do
        at--;
    while (at > 0 && (text[at] & 0xC0) == 0x80);
    return at;
}

static clipc_status strip(const clipc_step *step, const uint8_t *text, size_t length, clipc_text_buffer *out,
                          bool *at_start, clipc_error *error)
{
    size_t begin = 0;
    size_t end = length;
    int32_t code_point = 0;
    while ((step->flags & CLIPC_STRIP_LEFT) && begin < end) {
        const size_t bytes = clipc_utf8_read(text + begin, &code_point);
        if (!in_set(step, code_point))
            break;
        begin += bytes;
    }
    while ((step->flags & CLIPC_STRIP_RIGHT) && end > begin) {
        const size_t last = step_back(text, end);
        clipc_utf8_read(text + last, &code_point);
        if (!in_set(step, code_point))
            break;
        end = last;
    }
    *at_start = *at_start && begin == 0;
    return clipc_text_buffer_add(out, text + begin, end - begin, error);
}

/* `characters` of them at the text's beginning become the content: does the new first one stand where the old did? */
static bool keeps_start(const clipc_step *step, size_t characters)
{
    return step->content_length > 0 && characters == 1;
}

static clipc_status replace_run(const clipc_step *step, const uint8_t *content, const uint8_t *text, size_t length,
                                clipc_text_buffer *out, bool *at_start, clipc_error *error)
{
    size_t kept = 0; /* what precedes it is in `out` */
    for (size_t at = 0; at < length;) {
        size_t end = at;
        size_t characters = 0;
        size_t first = 0;
        while (end < length && !(step->single && characters == 1)) {
            int32_t code_point = 0;
            const size_t bytes = clipc_utf8_read(text + end, &code_point);
            if (characters == 0)
                first = bytes;
            if (!in_set(step, code_point))
                break;
            end += bytes;
            characters++;
        }
        if (characters == 0 || characters < step->shortest) {
            at = characters ? end : at + first;
            continue;
        }
        if (at == 0)
            *at_start = *at_start && keeps_start(step, characters);
        CLIPC_TRY(clipc_text_buffer_add(out, text + kept, at - kept, error));
        CLIPC_TRY(clipc_text_buffer_add(out, content, step->content_length, error));
        at = kept = end;
    }
    return clipc_text_buffer_add(out, text + kept, length - kept, error);
}

static size_t characters_in(const uint8_t *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += (text[i] & 0xC0) != 0x80;
    return count;
}

static clipc_status replace_text(const clipc_step *step, const uint8_t *texts, const uint8_t *text, size_t length,
                                 clipc_text_buffer *out, bool *at_start, clipc_error *error)
{
    const uint8_t *find = texts + step->find;
    size_t kept = 0;
    for (size_t at = 0; length - at >= step->find_length;) {
        const uint8_t *found = memchr(text + at, find[0], length - at - step->find_length + 1);
        if (!found)
            break;
        at = (size_t)(found - text);
        if (memcmp(found, find, step->find_length) != 0) {
            at++;
            continue;
        }
        if (at == 0)
            *at_start = *at_start && keeps_start(step, characters_in(find, step->find_length));
        CLIPC_TRY(clipc_text_buffer_add(out, text + kept, at - kept, error));
        CLIPC_TRY(clipc_text_buffer_add(out, texts + step->content, step->content_length, error));
        at += step->find_length;
        kept = at;
    }
    return clipc_text_buffer_add(out, text + kept, length - kept, error);
}

/* Bytes of the grapheme cluster at the beginning of `text`. */
static size_t cluster_length(const uint8_t *text, size_t length)
{
    int32_t before = 0;
    utf8proc_int32_t state = 0;
    size_t at = clipc_utf8_read(text, &before);
    while (at < length) {
        int32_t code_point = 0;
        const size_t step = clipc_utf8_read(text + at, &code_point);
        if (utf8proc_grapheme_break_stateful(before, code_point, &state))
            break;
        before = code_point;
        at += step;
    }
    return at;
}

/* A short cluster is replaced by what its beginning maps to, marks and all; so it is in the reference. */
static clipc_status map_cluster(const clipc_charsmap *map, const uint8_t *text, size_t length, clipc_text_buffer *out,
                                clipc_error *error)
{
    const uint8_t *replacement = NULL;
    size_t count = 0;
    if (length <= LONGEST_CLUSTER && clipc_charsmap_find(map, text, length, &replacement, &count))
        return clipc_text_buffer_add(out, replacement, count, error);
    for (size_t at = 0; at < length;) {
        int32_t code_point = 0;
        const size_t step = clipc_utf8_read(text + at, &code_point);
        if (clipc_charsmap_find(map, text + at, step, &replacement, &count))
            CLIPC_TRY(clipc_text_buffer_add(out, replacement, count, error));
        else
            CLIPC_TRY(clipc_text_buffer_add(out, text + at, step, error));
        at += step;
    }
    return CLIPC_OK;
}

static clipc_status map_text(const clipc_charsmap *map, const uint8_t *text, size_t length, clipc_text_buffer *out,
                             clipc_error *error)
{
    for (size_t at = 0; at < length;) {
        /* Two ASCII characters are two clusters, but for CR LF. */
        const bool plain = text[at] < 0x80 && (at + 1 == length || text[at + 1] < 0x80) && text[at] != '\r';
        const size_t count = plain ? 1 : cluster_length(text + at, length - at);
        CLIPC_TRY(map_cluster(map, text + at, count, out, error));
        at += count;
    }
    return CLIPC_OK;
}

static clipc_status run_step(const clipc_steps *steps, const clipc_step *step, const uint8_t *text, size_t length,
                             clipc_text_buffer *out, bool *at_start, clipc_error *error)
{
    const uint8_t *content = steps->text + step->content;
    switch (step->kind) {
    case CLIPC_STEP_LOWER: return lower(text, length, false, out, error);
    case CLIPC_STEP_PYTHON_LOWER: return lower(text, length, true, out, error);
    case CLIPC_STEP_STRIP: return strip(step, text, length, out, at_start, error);
    case CLIPC_STEP_REPLACE_RUN: return replace_run(step, content, text, length, out, at_start, error);
    case CLIPC_STEP_REPLACE_TEXT: return replace_text(step, steps->text, text, length, out, at_start, error);
    case CLIPC_STEP_PREFIX:
        CLIPC_TRY(clipc_text_buffer_add(out, content, step->content_length, error));
        return clipc_text_buffer_add(out, text, length, error);
    case CLIPC_STEP_SENTENCE: return clipc_sentence_normalize(step, steps->charsmap, text, length, out, error);
    default: return map_text(steps->charsmap, text, length, out, error);
    }
}

static bool is_text(const uint8_t *text, size_t text_size, size_t place, size_t length)
{
    return place <= text_size && length <= text_size - place && clipc_utf8_check(text + place, length) == length;
}

bool clipc_step_is_valid(const clipc_step *step, const uint8_t *text, size_t text_size, bool has_charsmap)
{
    const bool content_fits = is_text(text, text_size, step->content, step->content_length);
    switch (step->kind) {
    case CLIPC_STEP_LOWER:
    case CLIPC_STEP_PYTHON_LOWER:
    case CLIPC_STEP_STRIP: return true;
    case CLIPC_STEP_REPLACE_RUN: return content_fits && step->shortest > 0;
    case CLIPC_STEP_REPLACE_TEXT:
        return content_fits && step->find_length > 0 && is_text(text, text_size, step->find, step->find_length);
    case CLIPC_STEP_CHARSMAP: return has_charsmap;
    case CLIPC_STEP_PREFIX: return content_fits;
    case CLIPC_STEP_SENTENCE: return true;
    default: return false;
    }
}

clipc_status clipc_steps_run(const clipc_steps *steps, const uint8_t *text, size_t length, clipc_text_buffer *out,
                             clipc_text_buffer *spare, bool *at_start, clipc_error *error)
{
    if (steps->count == 0) {
        out->count = 0;
        return clipc_text_buffer_add(out, text, length, error);
    }
    /* The last step is to write to `out`. */
    clipc_text_buffer *to = steps->count % 2 ? out : spare;
    for (size_t i = 0; i < steps->count; i++) {
        to->count = 0;
        CLIPC_TRY(run_step(steps, &steps->steps[i], text, length, to, at_start, error));
        text = to->bytes;
        length = to->count;
        to = to == out ? spare : out;
    }
    return CLIPC_OK;
}
