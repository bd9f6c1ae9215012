/* What tokenizer.json says of normalizing and splitting, as steps and flags; and what classes of transformers put in
 * its place. Whatever is not understood is refused in words. */
#include "base/memory.h"
#include "text/json_values.h"
#include "text/sentencepiece.h"
#include "text/unicode.h"

#define PUNCTUATION "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" /* Python's string.punctuation */

typedef struct pipeline {
    const char *name;
    clipc_pieces_parts *out;
} pipeline;

static clipc_status add_text(const pipeline *to, const char *text, size_t length, uint32_t *place, uint32_t *count,
                             clipc_error *error)
{
    clipc_pieces_parts *out = to->out;
    CLIPC_FAIL_IF(length > sizeof out->steps_text - out->steps_text_size, error, CLIPC_ERROR_LIMIT,
                  "%s: the texts of its normalizer are too long", to->name);
    memcpy(out->steps_text + out->steps_text_size, text, length);
    *place = (uint32_t)out->steps_text_size;
    *count = (uint32_t)length;
    out->steps_text_size += length;
    return CLIPC_OK;
}

static clipc_status add_step(const pipeline *to, clipc_step step, clipc_error *error)
{
    clipc_pieces_header *header = &to->out->header;
    const size_t count = (size_t)header->cleaning_count + header->normalizer_count;
    CLIPC_FAIL_IF(count == CLIPC_MAX_PIECE_STEPS, error, CLIPC_ERROR_LIMIT, "%s: the normalizer has too many steps",
                  to->name);
    to->out->steps[count] = step;
    header->normalizer_count++;
    return CLIPC_OK;
}

static void add_to_set(clipc_step *step, uint8_t character)
{
    step->set[character / 32] |= (uint32_t)1 << (character % 32);
}

/* ---- the regular expressions that are in use: one character or class, then nothing, + or {n,} ---- */

/* One character of the pattern, perhaps behind a backslash; -1: not understood. `space`: it was \s. */
static int read_character(const char **at, bool *space)
{
    *space = false;
    if (**at == '\\') {
        ++*at;
        if (**at == 's') {
            *space = true;
            ++*at;
            return 0;
        }
        if ((**at >= '0' && **at <= '9') || (**at >= 'a' && **at <= 'z') || (**at >= 'A' && **at <= 'Z'))
            return -1;
    }
    const uint8_t byte = (uint8_t) * *at;
    if (byte == 0 || byte >= 0x80)
        return -1;
    ++*at;
    return byte;
}

static bool read_class(const char **at, clipc_step *step)
{
    if (**at == '^')
        return false;
    while (**at && **at != ']') {
        bool space = false;
        /* "[" or "&&" would begin what Oniguruma reads as a set of its own. */
        if (**at == '[' || ((*at)[0] == '&' && (*at)[1] == '&'))
            return false;
        const int first = read_character(at, &space);
        if (first < 0)
            return false;
        if (space) {
            step->flags |= CLIPC_SET_SPACE;
            continue;
        }
        int last = first;
        if ((*at)[0] == '-' && (*at)[1] != ']' && (*at)[1]) {
            ++*at;
            last = read_character(at, &space);
            if (last < first || space)
                return false;
        }
        for (int character = first; character <= last; character++)
            add_to_set(step, (uint8_t)character);
    }
    if (**at != ']')
        return false;
    ++*at;
    return true;
}

static bool read_pattern(const char *at, clipc_step *step)
{
    *step = (clipc_step){.kind = CLIPC_STEP_REPLACE_RUN, .shortest = 1, .single = 1};
    if (*at == '[') {
        at++;
        if (!read_class(&at, step))
            return false;
    } else {
        bool space = false;
        if (*at && strchr(".^$|?*+(){", *at))
            return false;
        const int character = read_character(&at, &space);
        if (character < 0)
            return false;
        if (space)
            step->flags |= CLIPC_SET_SPACE;
        else
            add_to_set(step, (uint8_t)character);
    }
    if (*at == '\0')
        return true;
    step->single = 0;
    if (strcmp(at, "+") == 0)
        return true;
    char *end = NULL;
    if (at[0] != '{' || at[1] < '1' || at[1] > '9')
        return false;
    step->shortest = (uint32_t)strtoul(at + 1, &end, 10);
    return step->shortest < 1000 && strcmp(end, ",}") == 0;
}

/* ---- normalizers ---- */

static clipc_status add_replace(const pipeline *to, const json_t *replace, clipc_error *error)
{
    const json_t *pattern = json_object_get(replace, "pattern");
    const json_t *text = json_object_get(pattern, "String");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *content = json_object_get(replace, "content");
    clipc_step step = {.kind = CLIPC_STEP_REPLACE_TEXT};
    CLIPC_FAIL_IF(!json_is_string(content) || (!json_is_string(text) && !json_is_string(regex)), error,
                  CLIPC_ERROR_FORMAT, "%s: a Replace of the normalizer lacks its pattern or content", to->name);
    if (json_is_string(regex))
        CLIPC_FAIL_IF(
            !read_pattern(json_string_value(regex), &step), error, CLIPC_ERROR_UNSUPPORTED,
            "%s: the normalizer's pattern \"%s\" is not one that clipc knows (a character or class of ASCII, "
            "then nothing, + or {n,})",
            to->name, json_string_value(regex));
    else
        CLIPC_TRY(
            add_text(to, json_string_value(text), json_string_length(text), &step.find, &step.find_length, error));
    CLIPC_FAIL_IF(json_is_string(text) && step.find_length == 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the normalizer replaces an empty text", to->name);
    CLIPC_TRY(add_text(to, json_string_value(content), json_string_length(content), &step.content,
                       &step.content_length, error));
    return add_step(to, step, error);
}

static int base64_value(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

/* *count is SIZE_MAX when the text is no base64. */
static clipc_status decode_base64(const char *text, size_t length, uint8_t **out, size_t *count, clipc_error *error)
{
    while (length > 0 && text[length - 1] == '=')
        length--;
    uint8_t *bytes = clipc_allocate(length / 4 * 3 + 3, 1);
    if (!bytes)
        return clipc_fail_memory(error, length, "a precompiled_charsmap");
    uint32_t bits = 0;
    *count = 0;
    for (size_t i = 0; i < length; i++) {
        const int value = base64_value(text[i]);
        if (value < 0) {
            clipc_free(bytes);
            *count = SIZE_MAX;
            return CLIPC_OK;
        }
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        if (i % 4)
            bytes[(*count)++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *out = bytes;
    return CLIPC_OK;
}

static clipc_status add_charsmap(const pipeline *to, const json_t *precompiled, clipc_error *error)
{
    const json_t *text = json_object_get(precompiled, "precompiled_charsmap");
    clipc_charsmap map;
    size_t count = SIZE_MAX;
    CLIPC_FAIL_IF(to->out->charsmap, error, CLIPC_ERROR_UNSUPPORTED, "%s: the normalizer has two charsmaps", to->name);
    if (json_is_string(text))
        CLIPC_TRY(decode_base64(json_string_value(text), json_string_length(text), &to->out->charsmap, &count, error));
    CLIPC_FAIL_IF(count == SIZE_MAX || !clipc_charsmap_open(to->out->charsmap, count, &map), error, CLIPC_ERROR_FORMAT,
                  "%s: the normalizer's precompiled_charsmap is damaged", to->name);
    to->out->charsmap_size = count;
    return add_step(to, (clipc_step){.kind = CLIPC_STEP_CHARSMAP}, error);
}

static clipc_status add_normalizer(const pipeline *to, const json_t *step, clipc_error *error)
{
    if (clipc_json_is_type(step, "Lowercase"))
        return add_step(to, (clipc_step){.kind = CLIPC_STEP_LOWER}, error);
    if (clipc_json_is_type(step, "Replace"))
        return add_replace(to, step, error);
    if (clipc_json_is_type(step, "Precompiled"))
        return add_charsmap(to, step, error);
    const char *type = json_string_value(json_object_get(step, "type"));
    CLIPC_FAIL_IF(!clipc_json_is_type(step, "Strip"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the normalizer \"%s\" is not one of Lowercase, Strip, Replace, Precompiled and Sequence",
                  to->name, type ? type : "?");
    clipc_step strip = {.kind = CLIPC_STEP_STRIP, .flags = CLIPC_SET_SPACE};
    if (clipc_json_is_flag(step, "strip_left", true, false))
        strip.flags |= CLIPC_STRIP_LEFT;
    if (clipc_json_is_flag(step, "strip_right", true, false))
        strip.flags |= CLIPC_STRIP_RIGHT;
    return add_step(to, strip, error);
}

/* Sequences of sequences are flattened by the caller's one level; deeper ones are not in use. */
static clipc_status add_normalizers(const pipeline *to, const json_t *normalizer, clipc_error *error)
{
    size_t index = 0;
    json_t *step = NULL;
    if (clipc_json_is_nothing(normalizer))
        return CLIPC_OK;
    if (!clipc_json_is_type(normalizer, "Sequence"))
        return add_normalizer(to, normalizer, error);
    json_array_foreach(json_object_get(normalizer, "normalizers"), index, step)
        CLIPC_TRY(add_normalizer(to, step, error));
    return CLIPC_OK;
}

/* Only the charsmap, which T5Tokenizer and XLMRobertaTokenizer take from the first Precompiled. */
static clipc_status add_first_charsmap(const pipeline *to, const json_t *normalizer, clipc_error *error)
{
    size_t index = 0;
    json_t *step = NULL;
    if (clipc_json_is_type(normalizer, "Precompiled"))
        return add_charsmap(to, normalizer, error);
    json_array_foreach(json_object_get(normalizer, "normalizers"), index,
                       step) if (clipc_json_is_type(step, "Precompiled")) return add_charsmap(to, step, error);
    return CLIPC_OK;
}

/* ---- cleaning in Python ---- */

static const char *const cleaning_names[] = {NULL, "whitespace", "lower", "canonicalize"};

const char *clipc_text_cleaning_name(clipc_text_cleaning cleaning)
{
    return cleaning_names[cleaning];
}

bool clipc_text_cleaning_parse(const char *name, clipc_text_cleaning *out)
{
    for (size_t i = 1; i < sizeof cleaning_names / sizeof cleaning_names[0]; i++) {
        if (strcmp(cleaning_names[i], name) == 0) {
            *out = (clipc_text_cleaning)i;
            return true;
        }
    }
    return false;
}

static clipc_status add_replace_run(const pipeline *to, const char *characters, uint32_t flags, bool single,
                                    const char *content, clipc_error *error)
{
    clipc_step step = {.kind = CLIPC_STEP_REPLACE_RUN, .flags = flags, .shortest = 1, .single = single};
    for (; *characters; characters++)
        add_to_set(&step, (uint8_t)*characters);
    CLIPC_TRY(add_text(to, content, strlen(content), &step.content, &step.content_length, error));
    return add_step(to, step, error);
}

/* re.sub(r"\s+", " ", text).strip(), and " ".join(text.split()). */
static clipc_status add_collapse(const pipeline *to, clipc_error *error)
{
    const uint32_t space = CLIPC_SET_SPACE | CLIPC_SET_PYTHON_CONTROL;
    CLIPC_TRY(add_replace_run(to, "", space, false, " ", error));
    return add_step(to, (clipc_step){.kind = CLIPC_STEP_STRIP, .flags = space | CLIPC_STRIP_LEFT | CLIPC_STRIP_RIGHT},
                    error);
}

/* open_clip/tokenizer.py: whitespace_clean, canonicalize_text. */
static clipc_status add_cleaning(const pipeline *to, clipc_text_cleaning cleaning, clipc_error *error)
{
    if (cleaning == CLIPC_CLEAN_CANONICALIZE) {
        CLIPC_TRY(add_replace_run(to, "_", 0, true, " ", error));
        CLIPC_TRY(add_replace_run(to, PUNCTUATION, 0, true, "", error));
    }
    if (cleaning == CLIPC_CLEAN_CANONICALIZE || cleaning == CLIPC_CLEAN_LOWER)
        CLIPC_TRY(add_step(to, (clipc_step){.kind = CLIPC_STEP_PYTHON_LOWER}, error));
    if (cleaning != CLIPC_CLEAN_NOTHING)
        CLIPC_TRY(add_collapse(to, error));
    to->out->header.cleaning_count = to->out->header.normalizer_count;
    to->out->header.normalizer_count = 0;
    return CLIPC_OK;
}

/* SiglipTokenizer.canonicalize_text (transformers/models/siglip/tokenization_siglip.py). */
static clipc_status add_siglip_cleaning(const pipeline *to, bool lower_case, clipc_error *error)
{
    if (lower_case)
        CLIPC_TRY(add_step(to, (clipc_step){.kind = CLIPC_STEP_PYTHON_LOWER}, error));
    CLIPC_TRY(add_replace_run(to, PUNCTUATION, 0, true, "", error));
    return add_collapse(to, error);
}

/* SiglipTokenizer: a mark before the text, and none within it; then, of each part between special tokens, the
 * cleaning, and SentencePiece's own steps behind the unknown token's text, whose pieces are taken away again. */
clipc_status clipc_pieces_sentence_pipeline(const clipc_sentencepiece *from, const char *name,
                                            clipc_text_cleaning cleaning, bool lower_case, const char *unknown,
                                            clipc_pieces_parts *out, clipc_error *error)
{
    const pipeline to = {name, out};
    clipc_step step = {.kind = CLIPC_STEP_REPLACE_TEXT};
    clipc_charsmap map;
    CLIPC_TRY(add_cleaning(&to, cleaning, error));
    out->header.normalizer_count = out->header.cleaning_count;
    out->header.cleaning_count = 0;
    CLIPC_TRY(add_text(&to, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES, &step.find, &step.find_length, error));
    CLIPC_TRY(add_text(&to, " ", 1, &step.content, &step.content_length, error));
    CLIPC_TRY(add_step(&to, step, error));
    step = (clipc_step){.kind = CLIPC_STEP_PREFIX};
    CLIPC_TRY(add_text(&to, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES, &step.content, &step.content_length, error));
    CLIPC_TRY(add_step(&to, step, error));
    out->header.cleaning_count = out->header.normalizer_count;
    out->header.normalizer_count = 0;
    CLIPC_TRY(add_siglip_cleaning(&to, lower_case, error));
    CLIPC_TRY(add_text(&to, unknown, strlen(unknown), &step.content, &step.content_length, error));
    CLIPC_TRY(add_step(&to, step, error));
    if (from->charsmap_size > 0) {
        CLIPC_FAIL_IF(!clipc_charsmap_open(from->charsmap, from->charsmap_size, &map), error, CLIPC_ERROR_FORMAT,
                      "%s: its charsmap is damaged", name);
        out->charsmap = clipc_allocate(from->charsmap_size, 1);
        if (!out->charsmap)
            return clipc_fail_memory(error, from->charsmap_size, "a charsmap");
        memcpy(out->charsmap, from->charsmap, from->charsmap_size);
        out->charsmap_size = from->charsmap_size;
    }
    out->header.flags |= CLIPC_PIECES_SENTENCE;
    return add_step(&to,
                    (clipc_step){.kind = CLIPC_STEP_SENTENCE,
                                 .flags = (from->dummy_prefix ? CLIPC_SENTENCE_PREFIX : 0) |
                                          (from->strips ? CLIPC_SENTENCE_STRIPS : 0) |
                                          (from->escapes ? CLIPC_SENTENCE_ESCAPES : 0)},
                    error);
}

/* ---- splitting ---- */

static clipc_status add_metaspace(const pipeline *to, const json_t *metaspace, clipc_error *error)
{
    clipc_pieces_header *header = &to->out->header;
    const json_t *scheme = json_object_get(metaspace, "prepend_scheme");
    CLIPC_FAIL_IF(!clipc_json_is_text(json_object_get(metaspace, "replacement"), CLIPC_SPACE_MARK), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: Metaspace's replacement is not U+2581", to->name);
    header->prepend = CLIPC_PREPEND_ALWAYS;
    if (clipc_json_is_text(scheme, "never") || clipc_json_is_flag(metaspace, "add_prefix_space", false, true))
        header->prepend = CLIPC_PREPEND_NEVER;
    else if (clipc_json_is_text(scheme, "first"))
        header->prepend = CLIPC_PREPEND_FIRST;
    else
        CLIPC_FAIL_IF(!clipc_json_is_nothing(scheme) && !clipc_json_is_text(scheme, "always"), error,
                      CLIPC_ERROR_FORMAT, "%s: Metaspace has an unknown prepend_scheme", to->name);
    header->flags |= CLIPC_PIECES_METASPACE;
    if (clipc_json_is_flag(metaspace, "split", true, true))
        header->flags |= CLIPC_PIECES_SPLIT_MARKS;
    return CLIPC_OK;
}

static clipc_status add_splitting(const pipeline *to, const json_t *step, clipc_error *error)
{
    uint32_t *flags = &to->out->header.flags;
    const uint32_t before = *flags;
    if (clipc_json_is_type(step, "Metaspace") && !(before & CLIPC_PIECES_METASPACE))
        return add_metaspace(to, step, error);
    if (clipc_json_is_type(step, "WhitespaceSplit") && before == 0) {
        *flags |= CLIPC_PIECES_SPLIT_SPACE;
        return CLIPC_OK;
    }
    const bool is_space_split = clipc_json_is_type(step, "Split") &&
                                clipc_json_is_text(json_object_get(json_object_get(step, "pattern"), "String"), " ") &&
                                clipc_json_is_text(json_object_get(step, "behavior"), "MergedWithPrevious") &&
                                clipc_json_is_flag(step, "invert", false, false);
    const char *type = json_string_value(json_object_get(step, "type"));
    CLIPC_FAIL_IF(
        !is_space_split || before != 0, error, CLIPC_ERROR_UNSUPPORTED,
        "%s: the pre_tokenizer \"%s\" is not Metaspace, WhitespaceSplit or a Split at spaces, or stands where "
        "clipc does not know it",
        to->name, type ? type : "?");
    *flags |= CLIPC_PIECES_SPLIT_AFTER;
    return CLIPC_OK;
}

static clipc_status add_pre_tokenizer(const pipeline *to, const json_t *splitting, clipc_error *error)
{
    size_t index = 0;
    json_t *step = NULL;
    if (clipc_json_is_nothing(splitting))
        return CLIPC_OK;
    if (!clipc_json_is_type(splitting, "Sequence"))
        return add_splitting(to, splitting, error);
    json_array_foreach(json_object_get(splitting, "pretokenizers"), index, step)
        CLIPC_TRY(add_splitting(to, step, error));
    return CLIPC_OK;
}

/* GemmaTokenizer and Siglip2Tokenizer put their own pipeline in the place of the file's. */
static clipc_status add_gemma(const pipeline *to, bool lower_case, clipc_error *error)
{
    if (lower_case)
        CLIPC_TRY(add_step(to, (clipc_step){.kind = CLIPC_STEP_LOWER}, error));
    to->out->header.flags |= CLIPC_PIECES_SPLIT_AFTER;
    return add_replace_run(to, " ", 0, true, CLIPC_SPACE_MARK, error);
}

static clipc_status add_t5(const pipeline *to, const json_t *tokenizer, clipc_error *error)
{
    to->out->header.flags |= CLIPC_PIECES_SPLIT_SPACE | CLIPC_PIECES_METASPACE | CLIPC_PIECES_SPLIT_MARKS;
    to->out->header.prepend = CLIPC_PREPEND_ALWAYS;
    return add_first_charsmap(to, json_object_get(tokenizer, "normalizer"), error);
}

clipc_status clipc_pieces_pipeline(const json_t *tokenizer, const char *name, clipc_pieces_class class,
                                   clipc_text_cleaning cleaning, bool lower_case, clipc_pieces_parts *out,
                                   clipc_error *error)
{
    const pipeline to = {name, out};
    CLIPC_TRY(add_cleaning(&to, cleaning, error));
    switch (class) {
    case CLIPC_CLASS_SIGLIP2: return add_gemma(&to, true, error);
    case CLIPC_CLASS_GEMMA: return add_gemma(&to, false, error);
    case CLIPC_CLASS_T5:
    case CLIPC_CLASS_XLM_ROBERTA: return add_t5(&to, tokenizer, error);
    case CLIPC_CLASS_SIGLIP: CLIPC_TRY(add_siglip_cleaning(&to, lower_case, error)); break;
    case CLIPC_CLASS_NONE:
    case CLIPC_CLASS_BACKEND: break;
    }
    CLIPC_TRY(add_normalizers(&to, json_object_get(tokenizer, "normalizer"), error));
    return add_pre_tokenizer(&to, json_object_get(tokenizer, "pre_tokenizer"), error);
}
