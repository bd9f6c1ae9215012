/* One way to launch every kernel: dynamic shared memory, clusters and programmatic dependent launch. */
#ifndef CLIPC_BACKEND_CUDA_LAUNCH_CUH
#define CLIPC_BACKEND_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* The kernel waits by wait_for_previous_kernel() before it touches anything that an earlier kernel wrote or reads. */
template <typename... parameters, typename... arguments>
static cudaError_t launch_kernel(void (*kernel)(parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                                 int cluster, cudaStream_t stream, const arguments &...values)
{
    /* All kernels want the same split of the multiprocessor's memory: changing it empties the multiprocessor, and two
     * kernels that follow each other could not overlap. */
    cudaError_t result =
        cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (result == cudaSuccess && shared_bytes > 48 * 1024)
        result = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    if (result != cudaSuccess)
        return result;
    cudaLaunchAttribute attributes[2] = {};
    unsigned count = 0;
    int device = 0;
    int major = 0;
    result = cudaGetDevice(&device);
    if (result == cudaSuccess)
        result = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (result != cudaSuccess)
        return result;
    if (major >= 9) {
        attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[count++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster > 1) {
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count].val.clusterDim = {(unsigned)cluster, 1, 1};
        count++;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = count;
    return cudaLaunchKernelEx(&config, kernel, values...);
}

#endif
