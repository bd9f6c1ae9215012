/* Reading the vocabulary's file: quickly where it has the usual form, else by jansson, which also finds what is wrong.
 */
#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include "text/sentencepiece.h"
#include "text/unicode.h"

/* A value that was read quickly, and what stands in its place for jansson. */
typedef struct cut {
    const uint8_t *begin;
    const uint8_t *end;
    const char *placeholder;
} cut;

/* Every entry has a text of its own, so there are at most so many. */
static size_t most_entries(const clipc_tokenizer_file *file)
{
    const uint8_t *bytes = file->bytes;
    size_t quotes = 0;
    for (size_t i = 0; i < file->size; i++)
        quotes += bytes[i] == '"';
    return quotes / 2 + 1;
}

/* "left right", or ["left", "right"]. */
static bool read_merge(clipc_quick_json *reader, clipc_merge_text *out)
{
    if (clipc_quick_json_symbol(reader, '['))
        return clipc_quick_json_text(reader, &out->left, &out->left_length) && clipc_quick_json_symbol(reader, ',') &&
               clipc_quick_json_text(reader, &out->right, &out->right_length) && clipc_quick_json_symbol(reader, ']');
    size_t length = 0;
    if (!clipc_quick_json_text(reader, &out->left, &length))
        return false;
    const char *space = memchr(out->left, ' ', length);
    if (!space)
        return false;
    out->left_length = (size_t)(space - out->left);
    out->right = space + 1;
    out->right_length = length - out->left_length - 1;
    return !memchr(out->right, ' ', out->right_length);
}

static bool read_merges(clipc_quick_json *reader, size_t most, clipc_token_source *source)
{
    source->merge_count = 0;
    if (!clipc_quick_json_symbol(reader, '['))
        return false;
    if (clipc_quick_json_symbol(reader, ']'))
        return true;
    do {
        if (source->merge_count == most || !read_merge(reader, &source->merges[source->merge_count]))
            return false;
        source->merge_count++;
    } while (clipc_quick_json_symbol(reader, ','));
    return clipc_quick_json_symbol(reader, ']');
}

/* [["token", score], …]: the entries' ids are their places. */
static bool read_scored(clipc_quick_json *reader, size_t most, clipc_token_source *source)
{
    clipc_vocabulary *vocabulary = &source->vocabulary;
    if (!clipc_quick_json_symbol(reader, '['))
        return false;
    if (clipc_quick_json_symbol(reader, ']'))
        return true;
    do {
        if (vocabulary->count == most)
            return false;
        clipc_vocabulary_entry *entry = &vocabulary->entries[vocabulary->count];
        if (!clipc_quick_json_symbol(reader, '[') || !clipc_quick_json_text(reader, &entry->text, &entry->length) ||
            !clipc_quick_json_symbol(reader, ',') ||
            !clipc_quick_json_real(reader, source->exact, &source->scores[vocabulary->count]) ||
            !clipc_quick_json_symbol(reader, ']'))
            return false;
        entry->id = (json_int_t)vocabulary->count++;
    } while (clipc_quick_json_symbol(reader, ','));
    return clipc_quick_json_symbol(reader, ']');
}

static clipc_status take_scored(clipc_quick_json *reader, size_t most, clipc_token_source *source, bool *taken,
                                clipc_error *error)
{
    source->scores = clipc_allocate(most, sizeof *source->scores);
    if (!source->scores)
        return clipc_fail_memory(error, most * sizeof *source->scores, "scores");
    CLIPC_TRY(clipc_vocabulary_reserve(&source->vocabulary, most, error));
    *taken = read_scored(reader, most, source);
    return *taken ? clipc_vocabulary_index(&source->vocabulary, taken, error) : CLIPC_OK;
}

/* Reads the value behind a key of "model" if it is one of the two. *taken: it was not declined. */
static clipc_status take_value(clipc_quick_json *reader, const char *key, size_t length, size_t most,
                               clipc_token_source *source, cut cuts[2], bool *taken, clipc_error *error)
{
    const bool vocabulary = length == 5 && memcmp(key, "vocab", 5) == 0;
    const bool merges = length == 6 && memcmp(key, "merges", 6) == 0;
    *taken = true;
    if (!vocabulary && !merges)
        return CLIPC_OK;
    cut *place = cuts[0].begin ? &cuts[1] : &cuts[0];
    clipc_quick_json_skip_space(reader);
    *place = (cut){.begin = reader->at, .placeholder = vocabulary ? "{}" : "[]"};
    if (cuts[1].begin && cuts[0].placeholder[0] == cuts[1].placeholder[0])
        *taken = false; /* the key is there twice */
    else if (vocabulary && reader->at < reader->end && *reader->at == '[') {
        CLIPC_TRY(take_scored(reader, most, source, taken, error));
        place->placeholder = "[]";
        if (place == &cuts[0]) /* there are no merges to look for */
            cuts[1] = (cut){.begin = reader->at, .end = reader->at, .placeholder = "  "};
    } else if (vocabulary)
        CLIPC_TRY(clipc_vocabulary_read_quick(reader, most, &source->vocabulary, taken, error));
    else
        *taken = read_merges(reader, most, source);
    place->end = reader->at;
    return CLIPC_OK;
}

/* Walks the file, without judging it, to the keys of the object "model". *found: both values were read. Strings and
 * brackets are enough to know where one stands in a file that is JSON, and the rest will be judged by jansson. */
static clipc_status find_values(clipc_quick_json *reader, size_t most, clipc_token_source *source, cut cuts[2],
                                bool *found, clipc_error *error)
{
    size_t depth = 0;
    bool in_model = false;
    bool taken = true;
    while (taken && !(cuts[1].end) && reader->at < reader->end) {
        const uint8_t byte = *reader->at;
        const char *key = NULL;
        size_t length = 0;
        if (byte != '"') {
            depth += byte == '{' || byte == '[';
            depth -= depth > 0 && (byte == '}' || byte == ']');
            reader->at++;
        } else if (!clipc_quick_json_text(reader, &key, &length)) {
            taken = false;
        } else if (depth <= 2 && clipc_quick_json_symbol(reader, ':')) {
            if (depth == 1)
                in_model = length == 5 && memcmp(key, "model", 5) == 0;
            else if (depth == 2 && in_model)
                CLIPC_TRY(take_value(reader, key, length, most, source, cuts, &taken, error));
        }
    }
    *found = taken && cuts[1].end;
    return CLIPC_OK;
}

/* Gives back what was reserved for merges and entries and not needed, where that is much. */
static clipc_status shrink(clipc_token_source *source, size_t reserved, clipc_error *error)
{
    clipc_vocabulary *vocabulary = &source->vocabulary;
    clipc_merge_text *merges = source->merges;
    clipc_vocabulary_entry *entries = vocabulary->entries;
    if (source->merge_count < reserved / 2)
        merges = clipc_reallocate(merges, source->merge_count, sizeof *merges);
    if (!merges)
        return clipc_fail_memory(error, source->merge_count * sizeof *merges, "merges");
    source->merges = merges;
    if (vocabulary->count < reserved / 2)
        entries = clipc_reallocate(entries, vocabulary->count, sizeof *entries);
    if (!entries)
        return clipc_fail_memory(error, vocabulary->count * sizeof *entries, "a vocabulary");
    vocabulary->entries = entries;
    return CLIPC_OK;
}

/* The file with placeholders for the two values, by jansson. */
static clipc_status parse_rest(const clipc_tokenizer_file *file, const cut cuts[2], json_t **out, clipc_error *error)
{
    const uint8_t *bytes = file->bytes;
    const uint8_t *end = bytes + file->size;
    const size_t first = (size_t)(cuts[0].begin - bytes);
    const size_t between = (size_t)(cuts[1].begin - cuts[0].end);
    const size_t last = (size_t)(end - cuts[1].end);
    char *rest = clipc_allocate(first + between + last + 4, 1);
    if (!rest)
        return clipc_fail_memory(error, first + between + last + 4, file->name);
    memcpy(rest, bytes, first);
    memcpy(rest + first, cuts[0].placeholder, 2);
    memcpy(rest + first + 2, cuts[0].end, between);
    memcpy(rest + first + 2 + between, cuts[1].placeholder, 2);
    memcpy(rest + first + 4 + between, cuts[1].end, last);
    const clipc_status status = clipc_json_parse(rest, first + between + last + 4, file->name, 0, out, error);
    clipc_free(rest);
    return status;
}

static void forget_quick(clipc_token_source *source)
{
    clipc_vocabulary_free(&source->vocabulary);
    clipc_free(source->merges);
    clipc_free(source->decoded);
    clipc_free(source->scores);
    source->scores = NULL;
    source->merges = NULL;
    source->decoded = NULL;
    source->merge_count = 0;
    source->quick = false;
}

static clipc_status read_tokenizer_quickly(const clipc_tokenizer_file *file, clipc_quick_json *reader, size_t most,
                                           clipc_token_source *source, clipc_error *error)
{
    cut cuts[2] = {0};
    source->merges = clipc_allocate(most, sizeof *source->merges);
    if (!source->merges)
        return clipc_fail_memory(error, most * sizeof *source->merges, "merges");
    CLIPC_TRY(find_values(reader, most, source, cuts, &source->quick, error));
    if (!source->quick)
        return CLIPC_OK;
    CLIPC_TRY(shrink(source, most, error));
    const clipc_status status = parse_rest(file, cuts, &source->root, error);
    source->quick = status == CLIPC_OK;
    return status == CLIPC_ERROR_MEMORY ? status : CLIPC_OK; /* jansson will say it of the whole file */
}

static clipc_status read_quickly(const clipc_tokenizer_file *file, clipc_token_source *source, clipc_error *error)
{
    if (clipc_utf8_check(file->bytes, file->size) < file->size)
        return CLIPC_OK;
    const size_t most = most_entries(file);
    /* No file may make the library hold more than four times its size and 64 MiB; what is left is for the table of
     * tokens. jansson, which is watched for that, reads what has more entries for its size than tokenizers have. */
    if (most * (sizeof *source->vocabulary.entries + sizeof *source->merges) > 2 * file->size + ((size_t)48 << 20))
        return CLIPC_OK;
    source->decoded = clipc_allocate(file->size, 1);
    if (!source->decoded)
        return clipc_fail_memory(error, file->size, file->name);
    clipc_quick_json reader = {file->bytes, (const uint8_t *)file->bytes + file->size, source->decoded};
    if (source->is_tokenizer_json)
        return read_tokenizer_quickly(file, &reader, most, source, error);
    CLIPC_TRY(clipc_vocabulary_read_quick(&reader, most, &source->vocabulary, &source->quick, error));
    clipc_quick_json_skip_space(&reader);
    source->quick = source->quick && reader.at == reader.end;
    return CLIPC_OK;
}

clipc_status clipc_token_source_open(const clipc_tokenizer_files *files, bool exact, clipc_token_source *out,
                                     clipc_error *error)
{
    *out = (clipc_token_source){.is_tokenizer_json = files->tokenizer_json.bytes != NULL, .exact = exact};
    CLIPC_FAIL_IF(!out->is_tokenizer_json && (!files->vocab.bytes || !files->merges.bytes), error,
                  CLIPC_ERROR_NOT_FOUND,
                  "a tokenizer needs tokenizer.json, or vocab.json and merges.txt, or spiece.model");
    const clipc_tokenizer_file *file = out->is_tokenizer_json ? &files->tokenizer_json : &files->vocab;
    out->name = file->name;
    CLIPC_FAIL_IF(file->size > CLIPC_MAX_TOKENIZER_FILE, error, CLIPC_ERROR_LIMIT, "%s: %zu bytes are too many",
                  file->name, file->size);
    CLIPC_TRY(read_quickly(file, out, error));
    if (out->quick)
        return CLIPC_OK;
    forget_quick(out);
    return clipc_json_parse(file->bytes, file->size, file->name, 0, &out->root, error);
}

/* The same by jansson. */
static clipc_status read_scored_json(const json_t *array, clipc_token_source *source, clipc_error *error)
{
    const size_t count = json_array_size(array);
    size_t index = 0;
    json_t *pair = NULL;
    bool distinct = false;
    source->scores = clipc_allocate(count, sizeof *source->scores);
    if (!source->scores)
        return clipc_fail_memory(error, count * sizeof *source->scores, "scores");
    CLIPC_TRY(clipc_vocabulary_reserve(&source->vocabulary, count, error));
    json_array_foreach(array, index, pair)
    {
        const json_t *text = json_array_get(pair, 0);
        const json_t *score = json_array_get(pair, 1);
        CLIPC_FAIL_IF(json_array_size(pair) != 2 || !json_is_string(text) || !json_is_number(score), error,
                      CLIPC_ERROR_FORMAT, "%s: entry %zu of model.vocab is no token and score", source->name, index);
        source->scores[index] = json_number_value(score);
        source->vocabulary.entries[index] = (clipc_vocabulary_entry){
            .text = json_string_value(text), .length = json_string_length(text), .id = (json_int_t)index};
        source->vocabulary.count++;
    }
    CLIPC_TRY(clipc_vocabulary_index(&source->vocabulary, &distinct, error));
    CLIPC_FAIL_IF(!distinct, error, CLIPC_ERROR_FORMAT, "%s: model.vocab has a token twice", source->name);
    return CLIPC_OK;
}

clipc_status clipc_token_source_vocabulary(clipc_token_source *source, size_t vocabulary_size, clipc_error *error)
{
    if (!source->quick) {
        const json_t *model = json_object_get(source->root, "model");
        const json_t *object = source->is_tokenizer_json ? json_object_get(model, "vocab") : source->root;
        if (source->is_tokenizer_json && json_is_array(object)) {
            CLIPC_TRY(read_scored_json(object, source, error));
            return clipc_vocabulary_check(&source->vocabulary, source->name, vocabulary_size, error);
        }
        CLIPC_FAIL_IF(!json_is_object(object), error, CLIPC_ERROR_FORMAT, "%s: model.vocab is no object",
                      source->name);
        CLIPC_TRY(clipc_vocabulary_read_json(object, source->name, &source->vocabulary, error));
    }
    return clipc_vocabulary_check(&source->vocabulary, source->name, vocabulary_size, error);
}

void clipc_token_source_forget_tables(clipc_token_source *source)
{
    clipc_vocabulary_free(&source->vocabulary);
    clipc_free(source->merges);
    source->merges = NULL;
    source->merge_count = 0;
}

void clipc_token_source_close(clipc_token_source *source)
{
    forget_quick(source);
    clipc_sentencepiece_free(source->sentencepiece);
    source->sentencepiece = NULL;
    json_decref(source->root);
    source->root = NULL;
}
