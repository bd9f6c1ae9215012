/* A model's directory: which of its files are taken, and what is read in the same way for every kind of model. */
#include "model/directory.h"

#include "base/json.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SHARDS ((size_t)4096)
#define CONFIG     "config.json"
#define CLIPC_FILE "clipc.json"
/* As CLIP-ONNX and clipc export-onnx call them. */
#define VISUAL_GRAPH  "clip_visual.onnx"
#define TEXTUAL_GRAPH "clip_textual.onnx"

static clipc_status join(const char *directory, const char *file, char out[PATH_MAX], clipc_error *error)
{
    const size_t length = strlen(directory);
    const char *separator = length && directory[length - 1] == '/' ? "" : "/";
    const int written = snprintf(out, PATH_MAX, "%s%s%s", directory, separator, file);
    CLIPC_FAIL_IF(written < 0 || written >= PATH_MAX, error, CLIPC_ERROR_ARGUMENT, "%s: the path is too long",
                  directory);
    return CLIPC_OK;
}

static bool exists(const char *directory, const char *file)
{
    char path[PATH_MAX];
    struct stat info;
    return join(directory, file, path, NULL) == CLIPC_OK && stat(path, &info) == 0;
}

bool clipc_directory_has(const clipc_model *model, const char *file_name)
{
    return exists(model->directory, file_name);
}

clipc_status clipc_directory_add(clipc_model *model, const char *file_name, size_t limit, clipc_model_file_entry **out,
                                 clipc_error *error)
{
    char path[PATH_MAX];
    CLIPC_TRY(join(model->directory, file_name, path, error));
    for (size_t i = 0; i < model->file_count; i++) {
        *out = &model->files[i];
        if (strcmp(path, (*out)->path) == 0)
            return CLIPC_OK;
    }
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) /* opening a pipe would wait for ever */
        return clipc_fail(error, CLIPC_ERROR_IO, "%s: is %s", path,
                          S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
    clipc_mapped_file file;
    CLIPC_TRY(clipc_mapped_file_open(path, limit, &file, error));
    return clipc_model_add_file(model, path, &file, out, error);
}

/* ---- weights ---- */

static clipc_status add_weights(clipc_model *model, const char *file_name, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, file_name, 0, &entry, error));
    return clipc_model_read_table(entry, error);
}

/* A shard's name is a plain file name inside the directory. */
static bool is_plain_name(const char *name)
{
    return name && name[0] && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Opens each shard that the map names once; `shards` remembers which of the model's files each became. */
static clipc_status add_shards(clipc_model *model, const json_t *map, json_t *shards, const char *index_name,
                               clipc_error *error)
{
    const char *tensor = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)map, tensor, value)
    {
        const char *shard = json_string_value(value);
        CLIPC_FAIL_IF(!is_plain_name(shard), error, CLIPC_ERROR_FORMAT,
                      "%s: the shard of tensor '%s' is not a plain file name", index_name, tensor);
        if (!json_object_get(shards, shard)) {
            CLIPC_FAIL_IF(json_object_size(shards) >= MAX_SHARDS, error, CLIPC_ERROR_LIMIT,
                          "%s: names more than %zu shards", index_name, MAX_SHARDS);
            CLIPC_TRY(add_weights(model, shard, error));
            if (json_object_set_new(shards, shard, json_integer((json_int_t)model->file_count - 1)) != 0)
                return clipc_fail_memory(error, strlen(shard), "the list of shards");
        }
        const size_t file = (size_t)json_integer_value(json_object_get(shards, shard));
        CLIPC_FAIL_IF(!clipc_tensor_table_find(model->files[file].tensors, tensor), error, CLIPC_ERROR_FORMAT,
                      "%s: has no tensor '%s', which %s places there", model->files[file].path, tensor, index_name);
    }
    return CLIPC_OK;
}

static clipc_status add_sharded_weights(clipc_model *model, const char *index_name, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, index_name, CLIPC_MAX_JSON_SIZE, &entry, error));
    const char *name = entry->path;
    json_t *root = NULL;
    CLIPC_TRY(clipc_json_parse(entry->file.bytes, entry->file.size, name, 0, &root, error));
    const json_t *map = json_object_get(root, "weight_map");
    json_t *shards = json_object();
    clipc_status status = CLIPC_OK;
    if (!json_is_object(map) || json_object_size(map) == 0)
        status = clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: no weight_map: names no shard", name);
    else if (!shards)
        status = clipc_fail_memory(error, sizeof(json_t), "the list of shards");
    else
        status = add_shards(model, map, shards, name, error);
    json_decref(shards);
    json_decref(root);
    return status;
}

/* ---- what lies beside them ---- */

static clipc_status add_tokenizer_file(clipc_model *model, const char *file_name, clipc_tokenizer_file *out,
                                       clipc_error *error)
{
    *out = (clipc_tokenizer_file){.name = file_name};
    if (!clipc_directory_has(model, file_name))
        return CLIPC_OK;
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(clipc_directory_add(model, file_name, CLIPC_MAX_JSON_SIZE, &entry, error));
    *out = (clipc_tokenizer_file){.bytes = entry->file.bytes, .size = entry->file.size, .name = entry->path};
    return CLIPC_OK;
}

/* clipc.json is clipc's own and optional: {"template": "a sketch of a {}", "preprocessing_order": "torchvision",
 * "text_cleaning": "canonicalize"}. *root is NULL where there is none, and the caller's to release. */
static clipc_status open_own_file(clipc_model *model, json_t **root, const char **name, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    *root = NULL;
    *name = NULL;
    if (!clipc_directory_has(model, CLIPC_FILE))
        return CLIPC_OK;
    CLIPC_TRY(clipc_directory_add(model, CLIPC_FILE, CLIPC_MAX_JSON_SIZE, &entry, error));
    *name = entry->path;
    return clipc_json_parse(entry->file.bytes, entry->file.size, *name, 0, root, error);
}

/* A string of clipc.json; *out is NULL when there is none. */
static clipc_status read_word(const json_t *root, const char *key, const char *name, const char **out,
                              clipc_error *error)
{
    const json_t *value = json_object_get(root, key);
    CLIPC_FAIL_IF(value && !json_is_string(value), error, CLIPC_ERROR_FORMAT, "%s: %s is %s, must be a string", name,
                  key, clipc_json_kind(value));
    *out = json_string_value(value);
    return CLIPC_OK;
}

static clipc_status finish_with(clipc_model *model, const char *rule_name, const json_t *root, const char *name,
                                clipc_error *error)
{
    const char *order = NULL;
    const char *text = NULL;
    CLIPC_TRY(read_word(root, "preprocessing_order", name, &order, error));
    CLIPC_TRY(read_word(root, "template", name, &text, error));
    CLIPC_FAIL_IF(order && !clipc_preprocess_order_parse(order, &model->preprocess.order), error, CLIPC_ERROR_FORMAT,
                  "%s: preprocessing_order is '%s', must be 'transformers' or 'torchvision'", name, order);
    return clipc_model_finish(model, rule_name, text, name, error);
}

clipc_status clipc_directory_finish(clipc_model *model, const char *rule_name, clipc_error *error)
{
    json_t *root = NULL;
    const char *name = NULL;
    CLIPC_TRY(open_own_file(model, &root, &name, error));
    const clipc_status status = root ? finish_with(model, rule_name, root, name, error)
                                     : clipc_model_finish(model, rule_name, NULL, NULL, error);
    json_decref(root);
    return status;
}

static clipc_status settle_cleaning(clipc_model *model, clipc_text_cleaning cleaning, clipc_error *error)
{
    json_t *root = NULL;
    const char *name = NULL;
    const char *word = NULL;
    model->cleaning = cleaning;
    if (cleaning != CLIPC_CLEAN_NOTHING)
        return CLIPC_OK;
    CLIPC_TRY(open_own_file(model, &root, &name, error));
    clipc_status status = read_word(root, "text_cleaning", name, &word, error);
    if (status == CLIPC_OK && word && !clipc_text_cleaning_parse(word, &model->cleaning))
        status = clipc_fail(error, CLIPC_ERROR_FORMAT,
                            "%s: text_cleaning is '%s', must be 'whitespace', 'lower' or 'canonicalize'", name, word);
    json_decref(root);
    return status;
}

clipc_status clipc_directory_read_tokenizer(clipc_model *model, clipc_text_cleaning cleaning, bool *found,
                                            clipc_error *error)
{
    CLIPC_TRY(settle_cleaning(model, cleaning, error));
    clipc_tokenizer_files files = {.cleaning = model->cleaning};
    CLIPC_TRY(add_tokenizer_file(model, "tokenizer.json", &files.tokenizer_json, error));
    CLIPC_TRY(add_tokenizer_file(model, "vocab.json", &files.vocab, error));
    CLIPC_TRY(add_tokenizer_file(model, "merges.txt", &files.merges, error));
    if (!files.tokenizer_json.bytes)
        CLIPC_TRY(add_tokenizer_file(model, "spiece.model", &files.sentencepiece, error));
    if (!files.tokenizer_json.bytes && !files.sentencepiece.bytes)
        CLIPC_TRY(add_tokenizer_file(model, "tokenizer.model", &files.sentencepiece, error));
    CLIPC_TRY(add_tokenizer_file(model, "tokenizer_config.json", &files.tokenizer_config, error));
    CLIPC_TRY(add_tokenizer_file(model, "special_tokens_map.json", &files.special_tokens_map, error));
    *found = files.tokenizer_json.bytes || files.sentencepiece.bytes || (files.vocab.bytes && files.merges.bytes);
    return *found ? clipc_tokenizer_create(&files, model->config.vocabulary_size, &model->tokenizer, error) : CLIPC_OK;
}

/* ---- names and paths ---- */

/* The last component of the path; of what it resolves to, when that says nothing ("."). */
static void write_name(const char *path, char name[PATH_MAX])
{
    char resolved[PATH_MAX];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    snprintf(name, PATH_MAX, "%.*s", (int)(end - begin), path + begin);
    if ((strcmp(name, ".") == 0 || strcmp(name, "..") == 0) && realpath(path, resolved)) {
        const char *slash = strrchr(resolved, '/');
        snprintf(name, PATH_MAX, "%s", slash && slash[1] ? slash + 1 : resolved);
    }
}

/* What a path names: a directory, and the file in it that is to be opened. */
typedef struct target {
    char directory[PATH_MAX];
    char file[NAME_MAX + 1];
    bool by_file; /* the model is called after the file */
} target;

static bool ends_with(const char *text, const char *ending)
{
    const size_t length = strlen(text);
    return length >= strlen(ending) && strcmp(text + length - strlen(ending), ending) == 0;
}

/* ---- the choice among several ---- */

/* What is looked for in a directory, in this order. A name that begins with '*' stands for the one file that ends so.
 */
static const char *const candidates[] = {
    "*.clipc",
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
    "*.bin",
    "*.pt",
    VISUAL_GRAPH,
    TEXTUAL_GRAPH,
    "*.onnx",
};
#define CANDIDATE_COUNT (sizeof candidates / sizeof candidates[0])

typedef struct choice {
    size_t rank; /* of the best so far among the candidates */
    size_t same; /* files of that rank */
    size_t others;
    char file[NAME_MAX + 1];
} choice;

static size_t rank_of(const char *name)
{
    for (size_t i = 0; i < CANDIDATE_COUNT; i++)
        if (candidates[i][0] == '*' ? ends_with(name, candidates[i] + 1) && name[0] != '.'
                                    : strcmp(name, candidates[i]) == 0)
            return i;
    return CANDIDATE_COUNT;
}

static void consider(choice *best, const char *name)
{
    const size_t rank = rank_of(name);
    if (rank == CANDIDATE_COUNT)
        return;
    if (rank > best->rank) {
        best->others++;
        return;
    }
    best->others += rank < best->rank ? best->same : 0;
    best->same = rank < best->rank ? 1 : best->same + 1;
    best->rank = rank;
    snprintf(best->file, sizeof best->file, "%s", name);
}

static clipc_status choose_file(target *out, choice *best, clipc_error *error)
{
    *best = (choice){.rank = CANDIDATE_COUNT};
    DIR *directory = opendir(out->directory);
    CLIPC_FAIL_IF(!directory, error, CLIPC_ERROR_IO, "%s: cannot list: %s", out->directory, strerror(errno));
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        consider(best, entry->d_name);
    closedir(directory);
    CLIPC_FAIL_IF(best->rank == CANDIDATE_COUNT, error, CLIPC_ERROR_NOT_FOUND,
                  "%s: holds no weights that clipc reads (an engine file *.clipc, model.safetensors, "
                  "open_clip_model.safetensors, *.bin, *.pt, or clip_visual.onnx and clip_textual.onnx)",
                  out->directory);
    CLIPC_FAIL_IF(best->same > 1, error, CLIPC_ERROR_ARGUMENT, "%s: holds %zu files %s: name one of them",
                  out->directory, best->same, candidates[best->rank]);
    snprintf(out->file, sizeof out->file, "%s", best->file);
    return CLIPC_OK;
}

/* ---- what a path names ---- */

/* Whether the file begins as a weight file does, or is called like one. */
static bool is_weight_file(const char *path)
{
    uint8_t begin[16] = {0};
    FILE *file = fopen(path, "rb");
    const size_t size = file ? fread(begin, 1, sizeof begin, file) : 0;
    if (file)
        fclose(file);
    return clipc_torch_file_matches(begin, size) || ends_with(path, ".safetensors") || ends_with(path, ".bin") ||
           ends_with(path, ".pt") || ends_with(path, ".onnx");
}

static clipc_status resolve_file(const char *path, const struct stat *info, target *out, clipc_error *error)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    CLIPC_FAIL_IF(!S_ISREG(info->st_mode) || strlen(file) > NAME_MAX || !is_weight_file(path), error,
                  CLIPC_ERROR_UNSUPPORTED,
                  "%s: is a file that clipc cannot open; a model is a directory, an engine file (.clipc), or weights "
                  "(.safetensors, .bin, .pt, .onnx)",
                  path);
    const size_t length = slash ? (size_t)(slash - path) : 0;
    snprintf(out->directory, PATH_MAX, "%.*s", (int)(length ? length : 1), length ? path : slash ? "/" : ".");
    snprintf(out->file, sizeof out->file, "%s", file);
    out->by_file = !(ends_with(path, ".safetensors") && exists(out->directory, CONFIG));
    return CLIPC_OK;
}

static clipc_status resolve(const char *path, const clipc_model_config *config, target *out, clipc_error *error)
{
    struct stat info;
    choice best;
    *out = (target){.by_file = false};
    CLIPC_FAIL_IF(path[0] == '\0', error, CLIPC_ERROR_ARGUMENT, "the model's path is empty");
    CLIPC_FAIL_IF(strlen(path) >= PATH_MAX, error, CLIPC_ERROR_ARGUMENT, "%s: the path is too long", path);
    CLIPC_FAIL_IF(stat(path, &info) != 0, error, CLIPC_ERROR_NOT_FOUND,
                  "%s: no such model here; nothing is downloaded", path);
    if (!S_ISDIR(info.st_mode))
        return resolve_file(path, &info, out, error);
    snprintf(out->directory, PATH_MAX, "%s", path);
    CLIPC_TRY(choose_file(out, &best, error));
    clipc_model_log(config, best.others ? CLIPC_LOG_INFO : CLIPC_LOG_DEBUG, "%s: takes %s%s", path, out->file,
                    best.others ? ", which goes before the other weights there" : "");
    return CLIPC_OK;
}

/* ---- opening ---- */

/* The names of the tensors tell whose model it is. Where they tell nothing, config.json may say what is missing. */
static clipc_status fill_model(clipc_model *model, bool by_file, const clipc_model_config *config, clipc_error *error)
{
    bool image = false;
    bool text = false;
    clipc_weight_file *files = NULL;
    size_t count = 0;
    CLIPC_TRY(clipc_model_weight_files(model, &files, &count, error));
    const clipc_family *family = clipc_family_detect(files, count, &image, &text);
    clipc_free(files);
    if (family && !clipc_family_is_transformers(family))
        return clipc_model_fill_openai(model, family, config, error);
    const bool has_config = clipc_directory_has(model, CONFIG);
    CLIPC_FAIL_IF(!has_config && !family, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: holds no tensors of a CLIP that clipc knows", model->files[0].path);
    CLIPC_FAIL_IF(!has_config && by_file, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: are weights alone; with transformers' names a model needs config.json beside them",
                  model->files[0].path);
    return clipc_model_fill_transformers(model, family, error);
}

/* The graph, and the other tower's where both are called as a pair. */
static clipc_status fill_from_graphs(clipc_model *model, const target *from, const clipc_model_config *config,
                                     clipc_error *error)
{
    char first[PATH_MAX];
    char second[PATH_MAX];
    const bool pair =
        !from->by_file && strcmp(from->file, VISUAL_GRAPH) == 0 && exists(from->directory, TEXTUAL_GRAPH);
    CLIPC_TRY(join(from->directory, from->file, first, error));
    CLIPC_TRY(join(from->directory, TEXTUAL_GRAPH, second, error));
    const char *const paths[2] = {first, pair ? second : NULL};
    return clipc_model_fill_onnx(model, paths, config, error);
}

static clipc_status fill_from(clipc_model *model, const target *from, const clipc_model_config *config,
                              clipc_error *error)
{
    if (ends_with(from->file, ".onnx"))
        return fill_from_graphs(model, from, config, error);
    model->directory = clipc_duplicate_text(from->directory);
    if (!model->directory)
        return clipc_fail_memory(error, strlen(from->directory) + 1, "the model's directory");
    if (ends_with(from->file, ".index.json"))
        CLIPC_TRY(add_sharded_weights(model, from->file, error));
    else
        CLIPC_TRY(add_weights(model, from->file, error));
    return fill_model(model, from->by_file, config, error);
}

/* Without the ending, when the model is called after a file. */
static void write_model_name(const char *path, bool by_file, char name[PATH_MAX])
{
    write_name(path, name);
    char *dot = by_file ? strrchr(name, '.') : NULL;
    if (dot && dot != name)
        *dot = '\0';
}

clipc_status clipc_model_open_directory(const char *path, const clipc_model_config *config, clipc_model **out,
                                        clipc_error *error)
{
    *out = NULL;
    target found;
    char full[PATH_MAX];
    char name[PATH_MAX];
    CLIPC_TRY(resolve(path, config, &found, error));
    if (ends_with(found.file, ".clipc")) {
        CLIPC_TRY(join(found.directory, found.file, full, error));
        return clipc_model_open_engine_file(full, out, error);
    }
    const char *called = found.by_file ? path : found.directory;
    write_model_name(called, found.by_file, name);
    CLIPC_TRY(clipc_model_allocate(name, called, out, error));
    const clipc_status status = fill_from(*out, &found, config, error);
    if (status != CLIPC_OK)
        clipc_model_release(out);
    return status;
}
