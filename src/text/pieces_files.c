/* From tokenizer.json to a tokenizer of pieces, as the class of transformers that loads the files makes it. */
#include "base/checked.h"
#include "base/memory.h"
#include "text/json_values.h"
#include "text/sentencepiece.h"
#include "text/unicode.h"

#include <math.h>
#include <stdio.h>

/* What the classes have in common with the files' words, and where they differ. */
static const clipc_named_defaults named_by_class[] = {
    [CLIPC_CLASS_BACKEND] = {.keeps_added = true},
    [CLIPC_CLASS_SIGLIP] = {.end = "</s>", .unknown = "<unk>", .pad = "</s>", .strips = true, .keeps_added = true},
    [CLIPC_CLASS_SIGLIP2] = {.start = "<bos>", .end = "<eos>", .unknown = "<unk>", .pad = "<pad>", .mask = "<mask>"},
    [CLIPC_CLASS_GEMMA] = {.start = "<bos>", .end = "<eos>", .unknown = "<unk>", .pad = "<pad>", .mask = "<mask>"},
    [CLIPC_CLASS_T5] = {.end = "</s>", .unknown = "<unk>", .pad = "<pad>"},
    [CLIPC_CLASS_XLM_ROBERTA] = {.start = "<s>", .end = "</s>", .unknown = "<unk>", .pad = "<pad>", .mask = "<mask>"},
};

/* Ids that the classes give as constants. */
#define T5_UNKNOWN       ((uint32_t)2)
#define XLM_UNKNOWN      ((uint32_t)3)
#define SIGLIP_CONTEXT   ((uint64_t)64)
#define UNKNOWN_PENALTY  10.0 /* K_UNK_PENALTY of tokenizers, kUnkPenalty of sentencepiece */
#define BYTE_TOKEN_BYTES 6    /* <0x00> */

clipc_pieces_class clipc_pieces_classify(const json_t *tokenizer, const json_t *config, const char *model_type)
{
    static const struct {
        const char *name;
        clipc_pieces_class class;
    } classes[] = {{"SiglipTokenizer", CLIPC_CLASS_SIGLIP},
                   {"Siglip2Tokenizer", CLIPC_CLASS_SIGLIP2},
                   {"GemmaTokenizer", CLIPC_CLASS_GEMMA},
                   {"T5Tokenizer", CLIPC_CLASS_T5},
                   {"XLMRobertaTokenizer", CLIPC_CLASS_XLM_ROBERTA}};
    const char *name = json_string_value(json_object_get(config, "tokenizer_class"));
    const json_t *model = json_object_get(tokenizer, "model");
    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++) {
        const size_t length = strlen(classes[i].name);
        if (strncmp(name, classes[i].name, length) != 0 || (name[length] && strcmp(name + length, "Fast") != 0))
            continue;
        const bool is_siglip2 = model_type && strcmp(model_type, "siglip2") == 0;
        return is_siglip2 && classes[i].class == CLIPC_CLASS_GEMMA ? CLIPC_CLASS_SIGLIP2 : classes[i].class;
    }
    if (clipc_json_is_type(model, "Unigram") || clipc_json_is_flag(model, "byte_fallback", true, false))
        return CLIPC_CLASS_BACKEND;
    return CLIPC_CLASS_NONE;
}

static clipc_status check_config(const json_t *config, const char *name, clipc_pieces_class class, clipc_error *error)
{
    const char *stated = json_string_value(json_object_get(config, "tokenizer_class"));
    const json_t *side = json_object_get(config, "truncation_side");
    CLIPC_FAIL_IF(class == CLIPC_CLASS_BACKEND && stated && strcmp(stated, "PreTrainedTokenizerFast") != 0 &&
                      strcmp(stated, "TokenizersBackend") != 0,
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: tokenizer_class \"%s\" is not one that clipc knows", name,
                  stated);
    CLIPC_FAIL_IF(clipc_json_is_flag(config, "split_special_tokens", true, false), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: split_special_tokens is true", name);
    CLIPC_FAIL_IF(!clipc_json_is_nothing(side) && !clipc_json_is_text(side, "right"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: truncation_side is not \"right\"", name);
    return CLIPC_OK;
}

/* ---- the model ---- */

static void set_flag(clipc_pieces_header *header, uint32_t flag, bool value)
{
    header->flags = value ? header->flags | flag : header->flags & ~flag;
}

static void find_byte_tokens(const clipc_vocabulary *vocabulary, clipc_packed_parts *parts)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[BYTE_TOKEN_BYTES + 1];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        parts->byte_tokens[0][byte] = clipc_vocabulary_find(vocabulary, text, BYTE_TOKEN_BYTES);
    }
}

static bool is_one_character(const clipc_vocabulary_entry *entry)
{
    int32_t code_point = 0;
    return entry->length > 0 && clipc_utf8_read((const uint8_t *)entry->text, &code_point) == entry->length;
}

/* A mark behind another character: such a token crosses the boundary of two words. */
static bool crosses_words(const char *text, size_t length)
{
    for (size_t at = 1; at + CLIPC_SPACE_MARK_BYTES <= length; at++)
        if (memcmp(text + at, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES) == 0 &&
            (at < CLIPC_SPACE_MARK_BYTES ||
             memcmp(text + at - CLIPC_SPACE_MARK_BYTES, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES) != 0))
            return true;
    return false;
}

/* Tokens that may stand for a word, if texts are split into words at all. */
static clipc_status collect_words(const clipc_vocabulary *vocabulary, clipc_packed_parts *parts, clipc_error *error)
{
    parts->words = clipc_allocate(vocabulary->count, sizeof *parts->words);
    if (!parts->words)
        return clipc_fail_memory(error, vocabulary->count * sizeof *parts->words, "a vocabulary");
    for (size_t i = 0; i < vocabulary->count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        if (entry->length < CLIPC_SPACE_MARK_BYTES || entry->length > CLIPC_WORD_BYTES ||
            memcmp(entry->text, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES) != 0 ||
            crosses_words(entry->text, entry->length))
            continue;
        struct clipc_whole_word *word = &parts->words[parts->word_count++];
        memcpy(word->bytes, entry->text, entry->length);
        word->length = (uint8_t)entry->length;
        word->id = (uint32_t)entry->id;
    }
    return CLIPC_OK;
}

/* The trie's texts: all tokens, or those of one character, or those that SentencePiece itself finds in texts. */
static clipc_status collect_pieces(const clipc_vocabulary *vocabulary, bool characters, const uint8_t *types,
                                   clipc_pieces_parts *out, clipc_error *error)
{
    out->pieces = clipc_allocate(vocabulary->count, sizeof *out->pieces);
    if (!out->pieces)
        return clipc_fail_memory(error, vocabulary->count * sizeof *out->pieces, "a vocabulary");
    for (size_t i = 0; i < vocabulary->count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        if (entry->length == 0 || (characters && !is_one_character(entry)) ||
            (types && types[i] != CLIPC_PIECE_NORMAL))
            continue;
        out->pieces[out->piece_count++] =
            (struct clipc_piece){.text = entry->text, .length = entry->length, .id = (uint32_t)entry->id};
    }
    return CLIPC_OK;
}

static clipc_status collect_unigram(const json_t *model, clipc_pieces_class class, clipc_token_source *source,
                                    clipc_packed_parts *parts, clipc_pieces_parts *out, clipc_error *error)
{
    const clipc_vocabulary *vocabulary = &source->vocabulary;
    const json_t *unknown = json_object_get(model, "unk_id");
    clipc_pieces_header *header = &out->header;
    const bool rebuilt = clipc_pieces_class_is_t5_like(class);
    CLIPC_FAIL_IF(!source->scores || vocabulary->count == 0, error, CLIPC_ERROR_FORMAT,
                  "%s: the unigram model has no tokens with scores", source->name);
    header->model = CLIPC_PIECES_UNIGRAM;
    if (rebuilt || json_is_integer(unknown)) {
        const json_int_t constant = class == CLIPC_CLASS_T5 ? (json_int_t)T5_UNKNOWN : (json_int_t)XLM_UNKNOWN;
        const json_int_t id = rebuilt ? constant : json_integer_value(unknown);
        CLIPC_FAIL_IF(id < 0 || (uint64_t)id >= vocabulary->count, error, CLIPC_ERROR_FORMAT,
                      "%s: model.unk_id %lld is not below the %zu tokens", source->name, (long long)id,
                      vocabulary->count);
        header->unknown_token = (uint32_t)id;
    }
    double least = source->scores[0];
    for (size_t i = 0; i < vocabulary->count; i++) {
        CLIPC_FAIL_IF(!isfinite(source->scores[i]), error, CLIPC_ERROR_FORMAT,
                      "%s: the score of token %zu is no number", source->name, i);
        least = source->scores[i] < least ? source->scores[i] : least;
    }
    header->unknown_score = least - UNKNOWN_PENALTY;
    header->score_count = (uint32_t)vocabulary->count;
    out->scores = source->scores;
    set_flag(header, CLIPC_PIECES_FUSE_UNKNOWN, true);
    set_flag(header, CLIPC_PIECES_BYTE_FALLBACK, !rebuilt && clipc_json_is_flag(model, "byte_fallback", true, false));
    if (header->flags & CLIPC_PIECES_SENTENCE) {
        header->unknown_score = (double)(source->sentencepiece->least - (float)UNKNOWN_PENALTY);
        return collect_pieces(vocabulary, false, source->sentencepiece->types, out, error);
    }
    CLIPC_TRY(collect_pieces(vocabulary, false, NULL, out, error));
    return header->flags & CLIPC_PIECES_SPLIT_MARKS ? collect_words(vocabulary, parts, error) : CLIPC_OK;
}

static clipc_status check_byte_pairs(const json_t *model, const char *name, clipc_error *error)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *dropout = json_object_get(model, "dropout");
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const json_t *affix = json_object_get(model, affixes[i]);
        CLIPC_FAIL_IF(!clipc_json_is_nothing(affix) && !clipc_json_is_text(affix, ""), error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: model.%s is not empty", name, affixes[i]);
    }
    CLIPC_FAIL_IF(!clipc_json_is_nothing(dropout) && !(json_is_number(dropout) && json_number_value(dropout) <= 0),
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: model.dropout is set", name);
    CLIPC_FAIL_IF(!clipc_json_is_flag(model, "ignore_merges", false, false), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: model.ignore_merges is not false", name);
    return CLIPC_OK;
}

/* Words can be merged by themselves if no merge crosses their boundary and the mark is a token. */
static bool words_are_separate(const clipc_vocabulary *vocabulary, const clipc_packed_parts *parts)
{
    for (size_t i = 0; i < parts->merge_count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[vocabulary->by_id[parts->merges[i].result] - 1];
        if (crosses_words(entry->text, entry->length))
            return false;
    }
    return clipc_vocabulary_find(vocabulary, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES) != CLIPC_NO_TOKEN;
}

static clipc_status collect_byte_pairs(const json_t *model, clipc_pieces_class class, const char *unknown,
                                       clipc_token_source *source, clipc_packed_parts *parts, clipc_pieces_parts *out,
                                       clipc_error *error)
{
    const clipc_vocabulary *vocabulary = &source->vocabulary;
    clipc_pieces_header *header = &out->header;
    const bool rebuilt = class == CLIPC_CLASS_GEMMA || class == CLIPC_CLASS_SIGLIP2;
    header->model = CLIPC_PIECES_BPE;
    if (!rebuilt) {
        CLIPC_TRY(check_byte_pairs(model, source->name, error));
        unknown = json_string_value(json_object_get(model, "unk_token"));
    }
    set_flag(header, CLIPC_PIECES_BYTE_FALLBACK, rebuilt || clipc_json_is_flag(model, "byte_fallback", true, false));
    set_flag(header, CLIPC_PIECES_FUSE_UNKNOWN, rebuilt || clipc_json_is_flag(model, "fuse_unk", true, false));
    if (unknown)
        header->unknown_token = clipc_vocabulary_find(vocabulary, unknown, strlen(unknown));
    CLIPC_TRY(
        source->quick
            ? clipc_merges_read_pairs(source->merges, source->merge_count, source->name, vocabulary, parts, error)
            : clipc_merges_read_json(json_object_get(model, "merges"), source->name, vocabulary, parts, error));
    CLIPC_TRY(collect_pieces(vocabulary, true, NULL, out, error));
    CLIPC_FAIL_IF(parts->merge_count == 0 && vocabulary->count > out->piece_count + 256 + parts->added_count, error,
                  CLIPC_ERROR_FORMAT, "%s: holds no merges, though there are %zu tokens", source->name,
                  vocabulary->count);
    if (!words_are_separate(vocabulary, parts))
        return CLIPC_OK;
    set_flag(header, CLIPC_PIECES_SPLIT_WORDS, true);
    return collect_words(vocabulary, parts, error);
}

/* ---- added tokens ---- */

static clipc_status normalize_added(const clipc_pieces_parts *pieces, const clipc_special_token *token,
                                    const char *name, struct clipc_added_text *added, clipc_error *error)
{
    clipc_text_buffer text;
    clipc_text_buffer spare;
    clipc_charsmap map = {0};
    bool at_start = true;
    clipc_text_buffer_init(&text);
    clipc_text_buffer_init(&spare);
    if (pieces->charsmap)
        clipc_charsmap_open(pieces->charsmap, pieces->charsmap_size, &map);
    const clipc_steps steps = {.steps = pieces->steps + pieces->header.cleaning_count,
                               .count = token->normalized ? pieces->header.normalizer_count : 0,
                               .text = pieces->steps_text,
                               .text_size = pieces->steps_text_size,
                               .charsmap = &map};
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(
        clipc_steps_run(&steps, (const uint8_t *)token->text, strlen(token->text), &text, &spare, &at_start, error));
    if (text.count == 0) {
        status = clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: added token \"%s\" is nothing when normalised", name,
                            token->text);
        goto fail;
    }
    added->text = clipc_allocate(text.count, 1);
    if (!added->text) {
        status = clipc_fail_memory(error, text.count, "an added token");
        goto fail;
    }
    memcpy(added->text, text.bytes, text.count);
    added->length = (uint32_t)text.count;
fail:
    clipc_text_buffer_finish(&text);
    clipc_text_buffer_finish(&spare);
    return status;
}

static clipc_status collect_added(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens,
                                  const char *name, size_t vocabulary_size, clipc_packed_parts *parts,
                                  const clipc_pieces_parts *pieces, clipc_error *error)
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
        struct clipc_added_text *added = &parts->added[parts->added_count++];
        CLIPC_TRY(normalize_added(pieces, token, name, added, error));
        added->id = id;
        added->normalized = (uint32_t)token->normalized | (token->left_strip ? CLIPC_ADDED_LEFT_STRIP : 0) |
                            (token->right_strip ? CLIPC_ADDED_RIGHT_STRIP : 0);
    }
    return CLIPC_OK;
}

/* ---- what stands around every text ---- */

static clipc_status add_around(clipc_pieces_parts *out, bool after, uint32_t token, size_t vocabulary_size,
                               const char *name, clipc_error *error)
{
    clipc_pieces_header *header = &out->header;
    uint32_t *count = after ? &header->after_count : &header->before_count;
    CLIPC_FAIL_IF(*count == CLIPC_MAX_TEMPLATE, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the post_processor adds more than %zu tokens", name, CLIPC_MAX_TEMPLATE);
    CLIPC_FAIL_IF(token >= vocabulary_size, error, CLIPC_ERROR_FORMAT,
                  "%s: the post_processor adds token %u, which is not below the vocabulary size %zu", name, token,
                  vocabulary_size);
    (after ? header->after : header->before)[(*count)++] = token;
    return CLIPC_OK;
}

static clipc_status read_template(const json_t *post, const char *name, size_t vocabulary_size,
                                  clipc_pieces_parts *out, clipc_error *error)
{
    const json_t *single = json_object_get(post, "single");
    bool after = false;
    size_t index = 0;
    json_t *step = NULL;
    CLIPC_FAIL_IF(!clipc_json_is_type(post, "TemplateProcessing") || !json_is_array(single), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: the post_processor is not TemplateProcessing", name);
    json_array_foreach(single, index, step)
    {
        const json_t *special = json_object_get(step, "SpecialToken");
        if (!special) {
            CLIPC_FAIL_IF(after || !json_object_get(step, "Sequence"), error, CLIPC_ERROR_UNSUPPORTED,
                          "%s: the post_processor's template is not one text between tokens", name);
            after = true;
            continue;
        }
        const char *text = json_string_value(json_object_get(special, "id"));
        const json_t *ids =
            json_object_get(json_object_get(json_object_get(post, "special_tokens"), text ? text : ""), "ids");
        size_t place = 0;
        json_t *id = NULL;
        CLIPC_FAIL_IF(json_array_size(ids) == 0, error, CLIPC_ERROR_FORMAT,
                      "%s: the post_processor's special_tokens lack one of the template", name);
        json_array_foreach(ids, place, id)
        {
            CLIPC_FAIL_IF(!json_is_integer(id) || json_integer_value(id) < 0 ||
                              json_integer_value(id) >= (json_int_t)CLIPC_MAX_TOKEN_IDS,
                          error, CLIPC_ERROR_FORMAT, "%s: the post_processor has an id that is none", name);
            CLIPC_TRY(add_around(out, after, (uint32_t)json_integer_value(id), vocabulary_size, name, error));
        }
    }
    CLIPC_FAIL_IF(!after, error, CLIPC_ERROR_UNSUPPORTED, "%s: the post_processor's template leaves the text out",
                  name);
    return CLIPC_OK;
}

/* add_bos_token and add_eos_token do not count: transformers drops them where there is a tokenizer.json
 * (tokenization_utils_base.py, _from_pretrained). T5Tokenizer, SiglipTokenizer and XLMRobertaTokenizer have a template
 * of their own. */
static clipc_status collect_around(const clipc_pieces_source *from, clipc_pieces_class class, size_t vocabulary_size,
                                   const clipc_special_tokens *tokens, clipc_pieces_parts *out, clipc_error *error)
{
    const char *name = from->source->name;
    const json_t *post = json_object_get(from->source->root, "post_processor");
    if (class == CLIPC_CLASS_XLM_ROBERTA && tokens->start)
        CLIPC_TRY(add_around(out, false, clipc_added_id(&from->source->vocabulary, tokens, tokens->start),
                             vocabulary_size, name, error));
    if (clipc_pieces_class_is_t5_like(class) || class == CLIPC_CLASS_SIGLIP)
        return tokens->end ? add_around(out, true, clipc_added_id(&from->source->vocabulary, tokens, tokens->end),
                                        vocabulary_size, name, error)
                           : CLIPC_OK;
    return clipc_json_is_nothing(post) ? CLIPC_OK : read_template(post, name, vocabulary_size, out, error);
}

static void collect_padding(const clipc_pieces_source *from, clipc_pieces_class class,
                            const clipc_special_tokens *tokens, clipc_pieces_header *header)
{
    const json_t *padding = json_object_get(from->source->root, "padding");
    const json_t *side = json_object_get(from->config, "padding_side");
    const char *pad = tokens->pad ? tokens->pad : json_string_value(json_object_get(padding, "pad_token"));
    bool left = class == CLIPC_CLASS_GEMMA || class == CLIPC_CLASS_SIGLIP2;
    if (json_is_string(side))
        left = clipc_json_is_text(side, "left");
    else if (json_is_object(padding))
        left = clipc_json_is_text(json_object_get(padding, "direction"), "Left");
    set_flag(header, CLIPC_PIECES_PAD_LEFT, left);
    set_flag(header, CLIPC_PIECES_PADS, true);
    if (pad)
        header->pad_token = clipc_added_id(&from->source->vocabulary, tokens, pad);
}

/* Where nothing names the class of a file of SentencePiece, its model tells: SigLIP's are unigram models, SigLIP 2's
 * byte pairs. */
static clipc_pieces_class class_of(const clipc_pieces_source *from)
{
    const clipc_pieces_class class = clipc_pieces_classify(from->source->root, from->config, from->files->model_type);
    const clipc_sentencepiece *model = from->source->sentencepiece;
    const bool named = json_is_string(json_object_get(from->config, "tokenizer_class"));
    if (!model || named || (class != CLIPC_CLASS_NONE && class != CLIPC_CLASS_BACKEND))
        return class;
    return model->unigram ? CLIPC_CLASS_SIGLIP : CLIPC_CLASS_GEMMA;
}

/* What such a file may say that is not followed here. */
static clipc_status check_sentencepiece(const clipc_token_source *source, clipc_pieces_class class, clipc_error *error)
{
    const clipc_sentencepiece *model = source->sentencepiece;
    const bool siglip = class == CLIPC_CLASS_SIGLIP;
    CLIPC_FAIL_IF(
        !siglip && class != CLIPC_CLASS_GEMMA && class != CLIPC_CLASS_SIGLIP2, error, CLIPC_ERROR_UNSUPPORTED,
        "%s: is read for SiglipTokenizer, Siglip2Tokenizer and GemmaTokenizer; another tokenizer_class needs "
        "tokenizer.json",
        source->name);
    CLIPC_FAIL_IF(siglip != model->unigram, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: is a model of %s, which is not the one of the tokenizer_class", source->name,
                  model->unigram ? "unigrams" : "byte pairs");
    CLIPC_FAIL_IF(siglip && (model->space_is_suffix || !model->strips), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: %s, which clipc does not follow", source->name,
                  model->space_is_suffix ? "treats white space as a suffix" : "keeps spaces at the ends of texts");
    for (size_t i = 0; siglip && i < source->vocabulary.count; i++)
        CLIPC_FAIL_IF(model->types[i] == CLIPC_PIECE_USER_DEFINED, error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: piece %zu is user-defined, which clipc does not follow in a unigram model", source->name,
                      i);
    return CLIPC_OK;
}

clipc_status clipc_pieces_collect(const clipc_pieces_source *from, size_t vocabulary_size,
                                  clipc_special_tokens *tokens, clipc_packed_parts *parts, clipc_pieces_parts *pieces,
                                  clipc_error *error)
{
    clipc_token_source *source = from->source;
    const char *config_name = from->files->tokenizer_config.name;
    const clipc_pieces_class class = class_of(from);
    CLIPC_FAIL_IF(!source->is_tokenizer_json, error, CLIPC_ERROR_UNSUPPORTED,
                  "a tokenizer of this kind is read from tokenizer.json, which is missing");
    const json_t *model = json_object_get(source->root, "model");
    const bool unigram = clipc_json_is_type(model, "Unigram");
    CLIPC_FAIL_IF(!unigram && !clipc_json_is_type(model, "BPE"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the model is neither Unigram nor BPE", source->name);
    CLIPC_FAIL_IF((clipc_pieces_class_is_t5_like(class) && !unigram) ||
                      ((class == CLIPC_CLASS_GEMMA || class == CLIPC_CLASS_SIGLIP2) && unigram),
                  error, CLIPC_ERROR_UNSUPPORTED, "%s: the model is not the one that %s's tokenizer_class has",
                  source->name, config_name ? config_name : "tokenizer_config.json");
    clipc_pieces_header *header = &pieces->header;
    header->unknown_token = header->pad_token = CLIPC_NO_TOKEN;
    parts->max_length = class == CLIPC_CLASS_SIGLIP ? SIGLIP_CONTEXT : UINT64_MAX;
    if (from->config) {
        CLIPC_TRY(check_config(from->config, config_name, class, error));
        if (json_object_get(from->config, "model_max_length"))
            CLIPC_TRY(clipc_tokenizer_config_max_length(from->config, config_name, &parts->max_length, error));
    }
    const bool lower_case = clipc_json_is_flag(from->config, "do_lower_case", true, true);
    const bool sentences = source->sentencepiece && class == CLIPC_CLASS_SIGLIP;
    if (source->sentencepiece)
        CLIPC_TRY(check_sentencepiece(source, class, error));
    if (!sentences)
        CLIPC_TRY(clipc_pieces_pipeline(source->root, source->name, class, from->files->cleaning, lower_case, pieces,
                                        error));
    CLIPC_TRY(clipc_token_source_vocabulary(source, vocabulary_size, error));
    CLIPC_TRY(clipc_special_tokens_read(from->config, config_name, from->map, from->files->special_tokens_map.name,
                                        source->root, source->name, &named_by_class[class], tokens, error));
    if (sentences)
        CLIPC_TRY(clipc_pieces_sentence_pipeline(source->sentencepiece, source->name, from->files->cleaning,
                                                 lower_case, tokens->unknown ? tokens->unknown : "", pieces, error));
    CLIPC_TRY(collect_added(&source->vocabulary, tokens, source->name, vocabulary_size, parts, pieces, error));
    find_byte_tokens(&source->vocabulary, parts);
    CLIPC_TRY(unigram ? collect_unigram(model, class, source, parts, pieces, error)
                      : collect_byte_pairs(model, class, tokens->unknown, source, parts, pieces, error));
    CLIPC_TRY(collect_around(from, class, vocabulary_size, tokens, pieces, error));
    collect_padding(from, class, tokens, header);
    return CLIPC_OK;
}

void clipc_pieces_parts_free(clipc_pieces_parts *pieces)
{
    clipc_free(pieces->charsmap);
    clipc_free(pieces->pieces);
}
