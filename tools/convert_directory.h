/* The part of clipc convert that writes a directory of transformers. */
#ifndef CLIPC_TOOLS_CONVERT_DIRECTORY_H
#define CLIPC_TOOLS_CONVERT_DIRECTORY_H

#include "options.h"

/* A name that ends in a slash, or a directory that is there. */
bool convert_names_directory(const char *path);
/* Opens the model that `source` names and writes it; all files appear under their names at the end, or none does. */
void convert_to_directory(const tool_settings *source, const char *path);

#endif
