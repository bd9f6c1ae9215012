/* The reference's normaliser, one field at a time: NFC, white space collapsed, lower case. A field is what lies
 * between white space; white space itself never reaches a token, so the rest of the tokenizer sees fields only. */
#ifndef CLIPC_TEXT_NORMALIZE_H
#define CLIPC_TEXT_NORMALIZE_H

#include "base/error.h"
#include "text/unicode.h"

#define CLIPC_FIELD_BYTES ((size_t)512)
#define CLIPC_RUN_LENGTH  ((size_t)128)

/* Ordinary texts fit in the reader itself; it allocates only for longer fields and runs. */
typedef struct clipc_field_reader {
    const uint8_t *text; /* checked UTF-8 */
    size_t length;
    size_t at;
    uint8_t *bytes; /* the field: UTF-8, `count` bytes */
    size_t count;
    size_t capacity;
    int32_t *run;
    int32_t *scratch;
    size_t run_capacity;
    uint8_t *heap_bytes;
    int32_t *heap_run;
    uint8_t own_bytes[CLIPC_FIELD_BYTES];
    int32_t own_run[2 * CLIPC_RUN_LENGTH];
} clipc_field_reader;

void clipc_field_reader_init(clipc_field_reader *reader);
void clipc_field_reader_finish(clipc_field_reader *reader);
/* Starts on another text and keeps the memory. */
void clipc_field_reader_open(clipc_field_reader *reader, const uint8_t *text, size_t length);
/* Reads the next field; count is 0 when there is none. */
clipc_status clipc_field_reader_next(clipc_field_reader *reader, clipc_error *error);

#endif
