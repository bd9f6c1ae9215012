/* Texts as the library of SentencePiece itself makes pieces of them (normalizer.cc, unigram_model.cc):
 * SiglipTokenizer, which reads spiece.model, leaves everything after its cleaning to that. */
#ifndef CLIPC_TEXT_SENTENCE_H
#define CLIPC_TEXT_SENTENCE_H

#include "text/byte_pair.h"
#include "text/steps.h"

/* CLIPC_STEP_SENTENCE: the longest rule of the charsmap at each place, then spaces by the step's flags. */
clipc_status clipc_sentence_normalize(const clipc_step *step, const clipc_charsmap *map, const uint8_t *text,
                                      size_t length, clipc_text_buffer *out, clipc_error *error);

#endif
