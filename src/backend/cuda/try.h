#ifndef CLIPC_BACKEND_CUDA_TRY_H
#define CLIPC_BACKEND_CUDA_TRY_H

/* Returns from a function of cudaError_t what a call failed with. */
#define TRY(call)                                                                                                     \
    do {                                                                                                              \
        const cudaError_t try_result = (call);                                                                        \
        if (try_result != cudaSuccess)                                                                                \
            return try_result;                                                                                        \
    } while (0)

#endif
