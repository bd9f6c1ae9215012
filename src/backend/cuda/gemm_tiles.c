#include "backend/cuda/gemm_tiles.h"

#include "backend/cuda/gemm_select_bytes.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
    [CLIPC_CUDA_F16] = "fp16", [CLIPC_CUDA_BF16] = "bf16", [CLIPC_CUDA_E4M3] = "fp8", [CLIPC_CUDA_S8] = "int8"};

static const char prefix[] = "tile.";

void clipc_gemm_shape_name(const clipc_gemm_shape *shape, char name[CLIPC_CHOICE_NAME])
{
    snprintf(name, CLIPC_CHOICE_NAME, "%s%s.%dx%dx%d%s%s%s", prefix, type_names[shape->type], (int)shape->rows,
             (int)shape->columns, (int)shape->depth, shape->residual ? ".residual" : "",
             shape->activation ? ".activation" : "", shape->leaves_statistics ? ".statistics" : "");
}

void clipc_gemm_tile_value(const clipc_gemm_plan *plan, char value[CLIPC_CHOICE_VALUE])
{
    if (plan->cluster > 1)
        snprintf(value, CLIPC_CHOICE_VALUE, "%dx%dx%d", (int)plan->tile_rows, (int)plan->tile_columns,
                 (int)plan->cluster);
    else
        snprintf(value, CLIPC_CHOICE_VALUE, "%dx%d", (int)plan->tile_rows, (int)plan->tile_columns);
}

static bool variant(clipc_cuda_type type, size_t index, clipc_gemm_plan *out)
{
    return clipc_cuda_is_bytes(type) ? clipc_gemm_variant_bytes(index, out) : clipc_gemm_variant(index, out);
}

static bool keeps_bits(const clipc_gemm_shape *shape, const clipc_gemm_plan *plan, const clipc_gemm_plan *other)
{
    const bool takes = clipc_cuda_is_bytes(shape->type) ? clipc_gemm_takes_bytes(other, shape->activation)
                                                        : clipc_gemm_takes(other, shape->columns);
    return takes && other->kind == plan->kind && plan->kind != CLIPC_GEMM_SKINNY &&
           (!shape->leaves_statistics || clipc_gemm_part_width(other) == clipc_gemm_part_width(plan));
}

bool clipc_gemm_same_bits(const clipc_gemm_device *device, const clipc_gemm_shape *shape, const clipc_gemm_plan *plan,
                          size_t index, clipc_gemm_plan *out)
{
    for (size_t i = 0; variant(shape->type, i, out); i++) {
        if (!keeps_bits(shape, plan, out) || index-- > 0)
            continue;
        clipc_gemm_fit(out, device, shape->rows, shape->columns, shape->depth);
        return true;
    }
    return false;
}

/* ---- a set's ---- */

static bool read_type(const char *name, clipc_cuda_type *out)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(name, type_names[i]) == 0) {
            *out = (clipc_cuda_type)i;
            return true;
        }
    return false;
}

/* Whether name and value are those of a tile: written again, they must be the same. */
static bool read_tile(const clipc_choice *choice, clipc_gemm_tile *out)
{
    char type[8];
    char name[CLIPC_CHOICE_NAME];
    char value[CLIPC_CHOICE_VALUE];
    int sizes[6] = {0, 0, 0, 0, 0, 1};
    if (strncmp(choice->name, prefix, sizeof prefix - 1) != 0 ||
        sscanf(choice->name + sizeof prefix - 1, "%7[a-z0-9].%9dx%9dx%9d", type, &sizes[0], &sizes[1], &sizes[2]) !=
            4 ||
        sscanf(choice->value, "%9dx%9dx%9d", &sizes[3], &sizes[4], &sizes[5]) < 2)
        return false;
    *out = (clipc_gemm_tile){.shape = {.rows = sizes[0],
                                       .columns = sizes[1],
                                       .depth = sizes[2],
                                       .residual = strstr(choice->name, ".residual") != NULL,
                                       .activation = strstr(choice->name, ".activation") != NULL,
                                       .leaves_statistics = strstr(choice->name, ".statistics") != NULL},
                             .tile_rows = sizes[3],
                             .tile_columns = sizes[4],
                             .cluster = sizes[5]};
    if (!read_type(type, &out->shape.type))
        return false;
    clipc_gemm_shape_name(&out->shape, name);
    clipc_gemm_tile_value(&(clipc_gemm_plan){.tile_rows = sizes[3], .tile_columns = sizes[4], .cluster = sizes[5]},
                          value);
    return strcmp(name, choice->name) == 0 && strcmp(value, choice->value) == 0;
}

clipc_status clipc_gemm_tiles_read(const clipc_choice_set *set, clipc_gemm_tiles *out, clipc_error *error)
{
    *out = (clipc_gemm_tiles){0};
    if (!set || set->count == 0)
        return CLIPC_OK;
    out->items = clipc_allocate(set->count, sizeof *out->items);
    if (!out->items)
        return clipc_fail_memory(error, set->count * sizeof *out->items, "measured tiles");
    for (size_t i = 0; i < set->count; i++)
        if (read_tile(&set->items[i], &out->items[out->count]))
            out->count++;
    return CLIPC_OK;
}

void clipc_gemm_tiles_free(clipc_gemm_tiles *tiles)
{
    clipc_free(tiles->items);
    *tiles = (clipc_gemm_tiles){0};
}

static bool is_same(const clipc_gemm_shape *a, const clipc_gemm_shape *b)
{
    return a->type == b->type && a->rows == b->rows && a->columns == b->columns && a->depth == b->depth &&
           a->residual == b->residual && a->activation == b->activation &&
           a->leaves_statistics == b->leaves_statistics;
}

void clipc_gemm_tiles_apply(const clipc_gemm_tiles *tiles, const clipc_gemm_device *device,
                            const clipc_gemm_shape *shape, clipc_gemm_plan *plan)
{
    const clipc_gemm_tile *found = NULL;
    clipc_gemm_plan other;
    for (size_t i = 0; i < tiles->count && !found; i++)
        if (is_same(&tiles->items[i].shape, shape))
            found = &tiles->items[i];
    for (size_t i = 0; found && clipc_gemm_same_bits(device, shape, plan, i, &other); i++)
        if (other.tile_rows == found->tile_rows && other.tile_columns == found->tile_columns &&
            other.cluster == found->cluster) {
            *plan = other;
            return;
        }
}
