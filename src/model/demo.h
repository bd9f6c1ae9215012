/* The bytes of the embedded model: each file from begin up to end, aligned to 64. */
#ifndef CLIPC_MODEL_DEMO_H
#define CLIPC_MODEL_DEMO_H

#include <stdint.h>

extern const uint8_t clipc_demo_config_begin[], clipc_demo_config_end[];
extern const uint8_t clipc_demo_preprocessor_begin[], clipc_demo_preprocessor_end[];
extern const uint8_t clipc_demo_weights_begin[], clipc_demo_weights_end[];
extern const uint8_t clipc_demo_tokenizer_begin[], clipc_demo_tokenizer_end[];

#endif
