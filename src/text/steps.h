/* Changes to a text before it is split: what tokenizer.json calls normalizers, and the cleaning that open_clip and
 * transformers do in Python. They work on whole pieces of text, one after the other. */
#ifndef CLIPC_TEXT_STEPS_H
#define CLIPC_TEXT_STEPS_H

#include "base/error.h"
#include "text/charsmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIPC_BUFFER_BYTES ((size_t)1024)

typedef enum clipc_step_kind {
    CLIPC_STEP_LOWER = 1,    /* code point by code point, as Rust's char::to_lowercase */
    CLIPC_STEP_PYTHON_LOWER, /* str.lower(): the same, but for a sigma that ends a word */
    CLIPC_STEP_STRIP,        /* white space at the ends */
    CLIPC_STEP_REPLACE_RUN,  /* runs of characters of a set */
    CLIPC_STEP_REPLACE_TEXT, /* a text */
    CLIPC_STEP_CHARSMAP,     /* sentencepiece's table, as the tokenizers package reads it */
    CLIPC_STEP_PREFIX,       /* `content` before the text, empty or not */
    CLIPC_STEP_SENTENCE      /* SentencePiece's own normalizer (sentence.h) */
} clipc_step_kind;

#define CLIPC_STRIP_LEFT         ((uint32_t)1)
#define CLIPC_STRIP_RIGHT        ((uint32_t)2)
#define CLIPC_SET_SPACE          ((uint32_t)4)  /* Unicode's white space belongs to the set */
#define CLIPC_SET_PYTHON_CONTROL ((uint32_t)8)  /* and U+001C … U+001F, which str.isspace() counts in */
#define CLIPC_SENTENCE_PREFIX    ((uint32_t)16) /* a space before the text */
#define CLIPC_SENTENCE_STRIPS    ((uint32_t)32) /* none at the ends, and one for several */
#define CLIPC_SENTENCE_ESCAPES   ((uint32_t)64) /* U+2581 for each */

/* A step as the packed form holds it. Texts are places in the text that lies beside the steps. */
typedef struct clipc_step {
    uint32_t kind;
    uint32_t flags;
    uint32_t set[4];   /* bit c of set: the ASCII character c belongs to it */
    uint32_t shortest; /* runs of at least so many characters are replaced, … */
    uint32_t single;   /* … 1: each character by itself, 0: the whole run at once */
    uint32_t find;
    uint32_t find_length;
    uint32_t content;
    uint32_t content_length;
} clipc_step;

typedef struct clipc_steps {
    const clipc_step *steps;
    size_t count;
    const uint8_t *text;
    size_t text_size;
    const clipc_charsmap *charsmap; /* of CLIPC_STEP_CHARSMAP and, where there is one, CLIPC_STEP_SENTENCE */
} clipc_steps;

/* A growing text; ordinary ones fit in the buffer itself. */
typedef struct clipc_text_buffer {
    uint8_t *bytes;
    size_t count;
    size_t capacity;
    uint8_t *heap;
    uint8_t own[CLIPC_BUFFER_BYTES];
} clipc_text_buffer;

void clipc_text_buffer_init(clipc_text_buffer *buffer);
void clipc_text_buffer_finish(clipc_text_buffer *buffer);
clipc_status clipc_text_buffer_add(clipc_text_buffer *buffer, const void *bytes, size_t count, clipc_error *error);

/* Are kind and places possible, and the texts UTF-8? To be asked of each step that comes from a file. */
bool clipc_step_is_valid(const clipc_step *step, const uint8_t *text, size_t text_size, bool has_charsmap);

/* Does to `text` (checked UTF-8) what the steps say; the result is in `out`, `spare` is overwritten. *at_start tells
 * whether the text's first character stands at the beginning of the whole input, and becomes false when a step removes
 * what stood there. */
clipc_status clipc_steps_run(const clipc_steps *steps, const uint8_t *text, size_t length, clipc_text_buffer *out,
                             clipc_text_buffer *spare, bool *at_start, clipc_error *error);

#endif
