/* A reader for the two large values in a tokenizer's files, the vocabulary and the merges. It takes only what such
 * files usually hold and declines the rest, for jansson to judge; what it takes, jansson takes too and reads alike.
 * jansson makes a value of every number and a node of every entry, 20 ms for CLIP's vocabulary; this takes 2. */
#ifndef CLIPC_TEXT_QUICK_JSON_H
#define CLIPC_TEXT_QUICK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Over `at` … `end`, which is valid UTF-8. Texts without an escape are views of it; the others go to `decoded`, which
 * has room for as many bytes. */
typedef struct clipc_quick_json {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t *decoded;
} clipc_quick_json;

void clipc_quick_json_skip_space(clipc_quick_json *reader);
/* Each skips white space, then takes one thing; false: it is something else, or out of the ordinary. */
bool clipc_quick_json_symbol(clipc_quick_json *reader, char symbol);
bool clipc_quick_json_text(clipc_quick_json *reader, const char **text, size_t *length);
/* 0 … 999,999,999. */
bool clipc_quick_json_number(clipc_quick_json *reader, uint32_t *number);
/* Any number of up to 63 characters. `exact`: the nearest double, as Python and jansson read it; else digits times a
 * power of ten, in double, which is what the tokenizers package reads (serde_json without float_roundtrip) and may lie
 * one unit beside. */
bool clipc_quick_json_real(clipc_quick_json *reader, bool exact, double *number);

#endif
