#include "text/charsmap.h"

#include "text/unicode.h"

#include <string.h>

static uint32_t unit_at(const clipc_charsmap *map, size_t place)
{
    const uint8_t *bytes = map->units + 4 * place;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* How far the children of a unit lie from it (exclusive or). */
static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

bool clipc_charsmap_open(const uint8_t *bytes, size_t size, clipc_charsmap *out)
{
    *out = (clipc_charsmap){0};
    if (size < 4)
        return false;
    const size_t trie = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (trie % 4 != 0 || trie < 4 || trie > size - 4)
        return false;
    *out = (clipc_charsmap){.units = bytes + 4,
                            .unit_count = trie / 4,
                            .replacements = bytes + 4 + trie,
                            .replacements_size = size - 4 - trie};
    return clipc_utf8_check(out->replacements, out->replacements_size) == out->replacements_size;
}

/* The text at `place` of the replacements. A place inside a character, which no honest map has, is refused. */
static bool replacement_at(const clipc_charsmap *map, size_t place, const uint8_t **replacement, size_t *length)
{
    if (place > map->replacements_size)
        return false;
    const size_t left = map->replacements_size - place;
    const uint8_t *begin = map->replacements + place;
    const uint8_t *end = left ? memchr(begin, 0, left) : NULL;
    if (left && (begin[0] & 0xC0) == 0x80)
        return false;
    *replacement = begin;
    *length = end ? (size_t)(end - begin) : left;
    return true;
}

/* Walks down the trie from its root. Each rule that ends on the way is offered; a rule that is damaged ends it. */
static bool walk(const clipc_charsmap *map, const uint8_t *text, size_t length, bool longest,
                 const uint8_t **replacement, size_t *replacement_length, size_t *used)
{
    size_t place = unit_offset(unit_at(map, 0));
    bool found = false;
    for (size_t i = 0; i < length && text[i] != 0; i++) {
        place ^= text[i];
        if (place >= map->unit_count)
            break;
        const uint32_t unit = unit_at(map, place);
        if ((unit & 0x800000FFU) != text[i])
            break;
        place ^= unit_offset(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (place >= map->unit_count ||
            !replacement_at(map, unit_at(map, place) & 0x7FFFFFFFU, replacement, replacement_length))
            break;
        found = true;
        *used = i + 1;
        if (!longest)
            break;
    }
    return found;
}

bool clipc_charsmap_find(const clipc_charsmap *map, const uint8_t *text, size_t length, const uint8_t **replacement,
                         size_t *replacement_length)
{
    size_t used = 0;
    return walk(map, text, length, false, replacement, replacement_length, &used);
}

size_t clipc_charsmap_longest(const clipc_charsmap *map, const uint8_t *text, size_t length,
                              const uint8_t **replacement, size_t *replacement_length)
{
    size_t used = 0;
    return walk(map, text, length, true, replacement, replacement_length, &used) ? used : 0;
}
