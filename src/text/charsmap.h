/* sentencepiece's precompiled_charsmap: a double-array trie from byte strings to their replacements.
 *
 * Layout of the bytes (sentencepiece, builder.cc): a little-endian uint32, the trie's size in bytes; the trie, units
 * of darts-clone's (uint32); the replacements, each ended by a zero byte. */
#ifndef CLIPC_TEXT_CHARSMAP_H
#define CLIPC_TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct clipc_charsmap {
    const uint8_t *units; /* 4 bytes each, of any alignment */
    size_t unit_count;
    const uint8_t *replacements;
    size_t replacements_size;
} clipc_charsmap;

/* Points into `bytes`; false when they cannot be such a map. What the trie says is checked as it is followed. */
bool clipc_charsmap_open(const uint8_t *bytes, size_t size, clipc_charsmap *out);
/* The replacement of the shortest entry that `text` begins with. False when there is none. */
bool clipc_charsmap_find(const clipc_charsmap *map, const uint8_t *text, size_t length, const uint8_t **replacement,
                         size_t *replacement_length);

/* The longest rule that the text begins with: how many of its bytes it replaces, or 0. */
size_t clipc_charsmap_longest(const clipc_charsmap *map, const uint8_t *text, size_t length,
                              const uint8_t **replacement, size_t *replacement_length);

#endif
