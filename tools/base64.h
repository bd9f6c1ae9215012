/* Bytes inside a web page. */
#ifndef CLIPC_TOOLS_BASE64_H
#define CLIPC_TOOLS_BASE64_H

#include <stddef.h>

/* "data:TYPE;base64,…", which the caller frees. */
char *data_uri(const char *type, const unsigned char *bytes, size_t size);

#endif
