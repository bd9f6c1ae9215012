/* What there is to compute on, as the backends tell it. */
#include "backend/backend.h"

static clipc_status find(const char *name, const clipc_backend **out, clipc_error *error)
{
    CLIPC_FAIL_IF(!name, error, CLIPC_ERROR_ARGUMENT, "devices: backend is NULL");
    CLIPC_TRY(clipc_backend_find(name, out, error));
    CLIPC_FAIL_IF(!(*out)->device_count, error, CLIPC_ERROR_ARGUMENT, "backend %s: it has no devices of its own",
                  name);
    return CLIPC_OK;
}

clipc_status clipc_device_count(const char *backend, size_t *count, clipc_error *error)
{
    const clipc_backend *found = NULL;
    CLIPC_FAIL_IF(!count, error, CLIPC_ERROR_ARGUMENT, "clipc_device_count: count is NULL");
    *count = 0;
    CLIPC_TRY(find(backend, &found, error));
    return found->device_count(count, error);
}

clipc_status clipc_device_get_info(const char *backend, size_t index, clipc_device_info *info, clipc_error *error)
{
    const clipc_backend *found = NULL;
    size_t count = 0;
    CLIPC_FAIL_IF(!info, error, CLIPC_ERROR_ARGUMENT, "clipc_device_get_info: info is NULL");
    CLIPC_FAIL_IF(info->size != sizeof *info, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_device_info.size is %zu, must be %zu", info->size, sizeof *info);
    CLIPC_TRY(find(backend, &found, error));
    CLIPC_TRY(found->device_count(&count, error));
    CLIPC_FAIL_IF(index >= count, error, CLIPC_ERROR_ARGUMENT, "backend %s: there is no device %zu, they end at %zu",
                  backend, index, count - 1);
    *info = (clipc_device_info){.size = sizeof *info, .backend = found->name, .index = index};
    return found->device_info(index, info, error);
}
