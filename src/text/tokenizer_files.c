/* From the files of a model's directory to a tokenizer. */
#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include "text/normalize.h"
#include "text/sentencepiece.h"

typedef struct opened_files {
    clipc_token_source source;
    json_t *config;
    json_t *map;
} opened_files;

static clipc_status read_json(const clipc_tokenizer_file *file, size_t flags, json_t **out, clipc_error *error)
{
    CLIPC_FAIL_IF(file->size > CLIPC_MAX_TOKENIZER_FILE, error, CLIPC_ERROR_LIMIT, "%s: %zu bytes are too many",
                  file->name, file->size);
    return clipc_json_parse(file->bytes, file->size, file->name, flags, out, error);
}

static clipc_status open_files(const clipc_tokenizer_files *files, opened_files *out, clipc_error *error)
{
    /* transformers writes 10^30 for "no limit", which is no integer of C's. */
    if (files->tokenizer_config.bytes)
        CLIPC_TRY(read_json(&files->tokenizer_config, JSON_DECODE_INT_AS_REAL, &out->config, error));
    if (files->special_tokens_map.bytes)
        CLIPC_TRY(read_json(&files->special_tokens_map, 0, &out->map, error));
    /* T5Tokenizer and XLMRobertaTokenizer take the scores from Python's reading of the file. */
    if (files->sentencepiece.bytes && !files->tokenizer_json.bytes)
        return clipc_sentencepiece_open(&files->sentencepiece, out->config, &out->source, error);
    const bool exact = clipc_pieces_class_is_t5_like(clipc_pieces_classify(NULL, out->config, files->model_type));
    return clipc_token_source_open(files, exact, &out->source, error);
}

static void close_files(opened_files *files)
{
    clipc_token_source_close(&files->source);
    json_decref(files->config);
    json_decref(files->map);
    files->config = NULL;
    files->map = NULL;
}

/* No files may make the library hold more than four times their size and 64 MiB. Most of what the parts need beside
 * the block is counted: they are what is held while it is made. */
static size_t most_block_bytes(const clipc_tokenizer_files *files, const clipc_token_source *source,
                               const clipc_packed_parts *parts, const clipc_pieces_parts *pieces)
{
    const size_t size = files->tokenizer_json.size + files->vocab.size + files->merges.size;
    const size_t most = 4 * size + ((size_t)60 << 20);
    const size_t held = parts->merge_count * sizeof *parts->merges + parts->word_count * sizeof *parts->words +
                        (pieces ? pieces->piece_count * sizeof *pieces->pieces : 0) +
                        (source->decoded ? files->tokenizer_json.size : 0);
    return held < most ? most - held : 0;
}

/* The text to look for: the token's own, or its normalised form. */
static clipc_status set_added_text(const clipc_special_token *token, const char *name, struct clipc_added_text *added,
                                   clipc_error *error)
{
    clipc_field_reader reader;
    clipc_field_reader_init(&reader);
    clipc_status status = CLIPC_OK;
    const uint8_t *text = (const uint8_t *)token->text;
    size_t length = strlen(token->text);
    for (size_t at = 0; at < length;) {
        int32_t code_point = 0;
        at += clipc_utf8_read(text + at, &code_point);
        if (clipc_code_classify(code_point) == CLIPC_CODE_SPACE) {
            status = clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: added token \"%s\" contains white space", name,
                                token->text);
            goto fail;
        }
    }
    if (token->normalized) {
        clipc_field_reader_open(&reader, text, length);
        CLIPC_CHECK(clipc_field_reader_next(&reader, error));
        text = reader.bytes;
        length = reader.count;
    }
    added->text = clipc_allocate(length, 1);
    if (!added->text) {
        status = clipc_fail_memory(error, length, "an added token");
        goto fail;
    }
    memcpy(added->text, text, length);
    added->length = (uint32_t)length;
    added->normalized = token->normalized;
fail:
    clipc_field_reader_finish(&reader);
    return status;
}

/* Two tokens that are looked for as one text cannot both be found; the reference refuses them too. */
static clipc_status check_distinct(const clipc_packed_parts *parts, const struct clipc_added_text *added,
                                   const char *name, clipc_error *error)
{
    for (size_t i = 0; i < parts->added_count; i++)
        CLIPC_FAIL_IF(parts->added[i].normalized == added->normalized && parts->added[i].length == added->length &&
                          memcmp(parts->added[i].text, added->text, added->length) == 0,
                      error, CLIPC_ERROR_FORMAT, "%s: two added tokens are \"%.*s\" in the normalised text", name,
                      (int)added->length, added->text);
    return CLIPC_OK;
}

bool clipc_is_last_of_its_text(const clipc_special_tokens *tokens, size_t index)
{
    for (size_t i = index + 1; i < tokens->count; i++)
        if (strcmp(tokens->tokens[i].text, tokens->tokens[index].text) == 0)
            return false;
    return true;
}

static bool is_first_of_its_text(const clipc_special_tokens *tokens, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(tokens->tokens[i].text, tokens->tokens[index].text) == 0)
            return false;
    return true;
}

uint32_t clipc_added_id(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens, const char *text)
{
    uint32_t id = clipc_vocabulary_find(vocabulary, text, strlen(text));
    if (id != CLIPC_NO_TOKEN)
        return id;
    id = (uint32_t)vocabulary->count;
    for (size_t i = 0; i < tokens->count; i++) {
        const char *other = tokens->tokens[i].text;
        if (strcmp(other, text) == 0)
            return id;
        if (is_first_of_its_text(tokens, i) &&
            clipc_vocabulary_find(vocabulary, other, strlen(other)) == CLIPC_NO_TOKEN)
            id++;
    }
    return CLIPC_NO_TOKEN;
}

clipc_status clipc_added_checked_id(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens,
                                    size_t index, size_t vocabulary_size, const char *name, uint32_t *id,
                                    clipc_error *error)
{
    const clipc_special_token *token = &tokens->tokens[index];
    *id = clipc_added_id(vocabulary, tokens, token->text);
    CLIPC_FAIL_IF(*id >= clipc_min(vocabulary_size, CLIPC_MAX_TOKEN_IDS), error, CLIPC_ERROR_FORMAT,
                  "%s: the vocabulary has no token \"%s\", and the model no room for it", name, token->text);
    CLIPC_FAIL_IF(token->id >= 0 && token->id != (json_int_t)*id, error, CLIPC_ERROR_FORMAT,
                  "%s: added token \"%s\" has id %lld, but the vocabulary says %u", name, token->text,
                  (long long)token->id, *id);
    return CLIPC_OK;
}

static clipc_status collect_added(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens,
                                  const char *name, size_t vocabulary_size, clipc_packed_parts *parts,
                                  clipc_error *error)
{
    parts->added = clipc_allocate(tokens->count, sizeof *parts->added);
    if (!parts->added)
        return clipc_fail_memory(error, tokens->count * sizeof *parts->added, "added tokens");
    for (size_t i = 0; i < tokens->count; i++) {
        const clipc_special_token *token = &tokens->tokens[i];
        uint32_t id = CLIPC_NO_TOKEN;
        CLIPC_TRY(clipc_added_checked_id(vocabulary, tokens, i, vocabulary_size, name, &id, error));
        if (!clipc_is_last_of_its_text(tokens, i))
            continue;
        struct clipc_added_text *added = &parts->added[parts->added_count];
        CLIPC_TRY(set_added_text(token, name, added, error));
        added->id = id;
        const clipc_status status = check_distinct(parts, added, name, error);
        parts->added_count++;
        CLIPC_TRY(status);
    }
    parts->start_token = clipc_added_id(vocabulary, tokens, tokens->start);
    parts->end_token = clipc_added_id(vocabulary, tokens, tokens->end);
    return CLIPC_OK;
}

static void free_parts(clipc_packed_parts *parts)
{
    for (size_t i = 0; parts->added && i < parts->added_count; i++)
        clipc_free(parts->added[i].text);
    clipc_free(parts->added);
    clipc_free(parts->merges);
    clipc_free(parts->words);
}

static clipc_status read_merges(const clipc_tokenizer_files *files, const clipc_token_source *source,
                                clipc_packed_parts *parts, clipc_error *error)
{
    if (!source->is_tokenizer_json)
        return clipc_merges_read_text(&files->merges, &source->vocabulary, parts, error);
    if (source->quick)
        return clipc_merges_read_pairs(source->merges, source->merge_count, source->name, &source->vocabulary, parts,
                                       error);
    return clipc_merges_read_json(json_object_get(json_object_get(source->root, "model"), "merges"), source->name,
                                  &source->vocabulary, parts, error);
}

/* A list that was cut to nothing would leave every text in single bytes. Bytes, their end-of-word forms and added
 * tokens need no merges; any other token does. */
static clipc_status collect_merges(const clipc_tokenizer_files *files, const clipc_token_source *source,
                                   clipc_packed_parts *parts, clipc_error *error)
{
    CLIPC_TRY(read_merges(files, source, parts, error));
    CLIPC_FAIL_IF(parts->merge_count == 0 && source->vocabulary.count > 2 * 256 + parts->added_count, error,
                  CLIPC_ERROR_FORMAT, "%s: holds no merges, though there are %zu tokens",
                  source->is_tokenizer_json ? source->name : files->merges.name, source->vocabulary.count);
    return CLIPC_OK;
}

static clipc_status collect(const clipc_tokenizer_files *files, opened_files *opened, size_t vocabulary_size,
                            clipc_special_tokens *tokens, clipc_packed_parts *parts, clipc_error *error)
{
    static const clipc_named_defaults defaults = {.start = CLIPC_START_TEXT,
                                                  .end = CLIPC_END_TEXT,
                                                  .unknown = CLIPC_END_TEXT,
                                                  .pad = CLIPC_END_TEXT,
                                                  .needs_ends = true};
    clipc_token_source *source = &opened->source;
    const clipc_vocabulary *vocabulary = &source->vocabulary;
    const json_t *tokenizer = source->is_tokenizer_json ? source->root : NULL;
    if (tokenizer)
        CLIPC_TRY(clipc_pipeline_check(tokenizer, source->name, error));
    parts->max_length = UINT64_MAX;
    if (opened->config)
        CLIPC_TRY(
            clipc_tokenizer_config_check(opened->config, files->tokenizer_config.name, &parts->max_length, error));
    CLIPC_TRY(clipc_token_source_vocabulary(source, vocabulary_size, error));
    CLIPC_TRY(clipc_special_tokens_read(opened->config, files->tokenizer_config.name, opened->map,
                                        files->special_tokens_map.name, tokenizer, source->name, &defaults, tokens,
                                        error));
    CLIPC_TRY(collect_added(vocabulary, tokens, source->name, vocabulary_size, parts, error));
    if (tokenizer)
        CLIPC_TRY(clipc_pipeline_check_ends(tokenizer, source->name, tokens->start, parts->start_token, tokens->end,
                                            parts->end_token, error));
    const uint32_t unknown =
        tokens->unknown ? clipc_vocabulary_find(vocabulary, tokens->unknown, strlen(tokens->unknown)) : CLIPC_NO_TOKEN;
    CLIPC_TRY(clipc_vocabulary_bytes(vocabulary, source->name, unknown, parts, error));
    CLIPC_TRY(clipc_vocabulary_words(vocabulary, parts, error));
    return collect_merges(files, source, parts, error);
}

clipc_status clipc_tokenizer_create(const clipc_tokenizer_files *files, size_t vocabulary_size, clipc_tokenizer **out,
                                    clipc_error *error)
{
    *out = NULL;
    clipc_status status = CLIPC_OK;
    opened_files opened = {0};
    clipc_packed_parts parts = {0};
    clipc_pieces_parts *pieces = NULL;
    clipc_special_tokens *tokens = clipc_allocate(1, sizeof *tokens);
    if (!tokens)
        return clipc_fail_memory(error, sizeof *tokens, "a tokenizer");
    CLIPC_CHECK(open_files(files, &opened, error));
    const json_t *tokenizer = opened.source.is_tokenizer_json ? opened.source.root : NULL;
    if (!opened.source.sentencepiece &&
        clipc_pieces_classify(tokenizer, opened.config, files->model_type) == CLIPC_CLASS_NONE) {
        CLIPC_CHECK(collect(files, &opened, vocabulary_size, tokens, &parts, error));
        close_files(&opened);
        parts.most_bytes = most_block_bytes(files, &opened.source, &parts, NULL);
        CLIPC_CHECK(clipc_packed_build(&parts, NULL, vocabulary_size, out, error));
    } else {
        const clipc_pieces_source from = {files, &opened.source, opened.config, opened.map};
        pieces = clipc_allocate(1, sizeof *pieces);
        if (!pieces) {
            status = clipc_fail_memory(error, sizeof *pieces, "a tokenizer");
            goto fail;
        }
        CLIPC_CHECK(clipc_pieces_collect(&from, vocabulary_size, tokens, &parts, pieces, error));
        clipc_token_source_forget_tables(&opened.source);
        parts.most_bytes = most_block_bytes(files, &opened.source, &parts, pieces);
        CLIPC_CHECK(clipc_packed_build(&parts, pieces, vocabulary_size, out, error));
    }
fail:
    free_parts(&parts);
    if (pieces)
        clipc_pieces_parts_free(pieces);
    clipc_free(pieces);
    close_files(&opened);
    clipc_free(tokens);
    return status;
}
