#include "backend/backend.h"

#include <string.h>

/* Fastest first: "auto" takes the first that this machine can run. */
static const clipc_backend *const backends[] = {
#ifdef CLIPC_HAVE_CUDA
    &clipc_backend_cuda,
#endif
    &clipc_backend_cpu, &clipc_backend_ref};

const clipc_backend *clipc_backend_at(size_t index)
{
    return index < sizeof backends / sizeof *backends ? backends[index] : NULL;
}

const clipc_backend *clipc_backend_find(const char *name)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}
