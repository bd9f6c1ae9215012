#include "texts.h"

#include "inputs.h"
#include "lines.h"
#include "message.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_list_add(text_list *list, const char *bytes, size_t length)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->items = reallocate(list->items, list->capacity, sizeof *list->items);
    }
    char *copy = allocate(length + 1, 1);
    memcpy(copy, bytes, length);
    list->items[list->count++] = (text_line){copy, length};
}

static bool is_space(char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

void text_list_add_trimmed(text_list *list, const char *bytes, size_t length)
{
    while (length && is_space(bytes[0])) {
        bytes++;
        length--;
    }
    while (length && is_space(bytes[length - 1]))
        length--;
    text_list_add(list, bytes, length);
}

void text_list_free(text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].bytes);
    free(list->items);
    *list = (text_list){0};
}

/* ---- source ---- */

struct text_source {
    const string_list *arguments;
    const string_list *files;
    size_t next_argument;
    size_t next_file;
    FILE *stream;
    bool started; /* a line of the stream was read */
    line_buffer line;
};

text_source *text_source_open(const string_list *arguments, const string_list *files)
{
    for (size_t i = 0; i < arguments->count; i++)
        if (strcmp(arguments->items[i], "-") == 0)
            quit(STATUS_USAGE, "- is no text: texts on standard input are read by a file named -, as in -f -");
    text_source *source = allocate(1, sizeof *source);
    source->arguments = arguments;
    source->files = files;
    return source;
}

static _Noreturn void quit_file(const char *name, const char *reason)
{
    quit(STATUS_SYSTEM, "%s: cannot read: %s", strcmp(name, "-") == 0 ? "standard input" : name, reason);
}

static void drop_byte_order_mark(text_line *line)
{
    const size_t size = strlen(BYTE_ORDER_MARK);
    if (line->length < size || memcmp(line->bytes, BYTE_ORDER_MARK, size) != 0)
        return;
    line->bytes += size;
    line->length -= size;
}

static void open_next_file(text_source *source)
{
    const char *name = source->files->items[source->next_file];
    source->stream = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    if (!source->stream)
        quit_file(name, strerror(errno));
    source->started = false;
}

static void close_file(text_source *source)
{
    if (source->stream && source->stream != stdin)
        fclose(source->stream);
    source->stream = NULL;
}

static bool read_line(text_source *source, text_line *out)
{
    const line_result result = line_read(source->stream, &source->line);
    if (result == LINE_END) {
        close_file(source);
        source->next_file++;
        return false;
    }
    if (result != LINE_READ)
        quit_file(source->files->items[source->next_file], line_reason(result));
    *out = (text_line){source->line.bytes, source->line.length};
    if (!source->started)
        drop_byte_order_mark(out);
    source->started = true;
    return true;
}

bool text_source_next(text_source *source, text_line *out)
{
    if (source->next_argument < source->arguments->count) {
        const char *argument = source->arguments->items[source->next_argument++];
        *out = (text_line){(char *)(uintptr_t)argument, strlen(argument)};
        return true;
    }
    while (source->next_file < source->files->count) {
        if (!source->stream)
            open_next_file(source);
        if (read_line(source, out))
            return true;
    }
    return false;
}

void text_source_close(text_source **source)
{
    close_file(*source);
    free((*source)->line.bytes);
    free(*source);
    *source = NULL;
}

void text_list_read(text_list *list, const string_list *arguments, const string_list *files)
{
    text_source *source = text_source_open(arguments, files);
    for (text_line next; text_source_next(source, &next);)
        text_list_add(list, next.bytes, next.length);
    text_source_close(&source);
}

/* ---- tokens ---- */

void token_batch_init(token_batch *batch, const clipc_model *model, size_t context_length, size_t capacity)
{
    *batch = (token_batch){.model = model, .capacity = capacity};
    batch->ids = reallocate(NULL, capacity * context_length, sizeof *batch->ids);
    batch->offsets = allocate(capacity + 1, sizeof *batch->offsets);
}

void token_batch_free(token_batch *batch)
{
    free(batch->ids);
    free(batch->offsets);
    *batch = (token_batch){0};
}

clipc_status token_batch_add(token_batch *batch, const char *bytes, size_t length, clipc_error *error)
{
    const size_t start = batch->offsets[batch->count];
    size_t count = 0;
    const clipc_status status = clipc_model_tokenize(batch->model, bytes, length, batch->ids + start, &count, error);
    if (status == CLIPC_OK)
        batch->offsets[++batch->count] = start + count;
    return status;
}

void token_batch_encode(token_batch *batch, clipc_engine *engine, unsigned flags, float *embeddings)
{
    clipc_error error = {0};
    if (batch->count && clipc_engine_encode_tokens(engine, batch->ids, batch->offsets, batch->count, flags, embeddings,
                                                   &error) != CLIPC_OK)
        quit_failed(&error);
    batch->count = 0;
}
