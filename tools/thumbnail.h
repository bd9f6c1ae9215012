/* Small pictures for the result sheet. */
#ifndef CLIPC_TOOLS_THUMBNAIL_H
#define CLIPC_TOOLS_THUMBNAIL_H

#include "clipc/clipc.h"

/* The image of a file, shrunk to fit THUMBNAIL_SIDE pixels each way, as a JPEG data URI that the caller frees; NULL
 * when it cannot be read (again). */
#define THUMBNAIL_SIDE 256
char *thumbnail_data_uri(const char *path, const clipc_image_options *options);

#endif
