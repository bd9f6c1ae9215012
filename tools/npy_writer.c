#include "npy_writer.h"

#include "message.h"

#include "clipc/clipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_LIMIT   256
#define LARGEST_RANK   8
#define COPY_BLOCK     ((size_t)1 << 16)
#define PREAMBLE_BYTES 10 /* magic, version 1.0, and the header's length as 16 bits, little-endian */

struct npy_writer {
    output_file *output;
    FILE *spool; /* for what cannot be patched */
    size_t shape[LARGEST_RANK];
    size_t rank;
    size_t row_values;
    size_t header_size;
};

static void quit_spool(void)
{
    quit(STATUS_SYSTEM, "temporary file for standard output or a pipe: %s", strerror(errno));
}

/* Unnamed from the start, so that nothing is left behind whatever happens. */
static FILE *open_spool(void)
{
    const char *directory = getenv("TMPDIR");
    const int descriptor = open(directory && directory[0] ? directory : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    FILE *spool = descriptor >= 0 ? fdopen(descriptor, "w+") : tmpfile();
    if (!spool)
        quit_spool();
    return spool;
}

/* The header for the rows there are now, padded with spaces, as the format allows, to the room that was kept. */
static void make_header(const npy_writer *writer, char header[HEADER_LIMIT])
{
    const size_t size = clipc_npy_header(writer->shape, writer->rank, header);
    memset(header + size - 1, ' ', writer->header_size - size);
    header[writer->header_size - 1] = '\n';
    const size_t rest = writer->header_size - PREAMBLE_BYTES;
    header[PREAMBLE_BYTES - 2] = (char)(rest & 0xFF);
    header[PREAMBLE_BYTES - 1] = (char)(rest >> 8);
}

npy_writer *npy_writer_open(const char *path)
{
    npy_writer *writer = allocate(1, sizeof *writer);
    writer->output = output_open(path);
    return writer;
}

void npy_writer_start(npy_writer *writer, const size_t *row_shape, size_t row_rank)
{
    writer->rank = row_rank + 1;
    writer->row_values = 1;
    for (size_t i = 0; i < row_rank; i++) {
        writer->shape[i + 1] = row_shape[i];
        writer->row_values *= row_shape[i];
    }
    char header[HEADER_LIMIT] = {0};
    writer->shape[0] = SIZE_MAX; /* the longest there can be */
    writer->header_size = clipc_npy_header(writer->shape, writer->rank, header);
    writer->shape[0] = 0;
    if (output_is_regular(writer->output))
        output_write(writer->output, header, writer->header_size);
    else
        writer->spool = open_spool();
}

bool npy_writer_is_regular(const npy_writer *writer)
{
    return output_is_regular(writer->output);
}

void npy_writer_rows(npy_writer *writer, const float *rows, size_t count)
{
    const size_t values = count * writer->row_values;
    if (!writer->spool)
        output_write(writer->output, rows, values * sizeof *rows);
    else if (fwrite(rows, sizeof *rows, values, writer->spool) != values)
        quit_spool();
    writer->shape[0] += count;
}

size_t npy_writer_count(const npy_writer *writer)
{
    return writer->shape[0];
}

static void copy_spool(npy_writer *writer)
{
    char *block = allocate(COPY_BLOCK, 1);
    if (fflush(writer->spool) != 0 || fseeko(writer->spool, 0, SEEK_SET) != 0)
        quit_spool();
    for (size_t size = COPY_BLOCK; size == COPY_BLOCK;) {
        size = fread(block, 1, COPY_BLOCK, writer->spool);
        if (ferror(writer->spool))
            quit_spool();
        output_write(writer->output, block, size);
    }
    fclose(writer->spool);
    free(block);
}

void npy_writer_close(npy_writer *writer)
{
    char header[HEADER_LIMIT] = {0};
    make_header(writer, header);
    if (writer->spool) {
        output_write(writer->output, header, writer->header_size);
        copy_spool(writer);
    } else {
        output_patch_start(writer->output, header, writer->header_size);
    }
    output_close(writer->output);
}

void npy_writer_publish(npy_writer **writer)
{
    output_publish(&(*writer)->output);
    free(*writer);
    *writer = NULL;
}

bool npy_writer_replaces(const npy_writer *writer)
{
    return output_replaces(writer->output);
}

void npy_writer_discard(npy_writer **writer)
{
    output_discard(&(*writer)->output);
    free(*writer);
    *writer = NULL;
}
