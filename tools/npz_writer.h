/* Several arrays in one file, as numpy.savez writes them. */
#ifndef CLIPC_TOOLS_NPZ_WRITER_H
#define CLIPC_TOOLS_NPZ_WRITER_H

#include <stddef.h>
#include <stdint.h>

typedef struct npz_writer npz_writer;

/* Opens the file, as output_open does. */
npz_writer *npz_writer_open(const char *path);
/* Each adds a C-order array of that name. Quits when the archive would pass 4 GiB. */
void npz_writer_floats(npz_writer *writer, const char *name, const size_t *shape, size_t rank, const float *values);
void npz_writer_integers(npz_writer *writer, const char *name, const size_t *shape, size_t rank,
                         const int32_t *values);
/* Completes the file, gives it its name, and frees. */
void npz_writer_close(npz_writer **writer);

#endif
