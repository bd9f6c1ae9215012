#include "base/mapped_file.h"

#include "base/checked.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP ((size_t)1 << 16)
/* What has no size beforehand may have no end either. */
#define STREAM_LIMIT ((size_t)1 << 30)

static clipc_status fail_errno(clipc_error *error, const char *path, const char *action)
{
    const int number = errno;
    const clipc_status status = number == ENOENT || number == ENOTDIR ? CLIPC_ERROR_NOT_FOUND : CLIPC_ERROR_IO;
    return clipc_fail(error, status, "%s: cannot %s: %s", path, action, strerror(number));
}

/* `expected` bytes are thought to come; fewer or more may. */
static clipc_status read_stream(int descriptor, const char *path, size_t expected, size_t most, clipc_mapped_file *out,
                                clipc_error *error)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    size_t capacity = 0;
    clipc_status status = CLIPC_OK;
    for (;;) {
        if (size == capacity) {
            capacity = capacity ? 2 * capacity : expected ? expected + 1 : READ_STEP; /* + 1: room to see the end */
            capacity = clipc_min(capacity, clipc_max(most, size) + 1);
            uint8_t *larger = clipc_reallocate(bytes, capacity, 1);
            if (!larger) {
                status = clipc_fail_memory(error, capacity, path);
                break;
            }
            bytes = larger;
        }
        const ssize_t count = read(descriptor, bytes + size, capacity - size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            status = fail_errno(error, path, "read");
            break;
        }
        if (count == 0)
            break;
        size += (size_t)count;
        if (size > most) {
            status = clipc_fail(error, CLIPC_ERROR_LIMIT, "%s: longer than the limit of %zu bytes", path, most);
            break;
        }
    }
    if (status != CLIPC_OK) {
        clipc_free(bytes);
        return status;
    }
    *out = (clipc_mapped_file){.bytes = bytes, .size = size, .heap = bytes};
    return CLIPC_OK;
}

static clipc_status map_regular(int descriptor, const char *path, size_t size, clipc_mapped_file *out,
                                clipc_error *error)
{
    void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED)
        return fail_errno(error, path, "map");
    *out = (clipc_mapped_file){.bytes = mapping, .size = size, .mapping = mapping};
    return CLIPC_OK;
}

static clipc_status open_file(const char *path, size_t limit, bool map, clipc_mapped_file *out, clipc_error *error)
{
    *out = (clipc_mapped_file){0};
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return fail_errno(error, path, "open");
    const size_t most = limit && limit < STREAM_LIMIT ? limit : STREAM_LIMIT;
    struct stat info;
    clipc_status status = CLIPC_OK;
    if (fstat(descriptor, &info) != 0)
        status = fail_errno(error, path, "stat");
    else if (S_ISDIR(info.st_mode))
        status = clipc_fail(error, CLIPC_ERROR_IO, "%s: is a directory", path);
    else if (!S_ISREG(info.st_mode) || info.st_size == 0) /* files of /proc say 0 and are not empty */
        status = read_stream(descriptor, path, 0, most, out, error);
    else if (limit && (uint64_t)info.st_size > limit)
        status = clipc_fail(error, CLIPC_ERROR_LIMIT, "%s: %lld bytes, over the limit of %zu", path,
                            (long long)info.st_size, limit);
    else if (map)
        status = map_regular(descriptor, path, (size_t)info.st_size, out, error);
    else
        status = read_stream(descriptor, path, (size_t)info.st_size, limit ? limit : SIZE_MAX / 4, out, error);
    close(descriptor);
    return status;
}

clipc_status clipc_mapped_file_open(const char *path, size_t limit, clipc_mapped_file *out, clipc_error *error)
{
    return open_file(path, limit, true, out, error);
}

clipc_status clipc_mapped_file_read(const char *path, size_t limit, clipc_mapped_file *out, clipc_error *error)
{
    return open_file(path, limit, false, out, error);
}

/* A fault may map all of a large folio of the page cache, so what lies beside the bytes is let go with them. */
#define LARGEST_FOLIO ((size_t)2 << 20)

void clipc_mapped_file_forget(const clipc_mapped_file *file, const void *bytes, size_t size)
{
    if (!file->mapping || size == 0)
        return;
    uint8_t *base = file->mapping;
    const size_t first = (size_t)((const uint8_t *)bytes - file->bytes);
    const size_t begin = first & ~(LARGEST_FOLIO - 1);
    const size_t end = clipc_min(clipc_round_up(first + size, LARGEST_FOLIO), file->size);
    madvise(base + begin, end - begin, MADV_DONTNEED); /* a wish, too */
}

void clipc_mapped_file_close(clipc_mapped_file *file)
{
    if (file->mapping)
        munmap(file->mapping, file->size);
    clipc_free(file->heap);
    *file = (clipc_mapped_file){0};
}
