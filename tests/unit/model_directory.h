/* Makes small model directories for tests: config.json, weights with one thing wrong, tokenizer files of the demo. */
#ifndef CLIPC_TESTS_MODEL_DIRECTORY_H
#define CLIPC_TESTS_MODEL_DIRECTORY_H

#include "model/model.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the weight file is to have wrong, by tensor name; NULL: nothing. */
typedef struct weight_faults {
    const char *missing;
    const char *wider;         /* one more row than the config says */
    const char *another_dtype; /* stored as fp32 where the rest is fp16 */
    const char *integer;       /* stored as I16 */
    const char *nan;           /* its last value */
    size_t part, parts;        /* which tensors the file holds: number i when i % parts == part; parts 0: all */
    const char *everywhere;    /* in every part */
} weight_faults;

typedef struct weight_writer {
    const weight_faults *faults;
    char header[1 << 16];
    size_t header_size;
    size_t data_size;
    size_t index;
    size_t nan_at; /* offset in the data; 0: none */
} weight_writer;

static bool is_named(const char *fault, const char *name)
{
    return fault && strcmp(fault, name) == 0;
}

static clipc_status write_slot(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    weight_writer *writer = context;
    const weight_faults *faults = writer->faults;
    const bool in_part = !faults->parts || writer->index % faults->parts == faults->part;
    writer->index++;
    if (is_named(faults->missing, slot->name) || (!in_part && !is_named(faults->everywhere, slot->name)))
        return CLIPC_OK;
    size_t shape[4] = {0};
    memcpy(shape, slot->shape, slot->rank * sizeof shape[0]);
    shape[0] += is_named(faults->wider, slot->name);
    size_t count = 1;
    for (size_t i = 0; i < slot->rank; i++)
        count *= shape[i];
    const bool wide = is_named(faults->another_dtype, slot->name);
    const size_t begin = writer->data_size;
    writer->data_size += count * (wide ? 4 : 2);
    if (is_named(faults->nan, slot->name))
        writer->nan_at = writer->data_size - 2;
    char text[CLIPC_SHAPE_TEXT];
    writer->header_size +=
        (size_t)snprintf(writer->header + writer->header_size, sizeof writer->header - writer->header_size,
                         "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                         writer->header_size > 1 ? "," : "", slot->name,
                         wide                                    ? "F32"
                         : is_named(faults->integer, slot->name) ? "I16"
                                                                 : "F16",
                         clipc_shape_text(shape, slot->rank, text), begin, writer->data_size);
    return CLIPC_OK;
}

static void write_bytes(const char *directory, const char *file, const void *bytes, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void write_text(const char *directory, const char *file, const char *text)
{
    write_bytes(directory, file, text, strlen(text));
}

/* Zeros of the config's shapes in fp16. */
static void write_weights(const char *directory, const char *file, const char *config_json,
                          const weight_faults *faults)
{
    clipc_config config;
    clipc_weights weights = {0};
    static weight_writer writer;
    writer = (weight_writer){.faults = faults, .header = "{", .header_size = 1};
    assert_int_equal(clipc_config_parse(config_json, strlen(config_json), "config.json", &config, NULL), CLIPC_OK);
    assert_int_equal(clipc_weights_allocate(&config, &weights, NULL), CLIPC_OK);
    clipc_family_each(&clipc_family_transformers, &config, &weights, true, true, write_slot, &writer, NULL);
    clipc_slot scale = {.name = "logit_scale", .count = 1};
    write_slot(&writer, &scale, NULL);
    clipc_weights_free(&weights);
    writer.header[writer.header_size++] = '}';
    const size_t size = 8 + writer.header_size + writer.data_size;
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(writer.header_size >> (8 * i));
    memcpy(bytes + 8, writer.header, writer.header_size);
    if (writer.nan_at)
        memcpy(bytes + 8 + writer.header_size + writer.nan_at, "\x01\x7E", 2);
    write_bytes(directory, file, bytes, size);
    free(bytes);
}

static void remove_file(const char *directory, const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    assert_int_equal(unlink(path), 0);
}

/* `path` holds a template for mkdtemp. */
static void make_directory(char *path, const char *config_json)
{
    static const char *const tokenizer[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
    assert_non_null(mkdtemp(path));
    for (size_t i = 0; i < 3; i++) {
        char from[1024];
        char to[1024];
        snprintf(from, sizeof from, "%s/models/demo/model/%s", CLIPC_SOURCE_DIR, tokenizer[i]);
        snprintf(to, sizeof to, "%s/%s", path, tokenizer[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    write_text(path, "config.json", config_json);
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (entry->d_name[0] != '.')
            remove_file(path, entry->d_name);
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

#endif
