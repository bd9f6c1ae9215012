/* How all rows of an image become one, where it is not the class token's alone. */
#include "backend/cpu/encoder_run.h"

#include <string.h>

/* All rows of each item through the last LayerNorm; one query, the same for all, attends to them: to rows of the
 * pooled width. */
static struct clipc_cpu_stream attend_by_query(const struct clipc_cpu_run *run)
{
    const clipc_cpu_tower *tower = run->tower;
    const clipc_cpu_layer *layer = &tower->pooling;
    const struct clipc_cpu_stream all = clipc_cpu_all_rows(run, tower->dtype);
    const clipc_dtype dtype = clipc_cpu_tower_pooling_dtype(tower);
    const size_t length = clipc_cpu_pooling_length(tower);
    struct clipc_cpu_stream pooled = clipc_cpu_pooled_rows(run, tower->dtype);
    float *wide = run->workspace->wide;
    pooled.width = tower->pooled_width;
    clipc_cpu_enter_layer(run, NULL);
    clipc_cpu_normalize(run, &all, &tower->norm_final, &layer->query_key_value);
    clipc_cpu_multiply(run, CLIPC_STEP_QUERY_KEY_VALUE, &all, &layer->query_key_value, 0,
                       layer->query_key_value.layout.panel_count, CLIPC_EPILOGUE_BIAS,
                       (clipc_gemm_output){wide, 2 * length, false, dtype});
    clipc_cpu_attend(run, &pooled, layer, tower->pooling_heads, dtype, tower->pooling_query, 0, wide, wide + length,
                     2 * length, true);
    clipc_cpu_multiply(run, CLIPC_STEP_ATTENTION_OUT, &pooled, &layer->attention_out, 0,
                       layer->attention_out.layout.panel_count, CLIPC_EPILOGUE_BIAS,
                       (clipc_gemm_output){pooled.rows, clipc_padded_columns(pooled.width), false, CLIPC_DTYPE_F32});
    return pooled;
}

/* SigLIP's: an MLP follows, and what comes of it is the embedding. */
void clipc_cpu_pool_by_attention(const struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    const struct clipc_cpu_stream pooled = attend_by_query(run);
    clipc_cpu_normalize(run, &pooled, &tower->pooling.norm2, &tower->pooling.fc1);
    clipc_cpu_run_mlp(run, &pooled, &tower->pooling);
    for (size_t item = 0; item < run->items; item++)
        memcpy(embeddings + item * tower->embedding_dimension, pooled.rows + item * tower->padded_width,
               tower->embedding_dimension * sizeof *embeddings);
}

/* CoCa's: a LayerNorm follows, and the projection. */
void clipc_cpu_pool_by_query(const struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    const struct clipc_cpu_stream pooled = attend_by_query(run);
    clipc_cpu_normalize(run, &pooled, &tower->pooling.norm2, &tower->projection);
    clipc_cpu_project(run, &pooled, embeddings);
}

static void average_rows(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    const struct clipc_cpu_run *run = context;
    const clipc_cpu_tower *tower = run->tower;
    const size_t patches = tower->most_tokens - tower->class_tokens;
    for (size_t item = begin; item < end; item++) {
        const float *rows =
            run->workspace->rows + (item * tower->most_tokens + tower->class_tokens) * tower->padded_width;
        float *mean = run->workspace->pooled + item * tower->padded_width;
        memset(mean, 0, tower->padded_width * sizeof *mean);
        for (size_t row = 0; row < patches; row++)
            for (size_t i = 0; i < tower->config.width; i++)
                mean[i] += rows[row * tower->padded_width + i];
        for (size_t i = 0; i < tower->config.width; i++)
            mean[i] /= (float)patches;
    }
}

/* As they are, into the form that a product in `dtype` reads. */
static void pack_stream(const struct clipc_cpu_run *run, const struct clipc_cpu_stream *stream, clipc_dtype dtype)
{
    const size_t blocks = clipc_cpu_packed_blocks(stream->width, dtype);
    clipc_cpu_clear_padding(stream, dtype);
    for (size_t row = 0; row < stream->tiles.rows; row++) {
        const clipc_packed_row place = clipc_packed_row_at(stream->tiles, blocks, row);
        clipc_write_columns(run->tower->kernels, (uint32_t *)stream->packed + place.offset, place.block_stride, dtype,
                            0, stream->rows + row * clipc_padded_columns(stream->width), stream->width);
    }
}

/* The mean of the patches' rows, through the last LayerNorm before or after. */
void clipc_cpu_pool_average(const struct clipc_cpu_run *run, float *embeddings)
{
    const clipc_cpu_tower *tower = run->tower;
    const struct clipc_cpu_stream pooled = clipc_cpu_pooled_rows(run, tower->dtype);
    const bool norm_first = tower->pooling_kind == CLIPC_IMAGE_POOL_NORMED_AVERAGE;
    clipc_cpu_enter_layer(run, NULL);
    if (norm_first)
        clipc_cpu_normalize_in_place(run, &tower->norm_final);
    const clipc_cpu_step_start start = clipc_cpu_step_begin(run->workspace->steps);
    clipc_thread_pool_run(run->pool, average_rows, (void *)run, run->items, 1);
    if (norm_first)
        pack_stream(run, &pooled, tower->projection.layout.dtype);
    clipc_cpu_step_end(start, CLIPC_STEP_POOLING, CLIPC_DTYPE_F32, "C",
                       clipc_bytes_of_rows(run->rows, tower->padded_width, CLIPC_DTYPE_F32, CLIPC_DTYPE_F32));
    if (!norm_first)
        clipc_cpu_normalize(run, &pooled, &tower->norm_final, &tower->projection);
    clipc_cpu_project(run, &pooled, embeddings);
}
