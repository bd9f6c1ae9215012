#include "text/sentencepiece.h"

#include "base/memory.h"
#include "base/wire.h"
#include "text/json_values.h"
#include "text/unicode.h"

#include <float.h>
#include <math.h>

#define LONGEST_PIECE ((size_t)1024) /* bytes; sentencepiece trains none beyond 16 characters */

enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_SPACE_IS_SUFFIX = 24, TRAINER_BYTE_FALLBACK = 35 };
enum { NORMALIZER_CHARSMAP = 2, NORMALIZER_DUMMY_PREFIX = 3, NORMALIZER_STRIPS = 4, NORMALIZER_ESCAPES = 5 };
enum { TYPE_UNIGRAM = 1, TYPE_BYTE_PAIRS = 2 };

typedef struct reader {
    const clipc_tokenizer_file *file;
    clipc_token_source *out;
    clipc_sentencepiece *model;
    clipc_error *error;
} reader;

static clipc_status fail_malformed(const reader *from)
{
    return clipc_fail(from->error, CLIPC_ERROR_FORMAT, "%s: is no model of SentencePiece, or damaged",
                      from->file->name);
}

/* No file may make the library hold more than four times its size and 64 MiB. */
static clipc_status check_memory(const reader *from, size_t count, size_t size)
{
    CLIPC_FAIL_IF(count > CLIPC_MAX_TOKEN_IDS || count * size > 2 * from->file->size + ((size_t)32 << 20), from->error,
                  CLIPC_ERROR_LIMIT, "%s: has %zu pieces or merges, too many for its size", from->file->name, count);
    return CLIPC_OK;
}

/* ---- pieces ---- */

static clipc_status read_piece(const reader *from, const clipc_wire_field *message)
{
    clipc_vocabulary *vocabulary = &from->out->vocabulary;
    const size_t index = vocabulary->count;
    clipc_vocabulary_entry *entry = &vocabulary->entries[index];
    clipc_wire wire = {.at = message->bytes, .end = message->bytes + message->size};
    clipc_wire_field field;
    uint64_t type = CLIPC_PIECE_NORMAL;
    float score = 0;
    *entry = (clipc_vocabulary_entry){.id = (json_int_t)index};
    while (clipc_wire_next(&wire, &field)) {
        if (field.number == PIECE_TEXT && field.type == CLIPC_WIRE_BYTES) {
            entry->text = (const char *)field.bytes;
            entry->length = field.size;
        } else if (field.number == PIECE_SCORE && field.type == CLIPC_WIRE_32) {
            memcpy(&score, field.begin + field.whole - sizeof score, sizeof score);
        } else if (field.number == PIECE_TYPE && field.type == CLIPC_WIRE_VARINT) {
            type = field.value;
        }
    }
    if (wire.malformed || type < CLIPC_PIECE_NORMAL || type > CLIPC_PIECE_BYTE || !isfinite(score))
        return fail_malformed(from);
    CLIPC_FAIL_IF(entry->length == 0 || entry->length > LONGEST_PIECE ||
                      clipc_utf8_check((const uint8_t *)entry->text, entry->length) < entry->length ||
                      memchr(entry->text, 0, entry->length),
                  from->error, CLIPC_ERROR_FORMAT, "%s: piece %zu is empty, longer than %zu bytes or no text",
                  from->file->name, index, LONGEST_PIECE);
    if (type == CLIPC_PIECE_UNKNOWN) {
        CLIPC_FAIL_IF(from->model->unknown != SIZE_MAX, from->error, CLIPC_ERROR_FORMAT, "%s: has two unknown pieces",
                      from->file->name);
        from->model->unknown = index;
    }
    if (type == CLIPC_PIECE_NORMAL && score < from->model->least)
        from->model->least = score;
    from->model->types[index] = (uint8_t)type;
    from->out->scores[index] = (double)score;
    vocabulary->count++;
    return CLIPC_OK;
}

static clipc_status read_pieces(const reader *from)
{
    const uint8_t *bytes = from->file->bytes;
    clipc_wire wire = {.at = bytes, .end = bytes + from->file->size};
    clipc_wire_field field;
    size_t count = 0;
    bool distinct = false;
    while (clipc_wire_next(&wire, &field))
        count += field.number == MODEL_PIECES && field.type == CLIPC_WIRE_BYTES;
    if (wire.malformed || count == 0)
        return fail_malformed(from);
    CLIPC_TRY(check_memory(from, count, sizeof *from->out->vocabulary.entries + sizeof(double) + 1));
    CLIPC_TRY(clipc_vocabulary_reserve(&from->out->vocabulary, count, from->error));
    from->out->scores = clipc_allocate(count, sizeof *from->out->scores);
    from->model->types = clipc_allocate(count, 1);
    if (!from->out->scores || !from->model->types)
        return clipc_fail_memory(from->error, count * sizeof *from->out->scores, "scores");
    wire = (clipc_wire){.at = bytes, .end = bytes + from->file->size};
    while (clipc_wire_next(&wire, &field))
        if (field.number == MODEL_PIECES && field.type == CLIPC_WIRE_BYTES)
            CLIPC_TRY(read_piece(from, &field));
    CLIPC_FAIL_IF(from->model->unknown == SIZE_MAX, from->error, CLIPC_ERROR_FORMAT, "%s: has no unknown piece",
                  from->file->name);
    CLIPC_TRY(clipc_vocabulary_index(&from->out->vocabulary, &distinct, from->error));
    CLIPC_FAIL_IF(!distinct, from->error, CLIPC_ERROR_FORMAT, "%s: has a piece twice", from->file->name);
    return CLIPC_OK;
}

/* ---- what else it says ---- */

static clipc_status read_trainer(const reader *from, const clipc_wire_field *message)
{
    clipc_wire wire = {.at = message->bytes, .end = message->bytes + message->size};
    clipc_wire_field field;
    while (clipc_wire_next(&wire, &field)) {
        if (field.type != CLIPC_WIRE_VARINT)
            continue;
        if (field.number == TRAINER_MODEL_TYPE) {
            CLIPC_FAIL_IF(field.value != TYPE_UNIGRAM && field.value != TYPE_BYTE_PAIRS, from->error,
                          CLIPC_ERROR_UNSUPPORTED,
                          "%s: is a model of words or characters, not unigram or of byte pairs", from->file->name);
            from->model->unigram = field.value == TYPE_UNIGRAM;
        } else if (field.number == TRAINER_SPACE_IS_SUFFIX) {
            from->model->space_is_suffix = field.value != 0;
        } else if (field.number == TRAINER_BYTE_FALLBACK) {
            from->model->byte_fallback = field.value != 0;
        }
    }
    return wire.malformed ? fail_malformed(from) : CLIPC_OK;
}

static clipc_status read_normalizer(const reader *from, const clipc_wire_field *message)
{
    clipc_wire wire = {.at = message->bytes, .end = message->bytes + message->size};
    clipc_wire_field field;
    clipc_sentencepiece *model = from->model;
    while (clipc_wire_next(&wire, &field)) {
        const bool flag = field.type == CLIPC_WIRE_VARINT && field.value != 0;
        switch (field.number) {
        case NORMALIZER_CHARSMAP:
            model->charsmap = field.bytes;
            model->charsmap_size = field.size;
            break;
        case NORMALIZER_DUMMY_PREFIX: model->dummy_prefix = flag; break;
        case NORMALIZER_STRIPS: model->strips = flag; break;
        case NORMALIZER_ESCAPES: model->escapes = flag; break;
        default: break;
        }
    }
    return wire.malformed ? fail_malformed(from) : CLIPC_OK;
}

static clipc_status read_specs(const reader *from)
{
    const uint8_t *bytes = from->file->bytes;
    clipc_wire wire = {.at = bytes, .end = bytes + from->file->size};
    clipc_wire_field field;
    while (clipc_wire_next(&wire, &field)) {
        if (field.type == CLIPC_WIRE_BYTES && field.number == MODEL_TRAINER)
            CLIPC_TRY(read_trainer(from, &field));
        if (field.type == CLIPC_WIRE_BYTES && field.number == MODEL_NORMALIZER)
            CLIPC_TRY(read_normalizer(from, &field));
    }
    return CLIPC_OK;
}

/* ---- merges ---- */

/* Every way in which a piece is two others, shorter left sides first: what transformers makes of such a file
 * (tokenization_utils_base.py, generate_merges). Counts them where `out` is NULL. */
static size_t split_piece(const clipc_vocabulary *vocabulary, const clipc_vocabulary_entry *piece,
                          clipc_merge_text *out)
{
    size_t count = 0;
    for (size_t at = 1; at < piece->length; at++) {
        const clipc_merge_text merge = {piece->text, piece->text + at, at, piece->length - at};
        if (((uint8_t)piece->text[at] & 0xC0) == 0x80 ||
            clipc_vocabulary_find(vocabulary, merge.left, merge.left_length) == CLIPC_NO_TOKEN ||
            clipc_vocabulary_find(vocabulary, merge.right, merge.right_length) == CLIPC_NO_TOKEN)
            continue;
        if (out)
            out[count] = merge;
        count++;
    }
    return count;
}

static clipc_status make_merges(const reader *from)
{
    clipc_token_source *out = from->out;
    size_t count = 0;
    for (size_t i = 0; i < out->vocabulary.count; i++)
        count += split_piece(&out->vocabulary, &out->vocabulary.entries[i], NULL);
    CLIPC_TRY(check_memory(from, count, sizeof *out->merges));
    out->merges = clipc_allocate(count, sizeof *out->merges);
    if (!out->merges)
        return clipc_fail_memory(from->error, count * sizeof *out->merges, "merges");
    for (size_t i = 0; i < out->vocabulary.count; i++)
        out->merge_count += split_piece(&out->vocabulary, &out->vocabulary.entries[i], out->merges + out->merge_count);
    return CLIPC_OK;
}

/* ---- as tokenizer.json would say it ---- */

/* Control and user-defined pieces are looked for in texts, as TokenizersBackend adds them. */
static bool is_added(const reader *from, size_t index)
{
    const uint8_t type = from->model->types[index];
    return type == CLIPC_PIECE_CONTROL || type == CLIPC_PIECE_USER_DEFINED;
}

static json_t *added_tokens(const reader *from)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < from->out->vocabulary.count; i++) {
        const clipc_vocabulary_entry *entry = &from->out->vocabulary.entries[i];
        if (!is_added(from, i))
            continue;
        if (json_array_append_new(list, json_pack("{s:I, s:s%, s:b, s:b}", "id", entry->id, "content", entry->text,
                                                  entry->length, "normalized", 0, "special",
                                                  from->model->types[i] == CLIPC_PIECE_CONTROL)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The ends that tokenizer_config.json asks for, as PreTrainedTokenizerFast puts them around texts. */
static json_t *end_template(const reader *from, const json_t *config)
{
    static const char *const flags[2] = {"add_bos_token", "add_eos_token"};
    static const char *const names[2] = {"bos_token", "eos_token"};
    static const char *const absent[2] = {"<bos>", "<eos>"};
    json_t *single = json_array();
    json_t *tokens = json_object();
    bool good = single && tokens;
    for (size_t i = 0; i < 2; i++) {
        const json_t *token = json_object_get(config, names[i]);
        const char *text = json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
        text = text ? text : absent[i];
        const uint32_t id = clipc_vocabulary_find(&from->out->vocabulary, text, strlen(text));
        if (i == 1)
            good = good && json_array_append_new(single, json_pack("{s:{s:s}}", "Sequence", "id", "A")) == 0;
        if (!clipc_json_is_flag(config, flags[i], true, false) || id == CLIPC_NO_TOKEN)
            continue;
        good = good && json_array_append_new(single, json_pack("{s:{s:s}}", "SpecialToken", "id", text)) == 0 &&
               json_object_set_new(tokens, text, json_pack("{s:[I]}", "ids", (json_int_t)id)) == 0;
    }
    if (good)
        return json_pack("{s:s, s:o, s:o}", "type", "TemplateProcessing", "single", single, "special_tokens", tokens);
    json_decref(single);
    json_decref(tokens);
    return NULL;
}

static clipc_status make_root(const reader *from, const json_t *config)
{
    const bool unigram = from->model->unigram;
    from->out->root =
        json_pack("{s:{s:s, s:I, s:b, s:b}}", "model", "type", unigram ? "Unigram" : "BPE", "unk_id",
                  (json_int_t)from->model->unknown, "byte_fallback", from->model->byte_fallback, "fuse_unk", 1);
    bool made = from->out->root != NULL;
    if (made && !unigram)
        made = json_object_set_new(from->out->root, "added_tokens", added_tokens(from)) == 0 &&
               json_object_set_new(from->out->root, "post_processor", end_template(from, config)) == 0;
    return made ? CLIPC_OK : clipc_fail_memory(from->error, 1024, "a tokenizer");
}

/* As many as a tokenizer.json may name. */
static clipc_status check_added(const reader *from)
{
    size_t count = 0;
    for (size_t i = 0; i < from->out->vocabulary.count; i++)
        count += is_added(from, i);
    CLIPC_FAIL_IF(count > CLIPC_MAX_ADDED_TOKENS, from->error, CLIPC_ERROR_LIMIT,
                  "%s: has %zu control and user-defined pieces, more than %zu", from->file->name, count,
                  CLIPC_MAX_ADDED_TOKENS);
    return CLIPC_OK;
}

clipc_status clipc_sentencepiece_open(const clipc_tokenizer_file *file, const json_t *config, clipc_token_source *out,
                                      clipc_error *error)
{
    CLIPC_FAIL_IF(file->size > CLIPC_MAX_TOKENIZER_FILE, error, CLIPC_ERROR_LIMIT, "%s: %zu bytes are too many",
                  file->name, file->size);
    clipc_sentencepiece *model = clipc_allocate(1, sizeof *model);
    if (!model)
        return clipc_fail_memory(error, sizeof *model, "a tokenizer");
    *model = (clipc_sentencepiece){
        .unigram = true, .unknown = SIZE_MAX, .least = FLT_MAX, .dummy_prefix = true, .strips = true, .escapes = true};
    out->name = file->name;
    out->is_tokenizer_json = true;
    out->quick = true;
    out->sentencepiece = model;
    const reader from = {file, out, model, error};
    CLIPC_TRY(read_pieces(&from));
    CLIPC_TRY(read_specs(&from));
    if (clipc_json_is_flag(config, "legacy", false, true)) /* transformers takes it away then */
        model->dummy_prefix = false;
    CLIPC_FAIL_IF(json_object_size(json_object_get(config, "sp_model_kwargs")) > 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: sp_model_kwargs of tokenizer_config.json is not empty", file->name);
    if (!model->unigram) {
        CLIPC_TRY(check_added(&from));
        CLIPC_TRY(make_merges(&from));
    }
    return make_root(&from, config);
}

void clipc_sentencepiece_free(clipc_sentencepiece *from)
{
    if (from)
        clipc_free(from->types);
    clipc_free(from);
}
