#include "text/normalize.h"

#include "base/checked.h"
#include "base/memory.h"
#include "text/ascii.h"

#include <string.h>

void clipc_field_reader_init(clipc_field_reader *reader)
{
    reader->bytes = reader->own_bytes;
    reader->capacity = CLIPC_FIELD_BYTES;
    reader->run = reader->own_run;
    reader->scratch = reader->own_run + CLIPC_RUN_LENGTH;
    reader->run_capacity = CLIPC_RUN_LENGTH;
    reader->heap_bytes = NULL;
    reader->heap_run = NULL;
    clipc_field_reader_open(reader, NULL, 0);
}

void clipc_field_reader_finish(clipc_field_reader *reader)
{
    clipc_free(reader->heap_bytes);
    clipc_free(reader->heap_run);
    clipc_field_reader_init(reader);
}

void clipc_field_reader_open(clipc_field_reader *reader, const uint8_t *text, size_t length)
{
    reader->text = text;
    reader->length = length;
    reader->at = 0;
    reader->count = 0;
}

static clipc_status reserve_bytes(clipc_field_reader *reader, size_t more, clipc_error *error)
{
    if (reader->capacity - reader->count >= more)
        return CLIPC_OK;
    size_t capacity = 0;
    uint8_t *larger = NULL;
    if (clipc_multiply(clipc_max(more, reader->capacity), 2, &capacity))
        larger = clipc_reallocate(reader->heap_bytes, capacity, 1);
    if (!larger)
        return clipc_fail_memory(error, capacity, "a long word");
    if (!reader->heap_bytes)
        memcpy(larger, reader->own_bytes, reader->count);
    reader->heap_bytes = larger;
    reader->bytes = larger;
    reader->capacity = capacity;
    return CLIPC_OK;
}

static clipc_status reserve_run(clipc_field_reader *reader, size_t used, clipc_error *error)
{
    if (reader->run_capacity - used >= CLIPC_MAX_DECOMPOSITION)
        return CLIPC_OK;
    const size_t capacity = 2 * reader->run_capacity;
    int32_t *larger = clipc_reallocate(reader->heap_run, 2 * capacity, sizeof *larger);
    if (!larger)
        return clipc_fail_memory(error, 2 * capacity * sizeof *larger, "a long run of combining marks");
    if (!reader->heap_run)
        memcpy(larger, reader->own_run, used * sizeof *larger);
    reader->heap_run = larger;
    reader->run = larger;
    reader->scratch = larger + capacity;
    reader->run_capacity = capacity;
    return CLIPC_OK;
}

static clipc_status add_lower(clipc_field_reader *reader, int32_t code_point, clipc_error *error)
{
    int32_t lower[2];
    const size_t count = clipc_code_lower(code_point, lower);
    CLIPC_TRY(reserve_bytes(reader, 8, error));
    for (size_t i = 0; i < count; i++)
        reader->count += clipc_utf8_write(lower[i], reader->bytes + reader->count);
    return CLIPC_OK;
}

/* Does the text go on at `at` with a character that belongs to the run before it? */
static bool run_goes_on(const clipc_field_reader *reader, size_t at)
{
    if (at == reader->length || reader->text[at] < 0x80)
        return false;
    int32_t code_point = 0;
    clipc_utf8_read(reader->text + at, &code_point);
    return clipc_code_continues_run(code_point);
}

/* The run that begins with `code_point`, which ends at `at`; moves past it. */
static clipc_status add_run(clipc_field_reader *reader, int32_t code_point, size_t at, clipc_error *error)
{
    size_t count = clipc_code_decompose(code_point, reader->run);
    while (run_goes_on(reader, at)) {
        at += clipc_utf8_read(reader->text + at, &code_point);
        CLIPC_TRY(reserve_run(reader, count, error));
        count += clipc_code_decompose(code_point, reader->run + count);
    }
    count = clipc_code_compose(reader->run, count, reader->scratch);
    for (size_t i = 0; i < count; i++)
        CLIPC_TRY(add_lower(reader, reader->run[i], error));
    reader->at = at;
    return CLIPC_OK;
}

/* Bytes of plain ASCII from the reader's place to white space, to the end or to where other characters begin; the
 * ASCII character just before those belongs to their run. */
static size_t plain_length(const clipc_field_reader *reader)
{
    size_t at = reader->at;
    while (at < reader->length && clipc_ascii_class[reader->text[at]] >= CLIPC_ASCII_LETTER)
        at++;
    const size_t count = at - reader->at;
    return count > 0 && at < reader->length && reader->text[at] >= 0x80 ? count - 1 : count;
}

clipc_status clipc_field_reader_next(clipc_field_reader *reader, clipc_error *error)
{
    reader->count = 0;
    while (reader->at < reader->length) {
        const size_t plain = plain_length(reader);
        if (plain > 0) {
            CLIPC_TRY(reserve_bytes(reader, plain, error));
            for (size_t i = 0; i < plain; i++)
                reader->bytes[reader->count + i] = clipc_ascii_lower(reader->text[reader->at + i]);
            reader->count += plain;
            reader->at += plain;
            continue;
        }
        int32_t code_point = 0;
        const size_t next = reader->at + clipc_utf8_read(reader->text + reader->at, &code_point);
        if (clipc_code_classify(code_point) == CLIPC_CODE_SPACE) {
            reader->at = next;
            if (reader->count > 0)
                return CLIPC_OK;
        } else if (clipc_code_is_inert(code_point) ||
                   (!run_goes_on(reader, next) && clipc_code_is_stable(code_point))) {
            CLIPC_TRY(add_lower(reader, code_point, error));
            reader->at = next;
        } else {
            CLIPC_TRY(add_run(reader, code_point, next, error));
        }
    }
    return CLIPC_OK;
}
