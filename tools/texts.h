/* Texts from the command line and from files, and their embeddings. */
#ifndef CLIPC_TOOLS_TEXTS_H
#define CLIPC_TOOLS_TEXTS_H

#include "options.h"

#include "clipc/clipc.h"

/* Any bytes; also ends with a NUL that is not counted. */
typedef struct text_line {
    char *bytes;
    size_t length;
} text_line;

typedef struct text_list {
    text_line *items;
    size_t count;
    size_t capacity;
} text_list;

void text_list_add(text_list *list, const char *bytes, size_t length);
void text_list_free(text_list *list);
/* The same without white space at both ends. */
void text_list_add_trimmed(text_list *list, const char *bytes, size_t length);

/* The texts of some arguments, then of some files, one after the other. Lines of files end at \n only (one \r before
 * it is dropped, as is a byte order mark before the first); nothing is trimmed, an empty line is a text, and a final
 * \n adds none. "-" is standard input. A file that cannot be read ends the program with STATUS_SYSTEM. */
typedef struct text_source text_source;
text_source *text_source_open(const string_list *arguments, const string_list *files);
/* The text is valid until the next call. False at the end. */
bool text_source_next(text_source *source, text_line *out);
void text_source_close(text_source **source);

/* All of them at once. */
void text_list_read(text_list *list, const string_list *arguments, const string_list *files);

/* Token sequences gathered for one encode call. */
typedef struct token_batch {
    const clipc_model *model;
    int32_t *ids;
    size_t *offsets;
    size_t count;
    size_t capacity;
} token_batch;

void token_batch_init(token_batch *batch, const clipc_model *model, size_t context_length, size_t capacity);
void token_batch_free(token_batch *batch);
/* Tokenizes one text more; the batch is unchanged when that fails. */
clipc_status token_batch_add(token_batch *batch, const char *bytes, size_t length, clipc_error *error);
/* Encodes what was gathered to rows of `embeddings` and empties the batch. */
void token_batch_encode(token_batch *batch, clipc_engine *engine, unsigned flags, float *embeddings);

#endif
