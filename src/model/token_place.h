/* A row of a text as one number: its token and its position, where rows do not simply follow one another
 * (clipc_config_places_tokens). The class token of texts is the id after the vocabulary's last. */
#ifndef CLIPC_MODEL_TOKEN_PLACE_H
#define CLIPC_MODEL_TOKEN_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* clipc_config_check_parts sees to it that the product fits. */
static inline int32_t clipc_token_place(size_t vocabulary, size_t id, size_t position)
{
    return (int32_t)(position * (vocabulary + 1) + id);
}

static inline size_t clipc_token_place_id(size_t vocabulary, int32_t place)
{
    return (size_t)place % (vocabulary + 1);
}

static inline size_t clipc_token_place_position(size_t vocabulary, int32_t place)
{
    return (size_t)place / (vocabulary + 1);
}

#endif
