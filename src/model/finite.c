/* The search for NaN and infinity among the weights. It reads every weight once, so all threads take part. */
#include "base/checked.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "model/model.h"

/* Elements of a tensor that are looked at in one go. */
#define PIECE ((size_t)1 << 18)

/* One tensor of the wanted towers and its pieces' place among all. */
typedef struct stretch {
    const clipc_tensor *tensor;
    size_t first_piece;
} stretch;

typedef struct scan {
    stretch *stretches; /* NULL while they are counted */
    size_t count;
    size_t pieces;
    const clipc_model *once; /* of which pages that were read are let go; NULL: they stay */
    atomic_bool found;
} scan;

static clipc_status add_stretch(void *context, const clipc_slot *slot, clipc_error *error)
{
    (void)error;
    scan *it = context;
    if (it->stretches)
        it->stretches[it->count] = (stretch){slot->tensor, it->pieces};
    it->count++;
    it->pieces += (slot->tensor->count + PIECE - 1) / PIECE;
    return CLIPC_OK;
}

/* The last tensor that begins at the piece or before it. */
static const stretch *stretch_of(const scan *it, size_t piece)
{
    size_t low = 0;
    size_t high = it->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (it->stretches[middle].first_piece <= piece)
            low = middle;
        else
            high = middle;
    }
    return &it->stretches[low];
}

static void scan_pieces(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    scan *it = context;
    for (size_t piece = begin; piece < end; piece++) {
        const stretch *part = stretch_of(it, piece);
        const size_t first = (piece - part->first_piece) * PIECE;
        clipc_tensor view = *part->tensor;
        if (view.pitch) { /* lies in pieces of its own: all of it at once */
            if (first == 0 && clipc_tensor_first_not_finite(&view) != SIZE_MAX)
                atomic_store_explicit(&it->found, true, memory_order_relaxed);
            if (first == 0 && it->once)
                clipc_model_forget_tensor(it->once, &view);
            continue;
        }
        view.data = (const uint8_t *)view.data + first * clipc_dtype_size(view.dtype);
        view.count = clipc_min(PIECE, view.count - first);
        if (clipc_tensor_first_not_finite(&view) != SIZE_MAX)
            atomic_store_explicit(&it->found, true, memory_order_relaxed);
        if (it->once)
            clipc_model_forget(it->once, view.data, view.count * clipc_dtype_size(view.dtype));
    }
}

static const char *file_of(const clipc_model *model, const clipc_tensor *tensor)
{
    const uintptr_t at = (uintptr_t)tensor->data;
    for (size_t i = 0; i < model->file_count; i++) {
        const uintptr_t begin = (uintptr_t)model->files[i].file.bytes;
        if (at >= begin && at - begin < model->files[i].file.size)
            return model->files[i].path;
    }
    return model->name;
}

static clipc_status check_slot_finite(void *context, const clipc_slot *slot, clipc_error *error)
{
    const clipc_model *model = context;
    const size_t index = clipc_tensor_first_not_finite(slot->tensor);
    CLIPC_FAIL_IF(index != SIZE_MAX, error, CLIPC_ERROR_FORMAT, "%s: tensor '%s' holds NaN or infinity at element %zu",
                  file_of(model, slot->tensor), slot->name, index);
    return CLIPC_OK;
}

/* Whether anything is wrong; what it is, the caller finds in order. */
static clipc_status scan_all(const clipc_model *model, bool image, bool text, size_t threads, scan *it,
                             clipc_error *error)
{
    clipc_thread_pool *pool = NULL;
    CLIPC_TRY(clipc_family_each(model->family, &model->config, &model->weights, image, text, add_stretch, it, error));
    const size_t count = it->count;
    it->stretches = clipc_allocate(count, sizeof *it->stretches);
    if (!it->stretches)
        return clipc_fail_memory(error, count * sizeof *it->stretches, "the list of weights");
    it->count = 0;
    it->pieces = 0;
    CLIPC_TRY(clipc_family_each(model->family, &model->config, &model->weights, image, text, add_stretch, it, error));
    CLIPC_TRY(clipc_thread_pool_create(threads, &pool, error));
    clipc_thread_pool_run(pool, scan_pieces, it, it->pieces, 1);
    clipc_thread_pool_destroy(&pool);
    return CLIPC_OK;
}

static clipc_status check_finite(const clipc_model *model, bool image, bool text, size_t threads, bool once,
                                 clipc_error *error)
{
    if (model->known_finite)
        return CLIPC_OK;
    scan it = {.once = once ? model : NULL};
    atomic_init(&it.found, false);
    const clipc_status status = scan_all(model, image, text, threads, &it, error);
    clipc_free(it.stretches);
    if (status != CLIPC_OK || !atomic_load(&it.found))
        return status;
    return clipc_family_each(model->family, &model->config, &model->weights, image, text, check_slot_finite,
                             (void *)model, error);
}

clipc_status clipc_model_check_finite(const clipc_model *model, bool image, bool text, size_t threads,
                                      clipc_error *error)
{
    return check_finite(model, image, text, threads, false, error);
}

static void forget(void *model, const void *bytes, size_t size)
{
    clipc_model_forget(model, bytes, size);
}

static clipc_status verify_once(const clipc_model *model, clipc_error *error)
{
    for (size_t i = 0; i < clipc_engine_file_count(model->engine_file); i++)
        CLIPC_TRY(clipc_engine_file_verify_in_pieces(model->engine_file, i, forget, (void *)model, error));
    return CLIPC_OK;
}

clipc_status clipc_model_check_source(const clipc_model *model, size_t threads, clipc_error *error)
{
    return model->engine_file ? verify_once(model, error) : check_finite(model, true, true, threads, true, error);
}
