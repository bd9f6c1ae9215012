#include "model/open_clip_config.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

/* One object of the file. */
typedef struct section {
    const char *file;
    const char *name;
    const json_t *object; /* NULL: every value takes its default */
} section;

/* The value of a key; NULL when it is absent or null. */
static const json_t *value_of(const section *at, const char *key)
{
    const json_t *value = json_object_get(at->object, key);
    return json_is_null(value) ? NULL : value;
}

static clipc_status fail_kind(const section *at, const char *key, const char *wanted, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: %s.%s is %s, must be %s", at->file, at->name, key,
                      clipc_json_kind(value_of(at, key)), wanted);
}

static clipc_status read_size(const section *at, const char *key, size_t absent, size_t limit, size_t *out,
                              clipc_error *error)
{
    *out = absent;
    const json_t *value = value_of(at, key);
    if (!value)
        return CLIPC_OK;
    if (!json_is_integer(value))
        return fail_kind(at, key, "a whole number", error);
    CLIPC_FAIL_IF(json_integer_value(value) < 1 || json_integer_value(value) > (json_int_t)limit, error,
                  CLIPC_ERROR_FORMAT, "%s: %s.%s is %lld, must be 1 to %zu", at->file, at->name, key,
                  (long long)json_integer_value(value), limit);
    *out = (size_t)json_integer_value(value);
    return CLIPC_OK;
}

/* A number of pixels, or a pair of equal ones. */
static clipc_status read_square(const section *at, const char *key, size_t absent, size_t *out, clipc_error *error)
{
    const json_t *value = value_of(at, key);
    if (!json_is_array(value))
        return read_size(at, key, absent, CLIPC_MAX_WIDTH, out, error);
    const json_t *height = json_array_get(value, 0);
    const json_t *width = json_array_get(value, 1);
    CLIPC_FAIL_IF(json_array_size(value) != 2 || !json_is_integer(height) || !json_equal(height, width), error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: %s.%s is no square, clipc prepares square images", at->file, at->name,
                  key);
    const json_int_t side = json_integer_value(height);
    CLIPC_FAIL_IF(side < 1 || side > (json_int_t)CLIPC_MAX_WIDTH, error, CLIPC_ERROR_FORMAT,
                  "%s: %s.%s is %lld, must be 1 to %zu", at->file, at->name, key, (long long)side, CLIPC_MAX_WIDTH);
    *out = (size_t)side;
    return CLIPC_OK;
}

static clipc_status read_flag(const section *at, const char *key, bool *out, clipc_error *error)
{
    const json_t *value = value_of(at, key);
    if (value && !json_is_boolean(value))
        return fail_kind(at, key, "true or false", error);
    *out = json_is_true(value);
    return CLIPC_OK;
}

/* *out becomes `absent` when the key is. */
static clipc_status read_word(const section *at, const char *key, const char *absent, const char **out,
                              clipc_error *error)
{
    const json_t *value = value_of(at, key);
    if (value && !json_is_string(value))
        return fail_kind(at, key, "a string", error);
    *out = value ? json_string_value(value) : absent;
    return CLIPC_OK;
}

static bool is_among(const char *const *words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

/* Every key may change what a model computes: one that is in neither list is refused, unless it says no. `read` are
 * those that clipc follows, `idle` those that count in training alone, or whose effect is in the tensors. Both end
 * with NULL. */
static clipc_status check_keys(const section *at, const char *const *read, const char *const *idle, clipc_error *error)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)at->object, key, value)
    {
        if (json_is_null(value) || json_is_false(value) || is_among(read, key) || is_among(idle, key))
            continue;
        return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: %s.%s is set, which clipc does not know or cannot run",
                          at->file, at->name, key);
    }
    return CLIPC_OK;
}

static clipc_status find_section(const section *parent, const char *key, const char *name, section *out,
                                 clipc_error *error)
{
    const json_t *value = value_of(parent, key);
    *out = (section){.file = parent->file, .name = name, .object = value};
    CLIPC_FAIL_IF(value && !json_is_object(value), error, CLIPC_ERROR_FORMAT, "%s: %s is %s, must be an object",
                  parent->file, name, clipc_json_kind(value));
    return CLIPC_OK;
}

/* ---- towers ---- */

/* open_clip: QuickGELU where the config says quick_gelu, else torch's GELU, which act_kwargs may make the tanh one. */
static clipc_status read_activation(const section *tower, const char *name, bool quick, clipc_activation *out,
                                    clipc_error *error)
{
    section arguments;
    const char *approximate = NULL;
    static const char *const known[] = {"approximate", NULL};
    CLIPC_TRY(find_section(tower, "act_kwargs", name, &arguments, error));
    CLIPC_TRY(check_keys(&arguments, known, known, error));
    CLIPC_TRY(read_word(&arguments, "approximate", "none", &approximate, error));
    CLIPC_FAIL_IF(strcmp(approximate, "none") != 0 && strcmp(approximate, "tanh") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: %s.approximate is '%s', clipc knows 'none' and 'tanh'", tower->file, name, approximate);
    CLIPC_FAIL_IF(quick && value_of(&arguments, "approximate"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: %s.approximate is set beside quick_gelu, which has no such argument", tower->file, name);
    *out = quick                              ? CLIPC_ACTIVATION_QUICK_GELU
           : strcmp(approximate, "tanh") == 0 ? CLIPC_ACTIVATION_GELU_TANH
                                              : CLIPC_ACTIVATION_GELU;
    return CLIPC_OK;
}

static clipc_status read_epsilon(const section *tower, const char *name, float *out, clipc_error *error)
{
    section arguments;
    static const char *const known[] = {"eps", NULL};
    CLIPC_TRY(find_section(tower, "norm_kwargs", name, &arguments, error));
    CLIPC_TRY(check_keys(&arguments, known, known, error));
    const json_t *value = value_of(&arguments, "eps");
    if (value && !json_is_number(value))
        return fail_kind(&arguments, "eps", "a number", error);
    const double number = value ? json_number_value(value) : 1e-5;
    CLIPC_FAIL_IF(!(number >= 1e-30 && number <= 1.0), error, CLIPC_ERROR_FORMAT,
                  "%s: %s.eps is %g, must be above 0 and at most 1", tower->file, name, number);
    *out = (float)number;
    return CLIPC_OK;
}

/* Stages as a list make a ModifiedResNet; its attention pooling has 32 times the width. */
static clipc_status read_resnet(const section *at, const json_t *depths, clipc_open_clip_config *out,
                                clipc_error *error)
{
    size_t head_width = 0;
    CLIPC_FAIL_IF(json_array_size(depths) != 4, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: vision_cfg.layers has %zu stages, clipc knows ResNets of four", at->file,
                  json_array_size(depths));
    for (size_t stage = 0; stage < 4; stage++) {
        const json_t *depth = json_array_get(depths, stage);
        CLIPC_FAIL_IF(!json_is_integer(depth) || json_integer_value(depth) < 1 ||
                          json_integer_value(depth) > (json_int_t)CLIPC_MAX_LAYERS,
                      error, CLIPC_ERROR_FORMAT, "%s: vision_cfg.layers must be numbers from 1 to %zu", at->file,
                      CLIPC_MAX_LAYERS);
        out->resnet.depths[stage] = (size_t)json_integer_value(depth);
    }
    CLIPC_TRY(read_size(at, "width", 768, CLIPC_MAX_WIDTH / 32, &out->resnet.width, error));
    CLIPC_TRY(read_size(at, "head_width", 64, CLIPC_MAX_WIDTH, &head_width, error));
    out->image.heads = 32 * out->resnet.width / head_width;
    return CLIPC_OK;
}

/* timm 1.0.31's vision transformers that clipc runs, told by how their names begin; the first that fits counts. MLPs,
 * positions and sizes are as their tensors say. */
typedef struct timm_tower {
    const char *beginning;
    size_t heads;
    clipc_activation activation;
    enum timm_kind { TIMM_SIGLIP, TIMM_CLIP, TIMM_EVA } kind;
} timm_tower;

static const timm_tower timm_towers[] = {
    {"vit_base_patch32_siglip_256", 12, CLIPC_ACTIVATION_GELU_TANH, TIMM_SIGLIP},
    {"vit_base_patch16_siglip_", 12, CLIPC_ACTIVATION_GELU, TIMM_SIGLIP},
    {"vit_large_patch16_siglip_512", 16, CLIPC_ACTIVATION_GELU_TANH, TIMM_SIGLIP},
    {"vit_large_patch16_siglip_", 16, CLIPC_ACTIVATION_GELU, TIMM_SIGLIP},
    {"vit_so400m_patch14_siglip_", 16, CLIPC_ACTIVATION_GELU, TIMM_SIGLIP},
    {"vit_so400m_patch16_siglip_", 16, CLIPC_ACTIVATION_GELU_TANH, TIMM_SIGLIP},
    {"vit_giantopt_patch16_siglip_", 16, CLIPC_ACTIVATION_GELU_TANH, TIMM_SIGLIP},
    {"vit_base_patch32_clip_quickgelu_", 12, CLIPC_ACTIVATION_QUICK_GELU, TIMM_CLIP},
    {"vit_base_patch32_clip_", 12, CLIPC_ACTIVATION_GELU, TIMM_CLIP},
    {"vit_base_patch16_clip_quickgelu_", 12, CLIPC_ACTIVATION_QUICK_GELU, TIMM_CLIP},
    {"vit_base_patch16_clip_", 12, CLIPC_ACTIVATION_GELU, TIMM_CLIP},
    {"vit_large_patch14_clip_quickgelu_", 16, CLIPC_ACTIVATION_QUICK_GELU, TIMM_CLIP},
    {"vit_large_patch14_clip_", 16, CLIPC_ACTIVATION_GELU, TIMM_CLIP},
    {"vit_huge_patch14_clip_quickgelu_", 16, CLIPC_ACTIVATION_QUICK_GELU, TIMM_CLIP},
    {"vit_huge_patch14_clip_", 16, CLIPC_ACTIVATION_GELU, TIMM_CLIP},
    {"eva_giant_patch14_", 16, CLIPC_ACTIVATION_GELU, TIMM_EVA},
};

static const timm_tower *find_timm(const char *name)
{
    for (size_t i = 0; i < sizeof timm_towers / sizeof timm_towers[0]; i++)
        if (strncmp(name, timm_towers[i].beginning, strlen(timm_towers[i].beginning)) == 0)
            return strstr(name, "_gap_") ? NULL : &timm_towers[i]; /* which pools otherwise */
    return NULL;
}

/* SigLIP's pooled row is the embedding; elsewhere timm's classifier, a layer with a bias, is the projection. */
static clipc_status read_timm(const section *at, const char *name, clipc_open_clip_config *out, clipc_error *error)
{
    static const char *const read[] = {"image_size", "timm_model_name", "timm_pool", "timm_proj", NULL};
    static const char *const idle[] = {"timm_model_pretrained", "timm_drop",     "timm_drop_path",
                                       "patch_dropout",         "output_tokens", NULL};
    const char *pooling = NULL;
    const char *projection = NULL;
    const timm_tower *tower = find_timm(name);
    CLIPC_TRY(check_keys(at, read, idle, error));
    CLIPC_TRY(read_word(at, "timm_pool", "avg", &pooling, error));
    const json_t *none = json_object_get(at->object, "timm_proj");
    if (none && json_is_null(none))
        projection = "";
    else
        CLIPC_TRY(read_word(at, "timm_proj", "linear", &projection, error));
    out->timm = true;
    const bool siglip = tower && tower->kind == TIMM_SIGLIP;
    const bool known = siglip ? strcmp(pooling, "map") == 0 && strcmp(projection, "none") == 0
                              : tower && strcmp(pooling, "token") == 0 && strcmp(projection, "") == 0;
    if (!known) {
        out->image.unknown = strncmp(name, "eva02_", 6) == 0
                                 ? "an image tower of timm's EVA-02"
                                 : "an image tower of timm that is not among those it runs";
        return CLIPC_OK;
    }
    out->image = (clipc_open_clip_tower){.heads = tower->heads,
                                         .activation = tower->activation,
                                         .layer_norm_epsilon = tower->kind == TIMM_CLIP ? 1e-5F : 1e-6F};
    out->class_token = !siglip;
    out->patch_bias = tower->kind != TIMM_CLIP;
    out->norm_pre = tower->kind == TIMM_CLIP;
    out->image_pooling = siglip ? CLIPC_IMAGE_POOL_ATTENTION : CLIPC_IMAGE_POOL_CLASS;
    out->image_projection = out->image_projection_bias = !siglip;
    return CLIPC_OK;
}

/* The first query of attentional pooling is the embedding's, the others serve captions. */
static clipc_status read_image_pooling(const section *at, clipc_open_clip_config *out, clipc_error *error)
{
    const char *pooling = NULL;
    bool attentional = false;
    bool norm_last = false;
    CLIPC_TRY(read_word(at, "pool_type", "tok", &pooling, error));
    const bool average = strcmp(pooling, "avg") == 0;
    CLIPC_FAIL_IF(!average && strcmp(pooling, "tok") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: vision_cfg.pool_type is '%s', clipc knows 'tok' and 'avg'", at->file, pooling);
    CLIPC_FAIL_IF(json_is_string(value_of(at, "attentional_pool")), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: vision_cfg.attentional_pool is '%s', which clipc cannot run", at->file,
                  json_string_value(value_of(at, "attentional_pool")));
    CLIPC_TRY(read_flag(at, "attentional_pool", &attentional, error));
    CLIPC_TRY(read_flag(at, "final_ln_after_pool", &norm_last, error));
    CLIPC_FAIL_IF(attentional && average, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: vision_cfg.pool_type is 'avg' beside attentional_pool, which clipc cannot run", at->file);
    CLIPC_TRY(read_size(at, "attn_pooler_heads", 8, CLIPC_MAX_WIDTH, &out->pooling_heads, error));
    if (!attentional)
        out->pooling_heads = 0;
    out->image_pooling = attentional ? CLIPC_IMAGE_POOL_QUERY
                         : !average  ? CLIPC_IMAGE_POOL_CLASS /* one row: the LayerNorm may come before or after */
                         : norm_last ? CLIPC_IMAGE_POOL_AVERAGE
                                     : CLIPC_IMAGE_POOL_NORMED_AVERAGE;
    return CLIPC_OK;
}

static clipc_status read_image(const section *at, bool quick, clipc_open_clip_config *out, clipc_error *error)
{
    static const char *const read[] = {
        "image_size",  "layers",    "width",     "head_width",          "patch_size",       "act_kwargs",
        "norm_kwargs", "pool_type", "no_ln_pre", "final_ln_after_pool", "attentional_pool", "attn_pooler_heads",
        NULL};
    static const char *const idle[] = {
        "mlp_ratio", "patch_dropout", "pos_embed_type",        "output_tokens", "attn_pooler_queries",
        "timm_pool", "timm_proj",     "timm_model_pretrained", "timm_drop",     "timm_drop_path",
        NULL};
    clipc_open_clip_tower *tower = &out->image;
    size_t head_width = 0;
    const char *timm = NULL;
    bool without = false;
    CLIPC_TRY(read_square(at, "image_size", 224, &out->image_size, error));
    CLIPC_TRY(read_word(at, "timm_model_name", NULL, &timm, error));
    if (timm)
        return read_timm(at, timm, out, error);
    CLIPC_TRY(check_keys(at, read, idle, error));
    out->class_token = out->image_projection = true;
    const json_t *layers = value_of(at, "layers");
    if (json_is_array(layers))
        return read_resnet(at, layers, out, error);
    CLIPC_TRY(read_size(at, "width", 768, CLIPC_MAX_WIDTH, &tower->width, error));
    CLIPC_TRY(read_size(at, "layers", 12, CLIPC_MAX_LAYERS, &tower->layers, error));
    CLIPC_TRY(read_size(at, "head_width", 64, CLIPC_MAX_WIDTH, &head_width, error));
    CLIPC_TRY(read_size(at, "patch_size", 16, CLIPC_MAX_WIDTH, &out->patch_size, error));
    tower->heads = tower->width / head_width;
    CLIPC_TRY(read_activation(at, "vision_cfg.act_kwargs", quick, &tower->activation, error));
    CLIPC_TRY(read_epsilon(at, "vision_cfg.norm_kwargs", &tower->layer_norm_epsilon, error));
    CLIPC_TRY(read_flag(at, "no_ln_pre", &without, error));
    out->norm_pre = !without;
    return read_image_pooling(at, out, error);
}

static clipc_status read_pooling(const section *at, clipc_open_clip_config *out, clipc_error *error)
{
    const char *pooling = NULL;
    size_t end_token = 0;
    CLIPC_TRY(read_word(at, "pool_type", "argmax", &pooling, error));
    const bool end = strcmp(pooling, "eos") == 0;
    const bool last = strcmp(pooling, "last") == 0;
    const bool first = strcmp(pooling, "first") == 0;
    CLIPC_FAIL_IF(!end && !last && !first && strcmp(pooling, "argmax") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: text_cfg.pool_type is '%s', clipc knows 'argmax', 'eos', 'last' and 'first'", at->file,
                  pooling);
    CLIPC_TRY(read_size(at, "eos_id", 2, INT32_MAX, &end_token, error));
    out->pooling = last    ? CLIPC_POOL_LAST
                   : first ? CLIPC_POOL_FIRST
                   : end   ? CLIPC_POOL_FIRST_EOT
                           : CLIPC_POOL_LARGEST_ID;
    if (out->text_class_token) /* whatever the pooling */
        out->pooling = CLIPC_POOL_LAST;
    out->eot_token = end ? (int32_t)end_token : 49407;
    return CLIPC_OK;
}

/* Id 0 is no size, so read_size does not read it. */
static clipc_status read_pad(const section *at, int32_t *out, clipc_error *error)
{
    const json_t *value = value_of(at, "pad_id");
    CLIPC_FAIL_IF(
        value && (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX),
        error, CLIPC_ERROR_FORMAT, "%s: text_cfg.pad_id is no token", at->file);
    *out = value ? (int32_t)json_integer_value(value) : 0;
    return CLIPC_OK;
}

/* CLIP's own tokenizer knows no choice but how texts are cleaned, which is done as transformers does it. */
static clipc_status check_clip_tokenizer(const section *at, clipc_error *error)
{
    static const char *const read[] = {"clean", NULL};
    section arguments;
    const char *clean = NULL;
    CLIPC_TRY(find_section(at, "tokenizer_kwargs", "text_cfg.tokenizer_kwargs", &arguments, error));
    CLIPC_TRY(check_keys(&arguments, read, read, error));
    CLIPC_TRY(read_word(&arguments, "clean", "lower", &clean, error));
    CLIPC_FAIL_IF(strcmp(clean, "lower") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: text_cfg.tokenizer_kwargs.clean is '%s', clipc's CLIP tokenizer knows 'lower'", at->file,
                  clean);
    return CLIPC_OK;
}

/* Of a tokenizer that is not CLIP's. */
static clipc_status read_cleaning(const section *at, clipc_open_clip_config *out, clipc_error *error)
{
    section arguments;
    const char *clean = NULL;
    static const char *const read[] = {"clean", "strip_sep_token", NULL};
    bool strips = false;
    CLIPC_TRY(find_section(at, "tokenizer_kwargs", "text_cfg.tokenizer_kwargs", &arguments, error));
    CLIPC_TRY(check_keys(&arguments, read, read, error));
    CLIPC_TRY(read_flag(&arguments, "strip_sep_token", &strips, error));
    if (strips)
        out->unknown_tokenizer = "a tokenizer whose separator is taken away (strip_sep_token)";
    CLIPC_TRY(read_word(&arguments, "clean", "whitespace", &clean, error));
    CLIPC_FAIL_IF(!clipc_text_cleaning_parse(clean, &out->cleaning), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: text_cfg.tokenizer_kwargs.clean is '%s', clipc knows 'whitespace', 'lower' and 'canonicalize'",
                  at->file, clean);
    return CLIPC_OK;
}

static clipc_status read_text(const section *at, bool quick, clipc_open_clip_config *out, clipc_error *error)
{
    static const char *const read[] = {
        "hf_model_name",  "hf_tokenizer_name", "tokenizer_kwargs", "width",       "layers",         "heads",
        "context_length", "vocab_size",        "act_kwargs",       "norm_kwargs", "no_causal_mask", "proj_bias",
        "proj_type",      "embed_cls",         "pad_id",           "eos_id",      "pool_type",      NULL};
    /* final_ln_after_pool: the pooled row is normalised by itself either way, and open_clip 3.3 does not read it. */
    static const char *const idle[] = {
        "mlp_ratio", "output_tokens", "final_ln_after_pool", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type",
        NULL};
    clipc_open_clip_tower *tower = &out->text;
    const char *tokenizer = NULL;
    const char *hugging_face = NULL;
    CLIPC_TRY(read_word(at, "hf_model_name", NULL, &hugging_face, error));
    CLIPC_TRY(read_word(at, "hf_tokenizer_name", NULL, &tokenizer, error));
    out->own_tokenizer = tokenizer != NULL;
    tower->unknown = hugging_face ? "a text tower of Hugging Face" : NULL;
    if (tower->unknown)
        return CLIPC_OK;
    CLIPC_TRY(check_keys(at, read, idle, error));
    if (tokenizer && strncmp(tokenizer, "bert-", 5) == 0)
        out->unknown_tokenizer = "BERT's tokenizer (WordPiece)";
    if (out->own_tokenizer)
        CLIPC_TRY(read_cleaning(at, out, error));
    else
        CLIPC_TRY(check_clip_tokenizer(at, error));
    CLIPC_TRY(read_size(at, "width", 512, CLIPC_MAX_WIDTH, &tower->width, error));
    CLIPC_TRY(read_size(at, "layers", 12, CLIPC_MAX_LAYERS, &tower->layers, error));
    CLIPC_TRY(read_size(at, "heads", 8, CLIPC_MAX_WIDTH, &tower->heads, error));
    CLIPC_TRY(read_size(at, "context_length", 77, CLIPC_MAX_TOKENS, &out->context_length, error));
    CLIPC_TRY(read_size(at, "vocab_size", 49408, CLIPC_MAX_VOCABULARY, &out->vocabulary_size, error));
    CLIPC_TRY(read_activation(at, "text_cfg.act_kwargs", quick, &tower->activation, error));
    CLIPC_TRY(read_epsilon(at, "text_cfg.norm_kwargs", &tower->layer_norm_epsilon, error));
    bool sees_all = false;
    CLIPC_TRY(read_flag(at, "no_causal_mask", &sees_all, error));
    out->causal = !sees_all;
    CLIPC_TRY(read_flag(at, "proj_bias", &out->text_projection_bias, error));
    const char *projection = NULL;
    CLIPC_TRY(read_word(at, "proj_type", "linear", &projection, error));
    CLIPC_FAIL_IF(strcmp(projection, "linear") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: text_cfg.proj_type is '%s', clipc knows 'linear'", at->file, projection);
    CLIPC_TRY(read_flag(at, "embed_cls", &out->text_class_token, error));
    CLIPC_TRY(read_pad(at, &out->pad_token, error));
    return read_pooling(at, out, error);
}

/* ---- preprocessing ---- */

static clipc_status read_channels(const section *at, const char *key, double out[3], clipc_error *error)
{
    const json_t *value = value_of(at, key);
    if (!value)
        return CLIPC_OK;
    for (size_t c = 0; c < 3; c++) {
        const json_t *number = json_is_array(value) ? json_array_get(value, c) : value;
        if (!json_is_number(number) || (json_is_array(value) && json_array_size(value) != 3))
            return fail_kind(at, key, "three numbers", error);
        out[c] = json_number_value(number);
        CLIPC_FAIL_IF(!isfinite((float)out[c]), error, CLIPC_ERROR_FORMAT, "%s: %s.%s is out of range", at->file,
                      at->name, key);
    }
    return CLIPC_OK;
}

/* open_clip's image_transform: torchvision's Resize and CenterCrop in the file's own mode, RGB last. */
static clipc_status read_rule(const section *at, size_t image_size, clipc_preprocess_rule *rule, clipc_error *error)
{
    const char *resize = NULL;
    const char *filter = NULL;
    size_t size = 0;
    CLIPC_TRY(read_square(at, "size", image_size, &size, error));
    CLIPC_TRY(read_word(at, "resize_mode", "shortest", &resize, error));
    CLIPC_TRY(read_word(at, "interpolation", "bicubic", &filter, error));
    CLIPC_FAIL_IF(strcmp(resize, "shortest") != 0 && strcmp(resize, "squash") != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: preprocess_cfg.resize_mode is '%s', clipc knows 'shortest' and 'squash'", at->file, resize);
    CLIPC_FAIL_IF(strcmp(filter, "bicubic") != 0 && strcmp(filter, "bilinear") != 0 && strcmp(filter, "random") != 0,
                  error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: preprocess_cfg.interpolation is '%s', clipc knows 'bicubic', 'bilinear' and 'random'", at->file,
                  filter);
    *rule = clipc_preprocess_rule_openai(size);
    rule->order = CLIPC_ORDER_TORCHVISION;
    rule->filter = strcmp(filter, "bilinear") == 0 ? CLIPC_FILTER_BILINEAR : CLIPC_FILTER_BICUBIC;
    if (strcmp(resize, "squash") == 0) {
        rule->resize = CLIPC_RESIZE_EXACT;
        rule->crop = false;
        rule->crop_height = rule->crop_width = 0;
    }
    CLIPC_TRY(read_channels(at, "mean", rule->mean, error));
    CLIPC_TRY(read_channels(at, "std", rule->standard_deviation, error));
    for (size_t c = 0; c < 3; c++)
        CLIPC_FAIL_IF(!((float)rule->standard_deviation[c] > 0.0F), error, CLIPC_ERROR_FORMAT,
                      "%s: preprocess_cfg.std is not positive", at->file);
    return CLIPC_OK;
}

static clipc_status read_config(const section *root, clipc_open_clip_config *out, clipc_error *error)
{
    section model;
    section image;
    section text;
    section preprocess;
    bool quick = false;
    CLIPC_TRY(find_section(root, "model_cfg", "model_cfg", &model, error));
    if (!model.object)
        model = *root;
    CLIPC_FAIL_IF(!value_of(&model, "vision_cfg") || !value_of(&model, "text_cfg"), error, CLIPC_ERROR_FORMAT,
                  "%s: has no vision_cfg and text_cfg: not the config of an open_clip model", root->file);
    CLIPC_TRY(find_section(&model, "vision_cfg", "vision_cfg", &image, error));
    CLIPC_TRY(find_section(&model, "text_cfg", "text_cfg", &text, error));
    CLIPC_TRY(find_section(root, "preprocess_cfg", "preprocess_cfg", &preprocess, error));
    static const char *const read[] = {"model_cfg", "preprocess_cfg", "vision_cfg", "text_cfg",
                                       "embed_dim", "quick_gelu",     NULL};
    static const char *const idle[] = {"custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale",
                                       "cast_dtype",  "output_dict",      "multimodal_cfg",  NULL};
    CLIPC_TRY(check_keys(&model, read, idle, error));
    CLIPC_TRY(read_size(&model, "embed_dim", 0, CLIPC_MAX_WIDTH, &out->embedding_dimension, error));
    CLIPC_TRY(read_flag(&model, "quick_gelu", &quick, error));
    CLIPC_TRY(read_image(&image, quick, out, error));
    CLIPC_TRY(read_text(&text, quick, out, error));
    return read_rule(&preprocess, out->image_size, &out->rule, error);
}

clipc_status clipc_open_clip_config_parse(const void *json, size_t size, const char *name, clipc_open_clip_config *out,
                                          clipc_error *error)
{
    *out = (clipc_open_clip_config){0};
    json_t *json_root = NULL;
    CLIPC_TRY(clipc_json_parse(json, size, name, 0, &json_root, error));
    const section root = {.file = name, .name = "model_cfg", .object = json_root};
    const clipc_status status = read_config(&root, out, error);
    json_decref(json_root);
    return status;
}
