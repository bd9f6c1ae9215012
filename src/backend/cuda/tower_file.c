#include "backend/cuda/tower_file.h"

#include "backend/backend.h"
#include "backend/cuda/weight_pack.h"
#include "base/checked.h"

#include <string.h>

clipc_cuda_packing clipc_cuda_packing_of(clipc_precision precision)
{
    switch (precision) {
    case CLIPC_PRECISION_BF16: return (clipc_cuda_packing){CLIPC_CUDA_BF16, CLIPC_CUDA_BF16};
    case CLIPC_PRECISION_FP8: return (clipc_cuda_packing){CLIPC_CUDA_F16, CLIPC_CUDA_E4M3};
    case CLIPC_PRECISION_INT8: return (clipc_cuda_packing){CLIPC_CUDA_F16, CLIPC_CUDA_S8};
    default: return (clipc_cuda_packing){CLIPC_CUDA_F16, CLIPC_CUDA_F16};
    }
}

clipc_precision clipc_cuda_type_precision(clipc_cuda_type type)
{
    static const clipc_precision precisions[] = {
        [CLIPC_CUDA_F16] = CLIPC_PRECISION_FP16,
        [CLIPC_CUDA_BF16] = CLIPC_PRECISION_BF16,
        [CLIPC_CUDA_E4M3] = CLIPC_PRECISION_FP8,
        [CLIPC_CUDA_S8] = CLIPC_PRECISION_INT8,
    };
    return precisions[type];
}

bool clipc_cuda_supports_precision(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_AUTO || precision == CLIPC_PRECISION_FP16 ||
           precision == CLIPC_PRECISION_BF16 || precision == CLIPC_PRECISION_FP8 || precision == CLIPC_PRECISION_INT8;
}

/* ---- reading ---- */

clipc_status clipc_cuda_tower_open(const clipc_model *model, bool image, const clipc_cuda_packing *packing,
                                   clipc_cuda_tower *out, clipc_error *error)
{
    const clipc_tower_block *block = &model->blocks[image];
    CLIPC_FAIL_IF(model->block_layout != CLIPC_CUDA_LAYOUT, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: its weights are in layout %u of backend cuda, this clipc reads layout %u; convert the original "
                  "again",
                  model->path, model->block_layout, CLIPC_CUDA_LAYOUT);
    CLIPC_TRY(clipc_cuda_tower_create(model, image, packing, out, error));
    memcpy(out->types, block->types->bytes, out->linear_count * sizeof *out->types);
    memcpy(out->scales, block->scales->bytes, out->linear_count * sizeof *out->scales);
    CLIPC_TRY(clipc_cuda_tower_check(out, image, model->path, error));
    clipc_cuda_tower_place(model, image, NULL, out);
    CLIPC_FAIL_IF(block->weights->size != out->bytes, error, CLIPC_ERROR_FORMAT,
                  "%s: damaged: the weights of the %s tower take %zu bytes, its config and types say %zu", model->path,
                  image ? "image" : "text", block->weights->size, out->bytes);
    return CLIPC_OK;
}

/* The matrix of a linear layer, in the order of model/linear.h. */
static const clipc_cuda_matrix *matrix_at(const clipc_cuda_tower *tower, bool image, size_t linear)
{
    if (image && tower->convolution_count) {
        const size_t convolutions = (size_t)tower->convolution_count;
        const clipc_cuda_matrix *const after[] = {&tower->query, &tower->key_value, &tower->projection};
        return linear < convolutions ? &tower->convolutions[linear].matrix
                                     : after[clipc_min(linear - convolutions, (size_t)2)];
    }
    if (image && linear == 0)
        return &tower->patch;
    linear -= image ? 1 : 0;
    const size_t layer = linear / 4;
    const bool pooling = layer == (size_t)tower->layer_count && tower->pools_by_attention;
    if (layer >= (size_t)tower->layer_count && !pooling)
        return &tower->projection;
    const clipc_cuda_layer *of = pooling ? &tower->pooling : &tower->layers[layer];
    const clipc_cuda_matrix *const matrices[] = {&of->qkv, &of->out, &of->fc1, &of->fc2};
    return matrices[linear % 4];
}

clipc_status clipc_cuda_linear_describe(const clipc_model *model, bool image, size_t linear, clipc_precision *stored,
                                        uint64_t *bytes, clipc_error *error)
{
    clipc_cuda_tower tower = {0};
    const clipc_cuda_packing packing = clipc_cuda_packing_of(model->precision);
    const clipc_status status = clipc_cuda_tower_open(model, image, &packing, &tower, error);
    if (status == CLIPC_OK) {
        const clipc_cuda_matrix *matrix = matrix_at(&tower, image, linear);
        const bool is_bytes = clipc_cuda_is_bytes(matrix->type);
        const size_t columns = (size_t)matrix->columns;
        const size_t rows = is_bytes ? CLIPC_PACKED_ROWS(columns) : columns;
        *stored = clipc_cuda_type_precision(matrix->type);
        *bytes = (uint64_t)rows * ((uint64_t)matrix->depth * (is_bytes ? 1 : 2) + 2 * sizeof(float));
    }
    clipc_cuda_tower_destroy(&tower);
    return status;
}

/* ---- writing ---- */

static clipc_precision settle(const clipc_compile_options *options)
{
    return options->precision == CLIPC_PRECISION_AUTO ? CLIPC_PRECISION_FP16 : options->precision;
}

static const char *isa(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_FP8 ? "sm_89 and later" : "sm_80 and later";
}

static clipc_status append(void *context, const void *bytes, size_t size, clipc_error *error)
{
    return clipc_engine_writer_append(context, bytes, size, error);
}

/* The section of a tower's `part`, which is empty for the block itself. */
static clipc_section section_of(bool image, const char *part, clipc_section_kind kind, clipc_dtype dtype, size_t count)
{
    clipc_section section = {.kind = kind, .dtype = dtype, .rank = count ? 1 : 0, .shape = {count}};
    clipc_engine_block_name(image, part, section.name);
    section.size = count * clipc_dtype_size(dtype);
    return section;
}

static clipc_status write_tables(clipc_engine_writer *writer, bool image, const clipc_cuda_tower *tower,
                                 clipc_error *error)
{
    clipc_section types = section_of(image, "types", CLIPC_SECTION_TENSOR, CLIPC_DTYPE_I8, tower->linear_count);
    clipc_section scales = section_of(image, "scales", CLIPC_SECTION_TENSOR, CLIPC_DTYPE_F32, tower->linear_count);
    types.bytes = tower->types;
    scales.bytes = tower->scales;
    CLIPC_TRY(clipc_engine_writer_add(writer, &types, error));
    return clipc_engine_writer_add(writer, &scales, error);
}

static clipc_status write_tower(const clipc_model *model, const clipc_compile_options *options, bool image,
                                clipc_engine_writer *writer, clipc_error *error)
{
    const clipc_cuda_packing packing = clipc_cuda_packing_of(settle(options));
    const clipc_section block = section_of(image, "", CLIPC_SECTION_BLOCK, CLIPC_DTYPE_U8, 0);
    clipc_cuda_tower tower = {0};
    clipc_status status = CLIPC_OK;
    if (model->engine_file) { /* as it is */
        CLIPC_CHECK(clipc_cuda_tower_open(model, image, &packing, &tower, error));
        CLIPC_CHECK(clipc_engine_writer_begin(writer, &block, tower.bytes, error));
        CLIPC_CHECK(append(writer, model->blocks[image].weights->bytes, tower.bytes, error));
    } else {
        CLIPC_CHECK(clipc_cuda_tower_create(model, image, &packing, &tower, error));
        clipc_cuda_tower_keep(model, image, options->keep_precise, &tower);
        clipc_cuda_tower_place(model, image, NULL, &tower);
        CLIPC_CHECK(clipc_engine_writer_begin(writer, &block, tower.bytes, error));
        CLIPC_CHECK(clipc_cuda_tower_pack(model, image, true, &tower, append, writer, error));
    }
    CLIPC_CHECK(write_tables(writer, image, &tower, error));
fail:
    clipc_cuda_tower_destroy(&tower);
    return status;
}

static clipc_status write_towers(const clipc_model *model, const clipc_compile_options *options,
                                 clipc_engine_writer *writer, clipc_error *error)
{
    if (options->image_tower)
        CLIPC_TRY(write_tower(model, options, true, writer, error));
    if (options->text_tower)
        CLIPC_TRY(write_tower(model, options, false, writer, error));
    return CLIPC_OK;
}

const clipc_block_writer clipc_block_writer_cuda = {
    .backend = "cuda",
    .layout = CLIPC_CUDA_LAYOUT,
    .supports_precision = clipc_cuda_supports_precision,
    .settle = settle,
    .isa = isa,
    .write = write_towers,
};
