/* Makes the packed block of a model directory's tokenizer. Part of the build, never installed.
 * Usage: clipc_pack_tokenizer DIRECTORY OUT */
#include "base/mapped_file.h"
#include "text/tokenizer.h"

#include <stdio.h>

static clipc_status read_file(const char *directory, const char *name, clipc_mapped_file *file,
                              clipc_tokenizer_file *out, clipc_error *error)
{
    char path[4096];
    const int written = snprintf(path, sizeof path, "%s/%s", directory, name);
    CLIPC_FAIL_IF(written < 0 || written >= (int)sizeof path, error, CLIPC_ERROR_ARGUMENT, "the path is too long");
    CLIPC_TRY(clipc_mapped_file_open(path, 0, file, error));
    *out = (clipc_tokenizer_file){.bytes = file->bytes, .size = file->size, .name = name};
    return CLIPC_OK;
}

static clipc_status pack(const char *directory, FILE *out, clipc_error *error)
{
    clipc_mapped_file file[4] = {0};
    clipc_tokenizer_files files = {0};
    clipc_tokenizer *tokenizer = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(read_file(directory, "vocab.json", &file[0], &files.vocab, error));
    CLIPC_CHECK(read_file(directory, "merges.txt", &file[1], &files.merges, error));
    CLIPC_CHECK(read_file(directory, "tokenizer_config.json", &file[2], &files.tokenizer_config, error));
    CLIPC_CHECK(read_file(directory, "special_tokens_map.json", &file[3], &files.special_tokens_map, error));
    CLIPC_CHECK(clipc_tokenizer_create(&files, SIZE_MAX, &tokenizer, error));
    clipc_tokenizer_packed(tokenizer, &bytes, &size);
    if (fwrite(bytes, 1, size, out) != size)
        status = clipc_fail(error, CLIPC_ERROR_IO, "cannot write the packed tokenizer");
fail:
    clipc_tokenizer_destroy(&tokenizer);
    for (size_t i = 0; i < 4; i++)
        clipc_mapped_file_close(&file[i]);
    return status;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 3) {
        fprintf(stderr, "usage: clipc_pack_tokenizer DIRECTORY OUT\n");
        return 2;
    }
    clipc_error error = {0};
    FILE *out = fopen(arguments[2], "wb");
    clipc_status status = CLIPC_OK;
    if (!out)
        status = clipc_fail(&error, CLIPC_ERROR_IO, "%s: cannot be written", arguments[2]);
    else
        status = pack(arguments[1], out, &error);
    if (out && fclose(out) != 0 && status == CLIPC_OK)
        status = clipc_fail(&error, CLIPC_ERROR_IO, "%s: cannot be written", arguments[2]);
    if (status == CLIPC_OK)
        return 0;
    fprintf(stderr, "clipc_pack_tokenizer: %s\n", error.message);
    remove(arguments[2]);
    return 1;
}
