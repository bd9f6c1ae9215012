/* Stands in until src/text has its tokenizer; the build leaves it out from then on. */
#include "base/memory.h"
#include "text/tokenizer.h"

clipc_status clipc_tokenizer_create(const clipc_tokenizer_files *files, size_t vocabulary_size, clipc_tokenizer **out,
                                    clipc_error *error)
{
    (void)files;
    (void)vocabulary_size;
    *out = clipc_allocate(1, 1);
    return *out ? CLIPC_OK : clipc_fail_memory(error, 1, "a tokenizer");
}

clipc_status clipc_tokenizer_open_packed(const void *bytes, size_t size, const char *name, size_t vocabulary_size,
                                         clipc_tokenizer **out, clipc_error *error)
{
    (void)bytes;
    (void)size;
    (void)name;
    return clipc_tokenizer_create(NULL, vocabulary_size, out, error);
}

void clipc_tokenizer_destroy(clipc_tokenizer **tokenizer)
{
    clipc_free(*tokenizer);
    *tokenizer = NULL;
}

size_t clipc_tokenizer_max_length(const clipc_tokenizer *tokenizer)
{
    (void)tokenizer;
    return SIZE_MAX;
}

clipc_status clipc_tokenizer_encode(const clipc_tokenizer *tokenizer, const char *text, size_t length, size_t limit,
                                    int32_t *ids, size_t *count, clipc_error *error)
{
    (void)tokenizer;
    (void)text;
    (void)length;
    (void)limit;
    (void)ids;
    *count = 0;
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "this build has no tokenizer");
}
