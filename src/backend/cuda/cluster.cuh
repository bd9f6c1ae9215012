/* Blocks of a cluster that share what the copy engine brings: when all have started or ended, and when a stage of the
 * ring may be written again. */
#ifndef CLIPC_BACKEND_CUDA_CLUSTER_CUH
#define CLIPC_BACKEND_CUDA_CLUSTER_CUH

#include "backend/cuda/ptx.cuh"

/* Every thread of every block of the cluster. */
template <int cluster> static __device__ __forceinline__ void sync_cluster()
{
    if (cluster == 1) {
        __syncthreads();
    } else {
        __syncwarp();
        cluster_arrive();
        cluster_wait();
    }
}

/* A stage is free once every warp of the cluster has said so to every block of it. `barrier`: the stage's. */
template <int cluster> static __device__ __forceinline__ void release_stage(uint32_t barrier)
{
    const int lane = threadIdx.x % 32;
    if (cluster == 1 && lane == 0)
        barrier_arrive(barrier);
    if (cluster > 1 && lane < cluster)
        barrier_arrive_at(barrier, (uint32_t)lane);
}

#endif
