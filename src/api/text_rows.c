#include "api/text_rows.h"

#include "model/token_place.h"

#include <string.h>

/* Which token's row is the text's embedding: see clipc_text_pooling. */
static size_t pooled_token(const clipc_config *config, const int32_t *ids, size_t length)
{
    size_t found = 0;
    switch (config->pooling) {
    case CLIPC_POOL_LAST: return length - 1;
    case CLIPC_POOL_FIRST: return 0;
    case CLIPC_POOL_LARGEST_ID:
        for (size_t i = 1; i < length; i++)
            if (ids[i] > ids[found])
                found = i;
        return found;
    case CLIPC_POOL_FIRST_EOT: break;
    }
    for (size_t i = 0; i < length; i++)
        if (ids[i] == config->eot_token)
            return i;
    return 0;
}

static int32_t token_at(const clipc_config *config, const int32_t *ids, size_t length, size_t position)
{
    return position < length ? ids[position] : config->pad_token;
}

static size_t with_class_token(const clipc_config *config, const int32_t *ids, size_t length, size_t context,
                               int32_t *rows)
{
    const size_t vocabulary = config->vocabulary_size;
    const int32_t class_row = clipc_token_place(vocabulary, vocabulary, context);
    size_t count = 0;
    for (size_t i = 0; i < context; i++)
        if (i == 0 || token_at(config, ids, length, i - 1) != config->pad_token)
            rows[count++] = clipc_token_place(vocabulary, (size_t)token_at(config, ids, length, i), i);
    if (token_at(config, ids, length, context - 1) != config->pad_token)
        rows[count++] = class_row;
    rows[count++] = class_row;
    return count;
}

static size_t in_any_order(const clipc_config *config, const int32_t *ids, size_t length, size_t context,
                           int32_t *rows)
{
    const size_t vocabulary = config->vocabulary_size;
    const size_t pooled = pooled_token(config, ids, length);
    size_t count = 0;
    for (size_t i = 0; i < context; i++)
        if (i != pooled)
            rows[count++] = clipc_token_place(vocabulary, (size_t)token_at(config, ids, length, i), i);
    rows[count++] = clipc_token_place(vocabulary, (size_t)ids[pooled], pooled);
    return count;
}

size_t clipc_text_rows(const clipc_config *config, const int32_t *ids, size_t length, size_t context, int32_t *rows)
{
    if (config->text_class_token)
        return with_class_token(config, ids, length, context, rows);
    if (clipc_config_places_tokens(config))
        return in_any_order(config, ids, length, context, rows);
    const size_t kept = pooled_token(config, ids, length) + 1;
    memcpy(rows, ids, kept * sizeof *rows);
    return kept;
}
