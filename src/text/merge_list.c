#include "base/memory.h"
#include "text/tokenizer_build.h"
#include "text/unicode.h"

static clipc_status find_token(const clipc_vocabulary *vocabulary, const char *text, size_t length, const char *name,
                               size_t number, uint32_t *id, clipc_error *error)
{
    *id = clipc_vocabulary_find(vocabulary, text, length);
    CLIPC_FAIL_IF(*id == CLIPC_NO_TOKEN, error, CLIPC_ERROR_FORMAT,
                  "%s: merge %zu needs token \"%.*s\", which is not in the vocabulary", name, number, (int)length,
                  text);
    return CLIPC_OK;
}

/* Adds a merge. Both tokens and the joined one must be known, as the reference demands. Joined tokens usually have
 * ascending ids, so the one after the last is tried before it is searched. */
static clipc_status add_merge(const clipc_vocabulary *vocabulary, const clipc_merge_text *merge, const char *name,
                              clipc_packed_parts *parts, clipc_error *error)
{
    const size_t number = parts->merge_count + 1;
    const size_t length = merge->left_length + merge->right_length;
    char joined[512];
    CLIPC_FAIL_IF(merge->left_length > sizeof joined || merge->right_length > sizeof joined - merge->left_length,
                  error, CLIPC_ERROR_FORMAT, "%s: merge %zu is longer than any token", name, number);
    memcpy(joined, merge->left, merge->left_length);
    memcpy(joined + merge->left_length, merge->right, merge->right_length);
    clipc_packed_merge *added = &parts->merges[parts->merge_count];
    added->rank = (uint32_t)parts->merge_count;
    added->result = parts->merge_count ? added[-1].result + 1 : 0;
    CLIPC_TRY(find_token(vocabulary, merge->left, merge->left_length, name, number, &added->left, error));
    CLIPC_TRY(find_token(vocabulary, merge->right, merge->right_length, name, number, &added->right, error));
    if (!clipc_vocabulary_is(vocabulary, added->result, joined, length))
        CLIPC_TRY(find_token(vocabulary, joined, length, name, number, &added->result, error));
    parts->merge_count++;
    return CLIPC_OK;
}

/* "left right", with exactly one space. */
static clipc_status add_merge_text(const clipc_vocabulary *vocabulary, const char *text, size_t length,
                                   const char *name, clipc_packed_parts *parts, clipc_error *error)
{
    const char *space = memchr(text, ' ', length);
    const size_t left = space ? (size_t)(space - text) : 0;
    CLIPC_FAIL_IF(!space || memchr(space + 1, ' ', length - left - 1), error, CLIPC_ERROR_FORMAT,
                  "%s: merge %zu is not two tokens with a space between", name, parts->merge_count + 1);
    const clipc_merge_text merge = {text, space + 1, left, length - left - 1};
    return add_merge(vocabulary, &merge, name, parts, error);
}

/* No file may make the library hold more than four times its size and 64 MiB: a merge takes one here and, in the table
 * that is made of them, at least one and a half. */
static clipc_status check_count(size_t count, const clipc_tokenizer_file *file, clipc_error *error)
{
    CLIPC_FAIL_IF(count * sizeof(clipc_packed_merge) / 2 * 5 > 3 * file->size + ((size_t)48 << 20), error,
                  CLIPC_ERROR_LIMIT, "%s: %zu merges are too many for its size", file->name, count);
    return CLIPC_OK;
}

static clipc_status reserve_merges(clipc_packed_parts *parts, size_t count, const char *name, clipc_error *error)
{
    CLIPC_FAIL_IF(count >= (size_t)1 << (CLIPC_MAX_TABLE_BITS - 1), error, CLIPC_ERROR_LIMIT,
                  "%s: %zu merges are too many", name, count);
    parts->merges = clipc_allocate(count, sizeof *parts->merges);
    if (!parts->merges)
        return clipc_fail_memory(error, count * sizeof *parts->merges, "merges");
    return CLIPC_OK;
}

clipc_status clipc_merges_read_text(const clipc_tokenizer_file *file, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error)
{
    static const char comment[] = "#version";
    const char *bytes = file->bytes;
    CLIPC_FAIL_IF(file->size > CLIPC_MAX_TOKENIZER_FILE, error, CLIPC_ERROR_LIMIT, "%s: %zu bytes are too many",
                  file->name, file->size);
    const size_t valid = clipc_utf8_check(file->bytes, file->size);
    CLIPC_FAIL_IF(valid < file->size, error, CLIPC_ERROR_FORMAT, "%s: not UTF-8 at byte %zu", file->name, valid);
    size_t lines = 1;
    for (size_t i = 0; i < file->size; i++)
        lines += bytes[i] == '\n';
    CLIPC_TRY(check_count(lines, file, error));
    CLIPC_TRY(reserve_merges(parts, lines, file->name, error));
    for (size_t at = 0; at < file->size;) {
        const char *line = bytes + at;
        const char *end = memchr(line, '\n', file->size - at);
        size_t length = end ? (size_t)(end - line) : file->size - at;
        at += length + 1;
        if (end && length > 0 && line[length - 1] == '\r')
            length--;
        if (length >= sizeof comment - 1 && memcmp(line, comment, sizeof comment - 1) == 0)
            continue;
        CLIPC_TRY(add_merge_text(vocabulary, line, length, file->name, parts, error));
    }
    return CLIPC_OK;
}

clipc_status clipc_merges_read_json(const json_t *merges, const char *name, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error)
{
    CLIPC_FAIL_IF(!json_is_array(merges), error, CLIPC_ERROR_FORMAT, "%s: model.merges is not an array", name);
    CLIPC_TRY(reserve_merges(parts, json_array_size(merges), name, error));
    size_t index = 0;
    json_t *merge = NULL;
    json_array_foreach(merges, index, merge)
    {
        const json_t *left = json_array_get(merge, 0);
        const json_t *right = json_array_get(merge, 1);
        if (json_is_string(merge)) {
            CLIPC_TRY(
                add_merge_text(vocabulary, json_string_value(merge), json_string_length(merge), name, parts, error));
            continue;
        }
        CLIPC_FAIL_IF(json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right), error,
                      CLIPC_ERROR_FORMAT, "%s: merge %zu is neither a string nor a pair of strings", name, index + 1);
        const clipc_merge_text pair = {json_string_value(left), json_string_value(right), json_string_length(left),
                                       json_string_length(right)};
        CLIPC_TRY(add_merge(vocabulary, &pair, name, parts, error));
    }
    return CLIPC_OK;
}

clipc_status clipc_merges_read_pairs(const clipc_merge_text *merges, size_t count, const char *name,
                                     const clipc_vocabulary *vocabulary, clipc_packed_parts *parts, clipc_error *error)
{
    CLIPC_TRY(reserve_merges(parts, count, name, error));
    for (size_t i = 0; i < count; i++)
        CLIPC_TRY(add_merge(vocabulary, &merges[i], name, parts, error));
    return CLIPC_OK;
}
