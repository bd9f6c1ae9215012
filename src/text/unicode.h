/* What the tokenizer asks of Unicode: UTF-8, classes, lower case and canonical composition, each as the part of the
 * reference tokenizer answers it (utf8proc plus the differences in unicode_tables.h). */
#ifndef CLIPC_TEXT_UNICODE_H
#define CLIPC_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct clipc_code_range {
    int32_t first;
    int32_t last;
} clipc_code_range;

typedef struct clipc_code_shift {
    int32_t first;
    int32_t last;
    int32_t step;
    int32_t distance;
} clipc_code_shift;

typedef enum clipc_code_class {
    CLIPC_CODE_SPACE,  /* \s */
    CLIPC_CODE_LETTER, /* \p{L} */
    CLIPC_CODE_NUMBER, /* \p{N} */
    CLIPC_CODE_OTHER
} clipc_code_class;

/* Length of the longest canonical decomposition of one code point. */
#define CLIPC_MAX_DECOMPOSITION ((size_t)4)

/* The offset of the first byte that is not UTF-8 (Unicode standard, table 3-7), or `length`. */
size_t clipc_utf8_check(const uint8_t *bytes, size_t length);
/* Reads one code point of text that was checked; returns its bytes. */
size_t clipc_utf8_read(const uint8_t *bytes, int32_t *code_point);
/* Writes 1 … 4 bytes and returns their number. */
size_t clipc_utf8_write(int32_t code_point, uint8_t bytes[4]);

clipc_code_class clipc_code_classify(int32_t code_point);
/* The lower case, 1 or 2 code points; no context, so a final sigma is an ordinary one. */
size_t clipc_code_lower(int32_t code_point, int32_t lower[2]);

/* NFC works on runs: a character and those after it that may be reordered before it or joined with it.
 *
 * May the character be joined with, or reordered before, what precedes it? If not, a run ends before it. */
bool clipc_code_continues_run(int32_t code_point);
/* A mark that the reference's NFC does not know: a run of its own, whatever follows. */
bool clipc_code_is_inert(int32_t code_point);
/* Is a run of this character alone its own NFC? */
bool clipc_code_is_stable(int32_t code_point);
/* The full canonical decomposition; returns its length, at most CLIPC_MAX_DECOMPOSITION. */
size_t clipc_code_decompose(int32_t code_point, int32_t decomposition[CLIPC_MAX_DECOMPOSITION]);
/* Puts a decomposed run in canonical order and composes it, in place; returns the new length. `scratch` holds `length`
 * code points. Linear time whatever the run. */
size_t clipc_code_compose(int32_t *run, size_t length, int32_t *scratch);

#endif
