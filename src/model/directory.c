/* A model directory as transformers' save_pretrained lays it out. */
#include "base/json.h"
#include "base/memory.h"
#include "model/model.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a JSON file may weigh, far above the largest there is (the tokenizer.json of a large vocabulary, 20 MB). */
#define MAX_JSON_SIZE ((size_t)1 << 28)
#define MAX_SHARDS    ((size_t)4096)

#define CONFIG        "config.json"
#define WEIGHTS       "model.safetensors"
#define WEIGHTS_INDEX "model.safetensors.index.json"
#define PREPROCESSOR  "preprocessor_config.json"
#define PROCESSOR     "processor_config.json"
#define CLIPC_FILE    "clipc.json"

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

/* Adds a file of the directory to the model's. */
static clipc_status add(clipc_model *model, const char *file_name, size_t limit, clipc_model_file_entry **out,
                        clipc_error *error)
{
    char path[PATH_MAX];
    CLIPC_TRY(join(model->path, file_name, path, error));
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
    CLIPC_TRY(add(model, file_name, 0, &entry, error));
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
        CLIPC_FAIL_IF(!clipc_safetensors_find(model->files[file].tensors, tensor), error, CLIPC_ERROR_FORMAT,
                      "%s: has no tensor '%s', which %s places there", model->files[file].path, tensor, WEIGHTS_INDEX);
    }
    return CLIPC_OK;
}

static clipc_status add_sharded_weights(clipc_model *model, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, WEIGHTS_INDEX, MAX_JSON_SIZE, &entry, error));
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

/* `file_name`: the weight file that was asked for, or NULL. */
static clipc_status read_weights(clipc_model *model, const char *file_name, clipc_error *error)
{
    if (file_name || exists(model->path, WEIGHTS))
        CLIPC_TRY(add_weights(model, file_name ? file_name : WEIGHTS, error));
    else if (exists(model->path, WEIGHTS_INDEX))
        CLIPC_TRY(add_sharded_weights(model, error));
    else
        return clipc_fail(error, CLIPC_ERROR_NOT_FOUND, "%s: holds neither %s nor %s%s", model->path, WEIGHTS,
                          WEIGHTS_INDEX,
                          exists(model->path, "pytorch_model.bin") ? " (pytorch_model.bin is not read)" : "");
    return clipc_model_bind(model, error);
}

/* ---- the other files ---- */

static clipc_status read_config(clipc_model *model, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, CONFIG, MAX_JSON_SIZE, &entry, error));
    return clipc_config_parse(entry->file.bytes, entry->file.size, entry->path, &model->config, error);
}

/* transformers 5 saves a processor's parts in one file, processor_config.json; its "image_processor" goes before
 * preprocessor_config.json (get_image_processor_dict of image_processing_base.py, 5.23). *found: it has one. */
static clipc_status read_nested_rule(clipc_model *model, const char **name, bool *found, clipc_error *error)
{
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, PROCESSOR, MAX_JSON_SIZE, &entry, error));
    *name = entry->path;
    return clipc_preprocess_rule_parse_nested(entry->file.bytes, entry->file.size, entry->path, found,
                                              &model->preprocess, error);
}

/* Without a file that says it the rule is OpenAI's, at the size of the config. */
static clipc_status read_rule(clipc_model *model, const char **name, clipc_error *error)
{
    bool found = false;
    if (exists(model->path, PROCESSOR))
        CLIPC_TRY(read_nested_rule(model, name, &found, error));
    if (found)
        return CLIPC_OK;
    if (!exists(model->path, PREPROCESSOR)) {
        *name = model->path;
        model->preprocess = clipc_preprocess_rule_openai(model->config.image_size);
        return CLIPC_OK;
    }
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, PREPROCESSOR, MAX_JSON_SIZE, &entry, error));
    *name = entry->path;
    return clipc_preprocess_rule_parse(entry->file.bytes, entry->file.size, entry->path, &model->preprocess, error);
}

static clipc_status add_tokenizer_file(clipc_model *model, const char *file_name, clipc_tokenizer_file *out,
                                       clipc_error *error)
{
    *out = (clipc_tokenizer_file){.name = file_name};
    if (!exists(model->path, file_name))
        return CLIPC_OK;
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, file_name, MAX_JSON_SIZE, &entry, error));
    *out = (clipc_tokenizer_file){.bytes = entry->file.bytes, .size = entry->file.size, .name = entry->path};
    return CLIPC_OK;
}

static clipc_status read_tokenizer(clipc_model *model, clipc_error *error)
{
    clipc_tokenizer_files files;
    CLIPC_TRY(add_tokenizer_file(model, "tokenizer.json", &files.tokenizer_json, error));
    CLIPC_TRY(add_tokenizer_file(model, "vocab.json", &files.vocab, error));
    CLIPC_TRY(add_tokenizer_file(model, "merges.txt", &files.merges, error));
    CLIPC_TRY(add_tokenizer_file(model, "tokenizer_config.json", &files.tokenizer_config, error));
    CLIPC_TRY(add_tokenizer_file(model, "special_tokens_map.json", &files.special_tokens_map, error));
    CLIPC_FAIL_IF(!files.tokenizer_json.bytes && !(files.vocab.bytes && files.merges.bytes), error,
                  CLIPC_ERROR_NOT_FOUND, "%s: holds neither tokenizer.json nor vocab.json and merges.txt",
                  model->path);
    return clipc_tokenizer_create(&files, model->config.vocabulary_size, &model->tokenizer, error);
}

/* clipc.json is clipc's own and optional: {"template": "a sketch of a {}"}. */
static clipc_status read_template_and_finish(clipc_model *model, const char *rule_name, clipc_error *error)
{
    if (!exists(model->path, CLIPC_FILE))
        return clipc_model_finish(model, rule_name, NULL, NULL, error);
    clipc_model_file_entry *entry = NULL;
    CLIPC_TRY(add(model, CLIPC_FILE, MAX_JSON_SIZE, &entry, error));
    const char *name = entry->path;
    json_t *root = NULL;
    CLIPC_TRY(clipc_json_parse(entry->file.bytes, entry->file.size, name, 0, &root, error));
    const json_t *text = json_object_get(root, "template");
    const clipc_status status = text && !json_is_string(text)
                                    ? clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: template is %s, must be a string",
                                                 name, clipc_json_kind(text))
                                    : clipc_model_finish(model, rule_name, json_string_value(text), name, error);
    json_decref(root);
    return status;
}

/* ---- opening ---- */

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

/* What a path names: a directory, and one weight file in it (a view of the path) or NULL. */
typedef struct target {
    char directory[PATH_MAX];
    const char *weights;
} target;

static bool ends_with(const char *text, const char *ending)
{
    const size_t length = strlen(text);
    return length >= strlen(ending) && strcmp(text + length - strlen(ending), ending) == 0;
}

/* A weight file stands for its directory, with its own weights in place of model.safetensors. */
static clipc_status resolve_file(const char *path, target *out, clipc_error *error)
{
    const char *slash = strrchr(path, '/');
    out->weights = slash ? slash + 1 : path;
    CLIPC_FAIL_IF(!ends_with(path, ".safetensors"), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: is a file that clipc cannot open; a model is a directory that holds %s and %s, such a "
                  ".safetensors file, or an engine file (.clipc)",
                  path, CONFIG, WEIGHTS);
    const size_t length = slash ? (size_t)(slash - path) : 0;
    snprintf(out->directory, PATH_MAX, "%.*s", (int)(length ? length : 1), length ? path : slash ? "/" : ".");
    CLIPC_FAIL_IF(!exists(out->directory, CONFIG), error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: are weights alone; a model needs %s beside them", path, CONFIG);
    return CLIPC_OK;
}

static clipc_status resolve(const char *path, target *out, clipc_error *error)
{
    struct stat info;
    out->weights = NULL;
    CLIPC_FAIL_IF(path[0] == '\0', error, CLIPC_ERROR_ARGUMENT, "the model's path is empty");
    CLIPC_FAIL_IF(strlen(path) >= PATH_MAX, error, CLIPC_ERROR_ARGUMENT, "%s: the path is too long", path);
    CLIPC_FAIL_IF(stat(path, &info) != 0, error, CLIPC_ERROR_NOT_FOUND,
                  "%s: no such model here; nothing is downloaded", path);
    if (!S_ISDIR(info.st_mode))
        return resolve_file(path, out, error);
    snprintf(out->directory, PATH_MAX, "%s", path);
    return CLIPC_OK;
}

static clipc_status read_all(clipc_model *model, const char *weights, clipc_error *error)
{
    const char *rule_name = NULL;
    CLIPC_TRY(read_config(model, error));
    CLIPC_TRY(read_weights(model, weights, error));
    CLIPC_TRY(read_rule(model, &rule_name, error));
    CLIPC_TRY(read_tokenizer(model, error));
    return read_template_and_finish(model, rule_name, error);
}

clipc_status clipc_model_open_directory(const char *path, clipc_model **out, clipc_error *error)
{
    *out = NULL;
    target found;
    char name[PATH_MAX];
    CLIPC_TRY(resolve(path, &found, error));
    write_name(found.directory, name);
    CLIPC_TRY(clipc_model_allocate(name, found.directory, out, error));
    const clipc_status status = read_all(*out, found.weights, error);
    if (status != CLIPC_OK)
        clipc_model_release(out);
    return status;
}
