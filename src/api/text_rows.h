/* From a text's token ids to the rows that its tower computes. */
#ifndef CLIPC_API_TEXT_ROWS_H
#define CLIPC_API_TEXT_ROWS_H

#include "model/config.h"

/* Writes the rows of one text, the pooled one last, and returns how many: at most clipc_config_text_rows, as `context`
 * (the tokens of a full text) is at most the positions without the class token's.
 *
 * Where attention is causal these are the tokens up to the pooled one. Where it is not, and the pooled one is not the
 * last of a full text, they are all tokens of the full text, padding too, each with its position, in an order that
 * puts the pooled one last: rows that all see one another may stand in any order.
 *
 * With a class token, open_clip's CoCa (transformer.py, TextTransformer) appends its row to the full text and masks as
 * keys all rows whose *predecessor* is the pad token: row i is seen where i = 0 or token i - 1 is none. A row that
 * nobody sees is left out. The class row is the pooled one, and by that rule sees itself only in a text without any
 * padding at its end. It is the last row here and never sees itself; where it should, it stands before itself once
 * more. */
size_t clipc_text_rows(const clipc_config *config, const int32_t *ids, size_t length, size_t context, int32_t *rows);

#endif
