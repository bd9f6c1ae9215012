/* What a compiled model of the cuda backend is: lanes, each a stream of a device with a workspace of its own, and what
 * threads that share them are guarded by. */
#ifndef CLIPC_BACKEND_CUDA_LANES_H
#define CLIPC_BACKEND_CUDA_LANES_H

#include "backend/cuda/cuda_engine.h"
#include "backend/cuda/pass_choices.h"
#include "base/thread_pool.h"

#include <pthread.h>

typedef struct clipc_cuda_lane {
    clipc_cuda_engine *engine;
    bool busy;
} clipc_cuda_lane;

typedef struct clipc_cuda_lanes {
    const clipc_model *model;
    clipc_compile_options options; /* for a lane; what belongs to the caller is left out */
    clipc_cuda_lane *lanes;        /* stream by stream, so that neighbours are on different devices */
    size_t lane_room;
    size_t made_count; /* lanes that there are; more than lane_count only while streams are measured */
    size_t lane_count; /* that are used */
    size_t devices;
    size_t streams;
    size_t own_streams; /* that calls are cut for, however many there are */
    bool fixed;         /* streams or several devices were asked for: no measured choice applies */
    clipc_cuda_pass_choices choices;
    clipc_compiled_info info;
    clipc_thread_pool *pool; /* a thread a lane; NULL when there is one lane */
    pthread_mutex_t crew;    /* held by the call that uses the pool */
    pthread_mutex_t lock;    /* guards what follows, and lanes[].busy */
    pthread_cond_t freed;
    size_t next_lane;
    bool recording;
    bool tapped;
    bool lost; /* after a fault that the device does not recover from */
    bool mutexes_made;
} clipc_cuda_lanes;

/* `planned`: precision, isa, threads, devices and streams; the rest follows. */
clipc_status clipc_cuda_lanes_create(const clipc_model *model, const clipc_compile_options *options,
                                     const clipc_compiled_info *planned, clipc_cuda_lanes **out, clipc_error *error);
void clipc_cuda_lanes_destroy(clipc_cuda_lanes **lanes);
/* What measured choices are for. */
void clipc_cuda_lanes_made_for(const clipc_cuda_lanes *lanes, char text[CLIPC_MADE_FOR]);
/* Uses so many streams of each device, and makes those that are not there. Nobody else may be at work. */
clipc_status clipc_cuda_lanes_use_streams(clipc_cuda_lanes *lanes, size_t streams, clipc_error *error);

/* Of the first `count` lanes, when one is free. */
clipc_cuda_lane *clipc_cuda_lanes_take(clipc_cuda_lanes *lanes, size_t count);
/* That one, when it is free. */
void clipc_cuda_lanes_await(clipc_cuda_lanes *lanes, clipc_cuda_lane *lane);
void clipc_cuda_lanes_give_back(clipc_cuda_lanes *lanes, clipc_cuda_lane *lane);

/* The calling thread's device is its own business: whoever changes it sets it back to this. */
int clipc_cuda_current_device(void);

#endif
