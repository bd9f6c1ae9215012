#include "backend/cuda/work_plan.h"

#include "base/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* From this many items on a device is worth a share: below, two devices take as long as one. */
#define DEVICE_SHARE ((size_t)32)
/* A part of a share: large enough to run at nearly full speed, small enough that the first copy, which overlaps
 * nothing, is short. */
#define PART ((size_t)256)
/* An upload's parts: about so many, of so many bytes at least. */
#define UPLOAD_PARTS ((size_t)8)
#define UPLOAD_LEAST ((size_t)2 << 20)

static clipc_status add_device(unsigned long number, size_t present, int *devices, size_t *count, clipc_error *error)
{
    CLIPC_FAIL_IF(number >= present, error, CLIPC_ERROR_ARGUMENT, "devices: there is no device %lu, they end at %zu",
                  number, present - 1);
    for (size_t i = 0; i < *count; i++)
        CLIPC_FAIL_IF(devices[i] == (int)number, error, CLIPC_ERROR_ARGUMENT, "devices: %lu is named twice", number);
    devices[(*count)++] = (int)number;
    return CLIPC_OK;
}

clipc_status clipc_cuda_devices_parse(const char *list, size_t present, int devices[CLIPC_CUDA_DEVICES], size_t *count,
                                      clipc_error *error)
{
    *count = 0;
    const size_t usable = clipc_min(present, CLIPC_CUDA_DEVICES);
    if (list && strcmp(list, "all") == 0) {
        for (size_t i = 0; i < usable; i++)
            devices[(*count)++] = (int)i;
        return CLIPC_OK;
    }
    for (const char *at = list ? list : "0";; at++) {
        char *end = NULL;
        errno = 0;
        const unsigned long number = strtoul(at, &end, 10);
        CLIPC_FAIL_IF(*at < '0' || *at > '9' || errno || (*end && *end != ','), error, CLIPC_ERROR_ARGUMENT,
                      "devices: '%s' is neither \"all\" nor numbers separated by commas", list);
        CLIPC_TRY(add_device(number, usable, devices, count, error));
        at = end;
        if (!*at)
            return CLIPC_OK;
    }
}

static size_t divide_up(size_t value, size_t by)
{
    return (value + by - 1) / by;
}

size_t clipc_cuda_pass_items(size_t count, size_t devices, size_t streams, size_t most)
{
    const size_t sharing = clipc_max(clipc_min(devices, count / DEVICE_SHARE), 1);
    size_t items = divide_up(clipc_max(count, 1), sharing);
    if (streams > 1 && items >= 2 * PART)
        items = divide_up(items, divide_up(items, PART));
    return clipc_max(clipc_min(items, most), 1);
}

size_t clipc_cuda_upload_part(size_t bytes, size_t area)
{
    const size_t part = clipc_round_up(bytes / UPLOAD_PARTS, UPLOAD_LEAST);
    return clipc_min(clipc_max(part, UPLOAD_LEAST), area);
}
