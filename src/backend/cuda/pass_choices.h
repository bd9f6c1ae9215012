/* How calls of images are cut into passes and dealt to streams, where that was measured: plain host code, tested with
 * no GPU. The choices are
 *
 *     streams            how many streams a device has
 *     image.pass.COUNT   the items of one pass of a call of exactly so many images
 *
 * Texts are not cut, and the kernels that compute a pass depend on its size: a cut is taken only for the very size of
 * call that it was measured with, and only when it gave all the bits that clipc's own gives. */
#ifndef CLIPC_BACKEND_CUDA_PASS_CHOICES_H
#define CLIPC_BACKEND_CUDA_PASS_CHOICES_H

#include "backend/backend.h"

#define CLIPC_CUDA_CUTS         16 /* sizes of calls that may have a cut of their own */
#define CLIPC_CUDA_MOST_STREAMS 4  /* that are tried */

typedef struct clipc_cuda_cut {
    size_t count; /* of the call */
    size_t items; /* of a pass */
} clipc_cuda_cut;

typedef struct clipc_cuda_pass_choices {
    size_t streams; /* 0: clipc's own choice */
    size_t count;
    clipc_cuda_cut cuts[CLIPC_CUDA_CUTS];
} clipc_cuda_pass_choices;

/* What of the set is in range; nothing when it is NULL. */
void clipc_cuda_pass_choices_read(const clipc_choice_set *set, clipc_cuda_pass_choices *out);
/* The items of a pass of such a call, when clipc's own choice is `own`: never more than that. */
size_t clipc_cuda_pass_choices_get(const clipc_cuda_pass_choices *choices, size_t count, size_t own);

/* Whom to ask for a measurement. */
typedef struct clipc_cuda_caller {
    void *user;
    size_t own_streams;
    size_t most_streams; /* that there may be */
    size_t dimension;    /* of an embedding */
    size_t (*own_pass)(void *user, size_t count);
    /* Encodes the request's first `count` images so: embeddings [count, dimension], and how long that took. */
    clipc_status (*run)(void *user, size_t count, size_t pass_items, size_t streams, float *embeddings,
                        double *seconds, clipc_error *error);
} clipc_cuda_caller;

/* Measures what the set lacks, of calls of request->count images, and with request->full of halves of it down to 16.
 * Candidates take turns, the least time of each counts, and those whose embeddings are not, bit for bit, those of
 * clipc's own choice are out. */
clipc_status clipc_cuda_tune_calls(const clipc_cuda_caller *caller, const clipc_tune_request *request,
                                   clipc_error *error);

#endif
