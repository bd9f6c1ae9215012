#include "backend/cuda/cuda_resnet.h"

#include "backend/cuda/maps.h"
#include "backend/cuda/steps.h"
#include "backend/cuda/try.h"
#include "base/checked.h"

/* What engine->maps are for. */
enum {
    STREAM,       /* what passes from block to block, */
    OTHER_STREAM, /* of which downsample makes another */
    INNER,        /* what passes within a block, and the stem's first maps */
    OTHER_INNER,
    SMALL /* means of 2 × 2 pixels; the windows of the first convolution */
};

/* One batch on its way. */
struct run {
    const clipc_cuda_engine *engine;
    int32_t count;
    void *maps[CLIPC_CUDA_MAPS];
};

static int32_t channels_of(size_t channels)
{
    return (int32_t)clipc_round_up(channels, 8);
}

/* Whether the result of a convolution passes from block to block; `next` follows it. */
static bool is_stream(const clipc_convolution *shape, const clipc_convolution *next)
{
    return shape->role == CLIPC_CONVOLUTION_DOWNSAMPLE || shape->role == CLIPC_CONVOLUTION_EXPAND ||
           (shape->role == CLIPC_CONVOLUTION_STEM && next->role == CLIPC_CONVOLUTION_REDUCE);
}

size_t clipc_cuda_resnet_maps(const clipc_config *config, size_t sizes[CLIPC_CUDA_MAPS])
{
    size_t stream = 0;
    size_t inner = 0;
    size_t small = 0;
    for (size_t i = 0; i < clipc_resnet_count(config); i++) {
        const clipc_convolution shape = clipc_resnet_at(config, i);
        const clipc_convolution next = clipc_resnet_at(config, i + 1 < clipc_resnet_count(config) ? i + 1 : i);
        const size_t pixels = shape.side * shape.side;
        size_t *largest = is_stream(&shape, &next) ? &stream : &inner;
        *largest = clipc_max(*largest, pixels * clipc_round_up(shape.outputs, 8) * 2);
        if (shape.role == CLIPC_CONVOLUTION_PIXELS)
            small = clipc_max(small, pixels * CLIPC_CUDA_PIXEL_WINDOW * 2);
        else if (shape.pool > 1)
            small = clipc_max(small, pixels * clipc_round_up(shape.inputs, 8) * 2);
    }
    if (sizes) {
        sizes[STREAM] = sizes[OTHER_STREAM] = stream;
        sizes[INNER] = sizes[OTHER_INNER] = inner;
        sizes[SMALL] = small;
    }
    return 2 * stream + 2 * inner + small;
}

/* The means of 2 × 2 pixels of a map, in maps[SMALL]. */
static cudaError_t average(const struct run *run, const clipc_convolution *shape, const void *map)
{
    TRY(clipc_cuda_average_maps(run->engine->type, map, run->count, (int32_t)shape->side, channels_of(shape->inputs),
                                run->maps[SMALL], run->engine->stream));
    return clipc_cuda_mark(run->engine, CLIPC_CUDA_STEP_AVERAGES, "average_maps",
                           run->count * (int32_t)(shape->side * shape->side), channels_of(shape->inputs), 4 * 2 + 2);
}

/* With BatchNorm; `residual`: NULL, or the output itself. */
static cudaError_t convolve(const struct run *run, int32_t index, const void *input, const void *residual, bool relu,
                            void *output)
{
    const clipc_cuda_convolution *convolution = &run->engine->image.convolutions[index];
    const clipc_convolution *shape = &convolution->shape;
    const bool pixels = shape->role == CLIPC_CONVOLUTION_PIXELS;
    const bool windows = shape->kernel > 1 && !pixels;
    const int32_t rows = run->count * (int32_t)(shape->side * shape->side);
    clipc_cuda_gemm gemm = clipc_cuda_gemm_of(input, pixels ? CLIPC_CUDA_PIXEL_WINDOW : channels_of(shape->inputs),
                                              rows, rows, &convolution->matrix, output);
    gemm.window_side = windows ? (int32_t)shape->side : 0;
    gemm.activation = relu ? CLIPC_CUDA_ACTIVATION_RELU : CLIPC_CUDA_ACTIVATION_NONE;
    gemm.residual = residual;
    gemm.residual_stride = convolution->matrix.columns;
    return clipc_cuda_product(run->engine,
                              shape->role <= CLIPC_CONVOLUTION_STEM ? CLIPC_CUDA_STEP_STEM
                              : windows                             ? CLIPC_CUDA_STEP_WINDOWS
                                                                    : CLIPC_CUDA_STEP_CONVOLUTIONS,
                              &gemm);
}

static cudaError_t run_stem(const struct run *run, int32_t *next)
{
    const clipc_cuda_engine *engine = run->engine;
    const clipc_cuda_convolution *convolutions = engine->image.convolutions;
    TRY(clipc_cuda_pixel_windows(engine->type, engine->pixels, run->count, (int32_t)engine->model->config.image_size,
                                 run->maps[SMALL], engine->stream));
    const int32_t windows = run->count * (int32_t)(convolutions->shape.side * convolutions->shape.side);
    TRY(clipc_cuda_mark(engine, CLIPC_CUDA_STEP_PATCHES, "pixel_windows", windows, CLIPC_CUDA_PIXEL_WINDOW, 4 + 2));
    const void *input = run->maps[SMALL];
    for (*next = 0; convolutions[*next].shape.role <= CLIPC_CONVOLUTION_STEM; ++*next) {
        const bool last = is_stream(&convolutions[*next].shape, &convolutions[*next + 1].shape);
        void *output = run->maps[last ? STREAM : *next % 2 ? OTHER_INNER : INNER];
        TRY(convolve(run, *next, input, NULL, true, output));
        input = output;
    }
    return cudaSuccess;
}

static cudaError_t run_stages(struct run *run, int32_t index)
{
    const clipc_cuda_tower *tower = &run->engine->image;
    void **maps = run->maps;
    bool averaged = false; /* the stream's means are in maps[SMALL] */
    for (; index < tower->convolution_count; index++) {
        const clipc_convolution *shape = &tower->convolutions[index].shape;
        const bool shrinks = shape->pool > 1;
        switch (shape->role) {
        case CLIPC_CONVOLUTION_REDUCE:
            if (shrinks)
                TRY(average(run, shape, maps[STREAM]));
            averaged = shrinks;
            TRY(convolve(run, index, maps[shrinks ? SMALL : STREAM], NULL, true, maps[INNER]));
            break;
        case CLIPC_CONVOLUTION_SPREAD: TRY(convolve(run, index, maps[INNER], NULL, true, maps[OTHER_INNER])); break;
        case CLIPC_CONVOLUTION_DOWNSAMPLE: {
            if (shrinks && !averaged)
                TRY(average(run, shape, maps[STREAM]));
            TRY(convolve(run, index, maps[shrinks ? SMALL : STREAM], NULL, false, maps[OTHER_STREAM]));
            void *made = maps[OTHER_STREAM];
            maps[OTHER_STREAM] = maps[STREAM];
            maps[STREAM] = made;
            break;
        }
        default:
            if (shrinks)
                TRY(average(run, shape, maps[OTHER_INNER]));
            TRY(convolve(run, index, maps[shrinks ? SMALL : OTHER_INNER], maps[STREAM], true, maps[STREAM]));
            break;
        }
    }
    return cudaSuccess;
}

/* Of `rows` tokens, input_stride apart, to columns from `first` on of rows of engine->qkv. */
static cudaError_t project(const struct run *run, const clipc_cuda_matrix *matrix, int32_t rows, int32_t input_stride,
                           int32_t first, int32_t output_stride)
{
    const clipc_cuda_engine *engine = run->engine;
    clipc_cuda_gemm gemm =
        clipc_cuda_gemm_of(engine->rows, input_stride, rows, rows, matrix, (uint16_t *)engine->qkv + first);
    gemm.output_stride = output_stride;
    return clipc_cuda_product(engine, CLIPC_CUDA_STEP_QUERY_KEY_VALUE, &gemm);
}

/* The token of the mean asks all tokens. */
static cudaError_t pool(const struct run *run)
{
    const clipc_cuda_engine *engine = run->engine;
    const clipc_cuda_tower *tower = &engine->image;
    const int32_t tokens = (int32_t)engine->model->config.image_tokens;
    const int32_t inner = tower->inner;
    TRY(clipc_cuda_map_tokens(engine->type, run->maps[STREAM], run->count, tokens - 1, tower->stride, tower->position,
                              engine->rows, engine->stream));
    TRY(clipc_cuda_mark(engine, CLIPC_CUDA_STEP_ROWS, "map_tokens", run->count * tokens, tower->stride, 2 + 2));
    TRY(project(run, &tower->query, run->count, tokens * tower->stride, 0, tokens * 3 * inner));
    TRY(project(run, &tower->key_value, run->count * tokens, tower->stride, inner, 3 * inner));
    const clipc_cuda_attention attention = {
        .type = engine->type,
        .output_type = engine->type,
        .qkv = engine->qkv,
        .output = engine->context,
        .count = run->count,
        .tokens = tokens,
        .heads = tower->heads,
        .head_stride = tower->head_stride,
        .only_row = 0,
    };
    TRY(clipc_cuda_attention_run(&attention, engine->stream));
    TRY(clipc_cuda_mark_attention(engine, &attention, run->count * tokens));
    clipc_cuda_gemm projection =
        clipc_cuda_gemm_of(engine->context, inner, run->count, run->count, &tower->projection, NULL);
    projection.output_fp32 = engine->embeddings;
    return clipc_cuda_product(engine, CLIPC_CUDA_STEP_PROJECTION, &projection);
}

cudaError_t clipc_cuda_launch_resnet(const clipc_cuda_engine *engine, int32_t count)
{
    struct run run = {.engine = engine, .count = count};
    int32_t first = 0;
    for (int i = 0; i < CLIPC_CUDA_MAPS; i++)
        run.maps[i] = engine->maps[i];
    TRY(run_stem(&run, &first));
    TRY(run_stages(&run, first));
    return pool(&run);
}
