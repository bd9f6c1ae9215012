/* A tower of few rows in one launch (whole_tower.h): one warp keeps weights coming, the others, a warpgroup for each
 * 64 rows, go through the chain of products. Warp w has rows 16 w … of every product; a product's columns are shared
 * out among groups of `split` blocks of a cluster, its depth within the group. Each block sends the partial sums of 8
 * columns to the block of the group that finishes them, which adds them in the order of depth. Blocks that finish
 * columns of the residual stream keep it in registers, in fp32. */
#include "backend/cuda/whole_tower_chain.cuh"

#include <cuda.h>

namespace
{

using namespace whole_tower;

/* The weights' way into shared memory, in the order of use; by one thread. */
template <class shape> struct weight_loader {
    const clipc_whole_tower &tower;
    uint32_t shared;
    uint64_t policy;
    uint32_t fills; /* bit b: parity of fills of buffer b */
    uint32_t filled;

    template <int column_groups, int steps, int split>
    __device__ void load(int buffer, int map, int columns, int count)
    {
        const int column0 = (int)blockIdx.x / split * column_groups * 8;
        if (column0 >= columns)
            return;
        const uint32_t empty = shape::empty_barrier(shared, buffer);
        const uint32_t full = shape::full_barrier(shared, buffer);
        if (filled >> buffer & 1) {
            patient_barrier_wait(empty, fills >> buffer & 1);
            fills ^= 1u << buffer;
        }
        filled |= 1u << buffer;
        const int boxes = (count ? count : steps) / 2;
        const int depth0 = (int)blockIdx.x % split * boxes * 32;
        barrier_expect_bytes(full, (uint32_t)(boxes * column_groups * 512));
        const CUtensorMap *maps = static_cast<const CUtensorMap *>(tower.maps);
        for (int i = 0; i < boxes; i++)
            copy_tensor_2d_once(shared + shape::buffer_at(buffer) + i * column_groups * 512, maps + map, full,
                                depth0 + i * 32, column0, policy);
    }

    /* Patch embedding and the first layer: what fits before anything has been used. */
    __device__ void start()
    {
        if (tower.tokens)
            load<shape::narrow_groups, 0, shape::narrow_split>(
                CLIPC_WHOLE_FC2, tower.layers * CLIPC_WHOLE_MATRICES + 1, shape::width, patch_steps<shape>(tower));
        load_layer_but_last(0);
    }

    __device__ void load_layer_but_last(int layer)
    {
        const int map = layer * CLIPC_WHOLE_MATRICES;
        load<shape::qkv_groups, shape::wide_steps, shape::wide_split>(CLIPC_WHOLE_QKV, map, 3 * shape::width, 0);
        load<shape::narrow_groups, shape::narrow_steps, shape::narrow_split>(CLIPC_WHOLE_OUT, map + CLIPC_WHOLE_OUT,
                                                                             shape::width, 0);
        load<shape::fc1_groups, shape::wide_steps, shape::wide_split>(CLIPC_WHOLE_FC1, map + CLIPC_WHOLE_FC1,
                                                                      4 * shape::width, 0);
    }

    __device__ void rest()
    {
        for (int layer = 0; layer < tower.layers; layer++) {
            if (layer > 0)
                load_layer_but_last(layer);
            load<shape::narrow_groups, shape::fc2_steps, shape::narrow_split>(
                CLIPC_WHOLE_FC2, layer * CLIPC_WHOLE_MATRICES + CLIPC_WHOLE_FC2, shape::width, 0);
        }
        load<CLIPC_WHOLE_PROJECTION, shape::narrow_steps, shape::narrow_split>(
            CLIPC_WHOLE_QKV, tower.layers * CLIPC_WHOLE_MATRICES, tower.dimension, 0);
    }
};

/* The set that the last launch used is emptied for the next. */
template <class shape>
__device__ void empty_other_set(const clipc_whole_tower &tower, uint32_t shared, int launch, int tiles)
{
    unsigned char *set = static_cast<unsigned char *>(tower.exchange) + (launch & 1 ? 0 : tower.exchange_bytes);
    const long long pieces = (long long)tiles * tile_bytes<shape>(tower) / empty_bytes;
    for (long long i = blockIdx.x; i < pieces; i += shape::blocks)
        store_bulk(set + i * empty_bytes, shared + shape::empty_at, empty_bytes);
}

template <class shape> __device__ void fill_row_places(const clipc_whole_tower &tower, unsigned char *memory)
{
    row_place *places = reinterpret_cast<row_place *>(memory + shape::places_at);
    const int row = (int)threadIdx.x;
    if (row >= shape::rows)
        return;
    row_place place = {(short)row, (short)row, -1, 0}; /* no row: sees nothing */
    if (row < tower.rows) {
        int item = 0;
        int begin = 0;
        int end = 0;
        if (tower.tokens) {
            item = row / tower.tokens;
            begin = item * tower.tokens;
            end = begin + tower.tokens;
        } else {
            for (; item < tower.count; item++) {
                begin = tower.offsets[item];
                end = tower.offsets[item + 1];
                if (row < end)
                    break;
            }
        }
        place = {(short)begin, (short)end, (short)item, (short)(row == (tower.tokens ? begin : end - 1))};
    }
    places[row] = place;
}

template <class shape>
__global__ void __launch_bounds__(shape::threads, 1) whole_tower_f16(const __grid_constant__ clipc_whole_tower tower)
{
#if __CUDA_ARCH__ >= 900
    extern __shared__ __align__(1024) unsigned char memory[];
    const uint32_t shared = shared_address(memory);
    const int warp = (int)threadIdx.x / 32;
    const bool loads = warp == shape::tiles;
    volatile int *state = reinterpret_cast<volatile int *>(memory + shape::state_at);
    if (threadIdx.x == 0) {
        shape::init_barriers(shared);
        state[0] = tower.state[2 * blockIdx.x];
        state[1] = tower.state[2 * blockIdx.x + 1];
    }
    for (int i = (int)threadIdx.x; i < empty_bytes / 16; i += shape::threads)
        reinterpret_cast<uint4 *>(memory + shape::empty_at)[i] = make_uint4(~0u, ~0u, ~0u, ~0u);
    fill_row_places<shape>(tower, memory);
    copy_engine_fence();
    __syncthreads();
    const int launch = state[0];
    weight_loader<shape> loader = {tower, shared, policy_of_once(), 0, 0};
    if (loads && threadIdx.x % 32 == 0)
        loader.start();
    __syncwarp();
    cluster_arrive();
    cluster_wait();
    if (loads) {
        if (threadIdx.x % 32 == 0) {
            empty_other_set<shape>(tower, shared, launch, state[1]);
            loader.rest();
            store_bulk_finish();
        }
    } else {
        worker<shape> work(tower, memory, launch);
        run_chain(work);
    }
    __syncwarp();
    cluster_arrive(); /* nobody leaves while others may still send to him */
    cluster_wait();
    if (threadIdx.x == 0) {
        tower.state[2 * blockIdx.x] = launch + 1;
        tower.state[2 * blockIdx.x + 1] = (tower.rows + 15) / 16;
    }
#endif
}

/* Fills in what launching takes. Blocks wait for each other: they must all be there at once. */
template <class shape> cudaError_t configure(cudaLaunchConfig_t *config, cudaLaunchAttribute *attributes)
{
    const cudaError_t result =
        cudaFuncSetAttribute(whole_tower_f16<shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, shape::shared_bytes);
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim = {CLIPC_WHOLE_CLUSTER, 1, 1};
    attributes[1].id = cudaLaunchAttributeCooperative;
    attributes[1].val.cooperative = 1;
    config->gridDim = dim3(shape::blocks);
    config->blockDim = dim3(shape::threads);
    config->dynamicSmemBytes = shape::shared_bytes;
    config->attrs = attributes;
    config->numAttrs = 2;
    return result;
}

template <class shape> cudaError_t fits(int *out)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attributes[2] = {};
    int clusters = 0;
    cudaError_t result = configure<shape>(&config, attributes);
    if (result == cudaSuccess)
        result = cudaOccupancyMaxActiveClusters(&clusters, whole_tower_f16<shape>, &config);
    *out = clusters * CLIPC_WHOLE_CLUSTER >= shape::blocks;
    return result;
}

template <class shape> cudaError_t launch(const clipc_whole_tower *tower, cudaStream_t stream)
{
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attributes[2] = {};
    const cudaError_t result = configure<shape>(&config, attributes);
    config.stream = stream;
    return result == cudaSuccess ? cudaLaunchKernelEx(&config, whole_tower_f16<shape>, *tower) : result;
}

/* Calls `function` for the kernel of a plan. */
#define BY_BLOCKS(plan, function, width, row_groups, ...)                                                             \
    return (plan)->blocks == 120 ? function<kernel_shape<width, row_groups, 120>>(__VA_ARGS__)                        \
                                 : function<kernel_shape<width, row_groups, 112>>(__VA_ARGS__)
#define BY_PLAN(plan, function, ...)                                                                                  \
    switch ((plan)->width * 8 + (plan)->row_groups) {                                                                 \
    case 128 * 8 + 1: BY_BLOCKS(plan, function, 128, 1, __VA_ARGS__);                                                 \
    case 128 * 8 + 2: BY_BLOCKS(plan, function, 128, 2, __VA_ARGS__);                                                 \
    case 256 * 8 + 1: BY_BLOCKS(plan, function, 256, 1, __VA_ARGS__);                                                 \
    case 256 * 8 + 2: BY_BLOCKS(plan, function, 256, 2, __VA_ARGS__);                                                 \
    case 512 * 8 + 1: BY_BLOCKS(plan, function, 512, 1, __VA_ARGS__);                                                 \
    case 512 * 8 + 2: BY_BLOCKS(plan, function, 512, 2, __VA_ARGS__);                                                 \
    case 768 * 8 + 1: BY_BLOCKS(plan, function, 768, 1, __VA_ARGS__);                                                 \
    default: return cudaErrorInvalidConfiguration;                                                                    \
    }

} // namespace

extern "C" cudaError_t clipc_cuda_whole_tower_fits(const clipc_whole_tower_plan *plan, int *out)
{
    BY_PLAN(plan, fits, out)
}

extern "C" cudaError_t clipc_cuda_whole_tower_f16(const clipc_whole_tower_plan *plan, const clipc_whole_tower *tower,
                                                  cudaStream_t stream)
{
    BY_PLAN(plan, launch, tower, stream)
}
