/* Where a warp is in a ring of stages, each of which has a barrier that says when it is full: its phases alternate. */
#ifndef CLIPC_BACKEND_CUDA_RING_CUH
#define CLIPC_BACKEND_CUDA_RING_CUH

#include <stdint.h>

struct position {
    int stage;
    uint32_t parity;
};

template <int stages> static __device__ __forceinline__ void advance(position &at)
{
    if (++at.stage == stages) {
        at.stage = 0;
        at.parity ^= 1;
    }
}

template <int stages> static __device__ __forceinline__ void skip(position &at, int steps)
{
    const int to = at.stage + steps;
    at.parity ^= (uint32_t)(to / stages) & 1;
    at.stage = to % stages;
}

#endif
