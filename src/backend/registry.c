#include "backend/backend.h"

#include <string.h>

/* Fastest first: "auto" takes the first automatic one that this machine can run. */
static const clipc_backend *const backends[] = {
#ifdef CLIPC_HAVE_CUDA
    &clipc_backend_cuda,
#endif
    &clipc_backend_cpu,
    &clipc_backend_ref,
#ifdef CLIPC_HAVE_TENSORRT
    &clipc_backend_tensorrt,
#endif
};

const clipc_backend *clipc_backend_at(size_t index)
{
    return index < sizeof backends / sizeof *backends ? backends[index] : NULL;
}

const clipc_block_writer *clipc_block_writer_find(const char *backend)
{
    return strcmp(backend, clipc_block_writer_cuda.backend) == 0 ? &clipc_block_writer_cuda : NULL;
}

clipc_status clipc_backend_find(const char *name, const clipc_backend **out, clipc_error *error)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i]->name, name) == 0)
            *out = backends[i];
    CLIPC_FAIL_IF(!*out && strcmp(name, "cuda") == 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend cuda: this clipc was built without it (make release builds it)");
    CLIPC_FAIL_IF(!*out && strcmp(name, "tensorrt") == 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "backend tensorrt: this clipc was built without it (it needs TensorRT's headers: docs/tensorrt.md)");
    CLIPC_FAIL_IF(!*out, error, CLIPC_ERROR_ARGUMENT, "unknown backend '%s'", name);
    return CLIPC_OK;
}
