/* Ids of many texts for the scripts here. Usage: tokenizer_ids MODEL_DIRECTORY LIMIT [OPTION]…
 * Reads texts on standard input, each a little-endian uint32 of its bytes and those bytes; writes for each a uint32
 * count and that many int32 ids. Options:
 *   --bench           reads all texts first, tokenizes them again and again for about a second and prints the ids of
 * one pass and the seconds it took, the best of all
 *   --padded          fills every text up to LIMIT ids
 *   --packed          goes through the packed form
 *   --clean NAME      open_clip's cleaning: whitespace, lower or canonicalize
 *   --model-type NAME model_type of config.json */
#define _POSIX_C_SOURCE 200809L
#include "base/mapped_file.h"
#include "base/memory.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILES 7

static clipc_status open_file(const char *directory, const char *name, clipc_mapped_file *file,
                              clipc_tokenizer_file *out, clipc_error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const clipc_status status = clipc_mapped_file_open(path, 0, file, error);
    if (status == CLIPC_ERROR_NOT_FOUND)
        return CLIPC_OK;
    *out = (clipc_tokenizer_file){.bytes = file->bytes, .size = file->size, .name = name};
    return status;
}

typedef struct options {
    bool bench;
    bool padded;
    bool packed;
    const char *model_type;
    clipc_text_cleaning cleaning;
} options;

static bool read_options(char **arguments, options *out)
{
    static const char *const cleanings[] = {"", "whitespace", "lower", "canonicalize"};
    *out = (options){0};
    for (; *arguments; arguments++) {
        if (strcmp(*arguments, "--bench") == 0)
            out->bench = true;
        else if (strcmp(*arguments, "--padded") == 0)
            out->padded = true;
        else if (strcmp(*arguments, "--packed") == 0)
            out->packed = true;
        else if (strcmp(*arguments, "--model-type") == 0 && arguments[1])
            out->model_type = *++arguments;
        else if (strcmp(*arguments, "--clean") == 0 && arguments[1]) {
            arguments++;
            for (size_t i = 1; i < sizeof cleanings / sizeof *cleanings; i++)
                if (strcmp(*arguments, cleanings[i]) == 0)
                    out->cleaning = (clipc_text_cleaning)i;
            if (out->cleaning == CLIPC_CLEAN_NOTHING)
                return false;
        } else {
            return false;
        }
    }
    return true;
}

/* The tokenizer again, from a copy of its packed form in *block. */
static clipc_status reopen(clipc_tokenizer **tokenizer, void **block, clipc_error *error)
{
    const void *bytes = NULL;
    size_t size = 0;
    clipc_tokenizer_packed(*tokenizer, &bytes, &size);
    *block = clipc_allocate_aligned(size, 1);
    if (!*block)
        return clipc_fail_memory(error, size, "a tokenizer");
    memcpy(*block, bytes, size);
    clipc_tokenizer_destroy(tokenizer);
    return clipc_tokenizer_open_packed(*block, size, "block", 1 << 20, tokenizer, error);
}

static clipc_status open_tokenizer(const char *directory, const options *wanted, clipc_tokenizer **out,
                                   clipc_error *error)
{
    static const char *const names[FILES] = {
        "tokenizer.json",          "vocab.json",   "merges.txt",     "tokenizer_config.json",
        "special_tokens_map.json", "spiece.model", "tokenizer.model"};
    clipc_tokenizer_files files = {.model_type = wanted->model_type, .cleaning = wanted->cleaning};
    clipc_tokenizer_file *const places[FILES] = {
        &files.tokenizer_json,     &files.vocab,         &files.merges,       &files.tokenizer_config,
        &files.special_tokens_map, &files.sentencepiece, &files.sentencepiece};
    clipc_mapped_file mapped[FILES] = {0};
    clipc_status status = CLIPC_OK;
    for (size_t i = 0; i < FILES && status == CLIPC_OK; i++)
        status = open_file(directory, names[i], &mapped[i], places[i], error);
    if (status == CLIPC_OK)
        status = clipc_tokenizer_create(&files, 1 << 20, out, error);
    for (size_t i = 0; i < FILES; i++)
        clipc_mapped_file_close(&mapped[i]);
    return status;
}

static char *read_all(size_t *size)
{
    char *bytes = NULL;
    *size = 0;
    for (size_t capacity = 0;;) {
        if (*size == capacity) {
            capacity = capacity ? 2 * capacity : 1 << 20;
            char *larger = clipc_reallocate(bytes, capacity, 1);
            if (!larger) {
                clipc_free(bytes);
                return NULL;
            }
            bytes = larger;
        }
        const size_t count = fread(bytes + *size, 1, capacity - *size, stdin);
        if (count == 0)
            return bytes;
        *size += count;
    }
}

/* The text at `at`, whose length stands before it; NULL at the end. Moves `at` past it. */
static const char *next_text(const char *bytes, size_t size, size_t *at, uint32_t *length)
{
    if (size - *at < sizeof *length)
        return NULL;
    memcpy(length, bytes + *at, sizeof *length);
    *at += sizeof *length;
    if (size - *at < *length)
        return NULL;
    *at += *length;
    return bytes + *at - *length;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static clipc_status run(const clipc_tokenizer *tokenizer, const char *bytes, size_t size, size_t limit, bool padded,
                        int32_t *ids, FILE *out, size_t *tokens, clipc_error *error)
{
    uint32_t length = 0;
    size_t at = 0;
    *tokens = 0;
    for (const char *text; (text = next_text(bytes, size, &at, &length));) {
        size_t count = limit;
        if (padded)
            CLIPC_TRY(clipc_tokenizer_encode_padded(tokenizer, text, length, limit, ids, error));
        else
            CLIPC_TRY(clipc_tokenizer_encode(tokenizer, text, length, limit, ids, &count, error));
        *tokens += count;
        const uint32_t written = (uint32_t)count;
        if (out && (fwrite(&written, sizeof written, 1, out) != 1 || fwrite(ids, sizeof *ids, count, out) != count))
            return clipc_fail(error, CLIPC_ERROR_IO, "cannot write");
    }
    return CLIPC_OK;
}

static clipc_status bench(const clipc_tokenizer *tokenizer, const char *bytes, size_t size, size_t limit, int32_t *ids,
                          clipc_error *error)
{
    double best = 0;
    size_t tokens = 0;
    for (double begin = seconds(); seconds() - begin < 1.0;) {
        const double start = seconds();
        CLIPC_TRY(run(tokenizer, bytes, size, limit, false, ids, NULL, &tokens, error));
        const double took = seconds() - start;
        if (best <= 0 || took < best)
            best = took;
    }
    printf("%zu %.9f\n", tokens, best);
    return CLIPC_OK;
}

int main(int argument_count, char **arguments)
{
    options wanted;
    if (argument_count < 3 || !read_options(arguments + 3, &wanted)) {
        fprintf(stderr, "usage: tokenizer_ids MODEL_DIRECTORY LIMIT [--bench] [--padded] [--packed] [--clean NAME] "
                        "[--model-type NAME]\n");
        return 2;
    }
    clipc_error error = {0};
    clipc_tokenizer *tokenizer = NULL;
    void *block = NULL;
    clipc_status status = open_tokenizer(arguments[1], &wanted, &tokenizer, &error);
    if (status == CLIPC_OK && wanted.packed)
        status = reopen(&tokenizer, &block, &error);
    const size_t limit = strtoull(arguments[2], NULL, 10);
    size_t size = 0;
    size_t tokens = 0;
    char *bytes = read_all(&size);
    int32_t *ids = clipc_allocate(limit, sizeof *ids);
    if (status == CLIPC_OK && bytes && ids)
        status = wanted.bench ? bench(tokenizer, bytes, size, limit, ids, &error)
                              : run(tokenizer, bytes, size, limit, wanted.padded, ids, stdout, &tokens, &error);
    if (status != CLIPC_OK)
        fprintf(stderr, "tokenizer_ids: %s\n", error.message);
    clipc_free(bytes);
    clipc_free(ids);
    clipc_tokenizer_destroy(&tokenizer);
    clipc_free_aligned(block);
    return status == CLIPC_OK && fflush(stdout) == 0 ? 0 : 1;
}
