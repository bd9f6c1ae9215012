/* What the files of the encoder share: a micro-batch on its way through a tower, and the steps that it takes. */
#ifndef CLIPC_BACKEND_CPU_ENCODER_RUN_H
#define CLIPC_BACKEND_CPU_ENCODER_RUN_H

#include "backend/cpu/encoder.h"

/* One micro-batch on its way through the tower. */
struct clipc_cpu_run {
    const clipc_cpu_tower *tower;
    const clipc_cpu_workspace *workspace;
    clipc_thread_pool *pool;
    size_t items;
    size_t rows;
    const float *pixels; /* of the first item */
    const int32_t *ids;  /* of the first row */
};

/* The rows a layer works on: all of them, or in the last layer and after the pooled ones alone. */
struct clipc_cpu_stream {
    float *rows;  /* [rows, padded width] */
    void *packed; /* in the dtype of the product that reads it next */
    clipc_row_tiles tiles;
    size_t width; /* the tower's, but after pooling by a query */
};

/* What reading rows of `columns` values in one type and writing them in another moves. */
static inline double clipc_bytes_of_rows(size_t rows, size_t columns, clipc_dtype from, clipc_dtype to)
{
    return (double)rows * (double)columns * (double)(clipc_dtype_size(from) + clipc_dtype_size(to));
}

/* Whose steps follow; NULL: no layer's. */
static inline void clipc_cpu_enter_layer(const struct clipc_cpu_run *run, const clipc_cpu_layer *layer)
{
    clipc_cpu_steps_enter(run->workspace->steps, run->tower->image, layer ? (int)(layer - run->tower->layers) : -1);
}

/* `dtype`: what the layers' products are made in. */
struct clipc_cpu_stream clipc_cpu_all_rows(const struct clipc_cpu_run *run, clipc_dtype dtype);
struct clipc_cpu_stream clipc_cpu_pooled_rows(const struct clipc_cpu_run *run, clipc_dtype dtype);

/* Through LayerNorm into the form that a product with these weights reads. */
void clipc_cpu_normalize(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                         const clipc_cpu_norm *norm, const clipc_packed_weights *next);
/* All rows of X where they lie. */
void clipc_cpu_normalize_in_place(const struct clipc_cpu_run *run, const clipc_cpu_norm *norm);
/* Zeros behind the stream's width, for what writes the columns before it alone. */
void clipc_cpu_clear_padding(const struct clipc_cpu_stream *stream, clipc_dtype dtype);
/* The product of a stream's packed rows with `count` panels of the weights from `first` on. */
void clipc_cpu_multiply(const struct clipc_cpu_run *run, clipc_cpu_step kind, const struct clipc_cpu_stream *stream,
                        const clipc_packed_weights *weights, size_t first, size_t count, clipc_epilogue epilogue,
                        clipc_gemm_output output);
/* Attention into the form that the output projection reads; heads are of `dtype`, and together as wide as the stream.
 */
void clipc_cpu_attend(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                      const clipc_cpu_layer *layer, size_t heads, clipc_dtype dtype, const float *queries,
                      size_t query_stride, const float *keys, const float *values, size_t key_stride, bool pooled);
/* fc1, the activation and fc2, whose result is added to the stream's rows. */
void clipc_cpu_run_mlp(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream,
                       const clipc_cpu_layer *layer);
/* From what is packed for the projection to the embeddings. */
void clipc_cpu_project(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *pooled, float *embeddings);

/* From X after the last layer to the embeddings: see clipc_image_pooling. */
void clipc_cpu_pool_by_attention(const struct clipc_cpu_run *run, float *embeddings);
void clipc_cpu_pool_by_query(const struct clipc_cpu_run *run, float *embeddings);
void clipc_cpu_pool_average(const struct clipc_cpu_run *run, float *embeddings);

#endif
