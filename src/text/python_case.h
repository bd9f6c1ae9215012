/* Python's str.lower(): the one rule that looks around is a capital sigma's (Unicode standard, 3.13, Final_Sigma). */
#ifndef CLIPC_TEXT_PYTHON_CASE_H
#define CLIPC_TEXT_PYTHON_CASE_H

#include <stddef.h>
#include <stdint.h>

/* The lower case of the character `code_point` at `at` of `text` (checked UTF-8), 1 or 2 code points. */
size_t clipc_python_lower(const uint8_t *text, size_t length, size_t at, int32_t code_point, int32_t lower[2]);

#endif
