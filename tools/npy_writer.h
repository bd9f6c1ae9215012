/* A float32 .npy array whose number of rows is known only at its end. */
#ifndef CLIPC_TOOLS_NPY_WRITER_H
#define CLIPC_TOOLS_NPY_WRITER_H

#include "output.h"

typedef struct npy_writer npy_writer;

/* Opens the file, as output_open does. */
npy_writer *npy_writer_open(const char *path);
/* `row_shape` has `row_rank` sizes (at most 7): the array will be [rows, row_shape…]. A regular file gets its header
 * at the end; for a pipe the rows wait in an unnamed temporary file ($TMPDIR or /tmp) until then. */
void npy_writer_start(npy_writer *writer, const size_t *row_shape, size_t row_rank);
bool npy_writer_is_regular(const npy_writer *writer);
void npy_writer_rows(npy_writer *writer, const float *rows, size_t count);
size_t npy_writer_count(const npy_writer *writer);
/* Completes the file and closes it, checking both. */
void npy_writer_close(npy_writer *writer);
/* Gives it its name, and frees. */
void npy_writer_publish(npy_writer **writer);
/* Whether publishing would replace a file that is there already. */
bool npy_writer_replaces(const npy_writer *writer);
/* Leaves what was there, and frees. */
void npy_writer_discard(npy_writer **writer);

#endif
