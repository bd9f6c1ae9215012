/* Damaged engine files: what is accepted can be verified, tokenized with, encoded with, or, of backend cuda, placed
 * and written again. An input is a file, or else edits of one of two small good ones: a byte of flags, then five bytes
 * each, a place and what is xored there. Checksums are repaired when the flags say so, as they would keep everything
 * behind them from being reached. */
#include "allocation_limit.h"
#include "backend/cuda/tower_file.h"
#include "base/checked.h"
#include "base/memory.h"
#include "io/engine_layout.h"
#include "model/model.h"

#include "clipc/tensors.h"

#include <stdlib.h>
#include <string.h>

#define GOOD_MODEL CLIPC_SOURCE_DIR "/tests/golden/models/one_patch"
#define CAPACITY   ((size_t)1 << 20)
#define MAX_PIXELS ((size_t)1 << 22)

#define FLAG_REPAIR 1  /* the checksums */
#define FLAG_TABLE  2  /* edits are of the table and the trailer */
#define FLAG_SMALL  4  /* edits are of the JSON and the tokenizer */
#define FLAG_CUT    8  /* the first edit's place is where the file ends */
#define FLAG_CUDA   16 /* of the file of backend cuda */

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct good_file {
    uint8_t *bytes;
    size_t size;
    size_t small_begin; /* of the sections of bytes, which come last */
    size_t table_begin;
} good_files[2]; /* of backend cpu, and of cuda */

static int append(void *user, const void *bytes, size_t size)
{
    struct good_file *good = user;
    if (size > CAPACITY - good->size)
        return 1;
    memcpy(good->bytes + good->size, bytes, size);
    good->size += size;
    return 0;
}

static void make_good(const clipc_model *model, const char *backend, clipc_precision precision, const char *keep,
                      struct good_file *good)
{
    clipc_engine_file *file = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = backend;
    config.precision = precision;
    config.keep_precise = keep;
    good->bytes = clipc_allocate_aligned(1, CAPACITY);
    if (!good->bytes || clipc_model_convert(model, &config, append, good, NULL) != CLIPC_OK ||
        clipc_engine_file_open(good->bytes, good->size, "good", &file, NULL) != CLIPC_OK)
        abort();
    const clipc_section *tokenizer = clipc_engine_file_find(file, "tokenizer", 0);
    good->small_begin = (size_t)((const uint8_t *)tokenizer->bytes - good->bytes);
    good->table_begin =
        good->size - sizeof(clipc_engine_trailer) - clipc_engine_file_count(file) * sizeof(clipc_engine_section);
    clipc_engine_file_close(&file);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count;
    (void)arguments;
    clipc_model *model = NULL;
    if (clipc_model_open(GOOD_MODEL, NULL, &model, NULL) != CLIPC_OK)
        abort();
    make_good(model, "cpu", CLIPC_PRECISION_AUTO, NULL, &good_files[0]);
    make_good(model, "cuda", CLIPC_PRECISION_FP8, "image.0.fc2", &good_files[1]);
    clipc_model_destroy(&model);
    return 0;
}

static void edit(const struct good_file *good, uint8_t *file, size_t *size, uint8_t flags, const uint8_t *edits,
                 size_t edits_size)
{
    const size_t begin = flags & FLAG_TABLE ? good->table_begin : flags & FLAG_SMALL ? good->small_begin : 0;
    for (; edits_size >= 5; edits += 5, edits_size -= 5) {
        uint32_t place = 0;
        memcpy(&place, edits, sizeof place);
        if (flags & FLAG_CUT && *size == good->size)
            *size = place % good->size;
        else if (begin < *size)
            file[begin + place % (*size - begin)] ^= edits[4];
    }
}

/* Of whatever sections the table places inside the file. */
static void repair(uint8_t *file, size_t size)
{
    clipc_engine_trailer trailer;
    if (size < sizeof(clipc_engine_header) + sizeof trailer)
        return;
    const size_t end = size - sizeof trailer;
    memcpy(&trailer, file + end, sizeof trailer);
    if (trailer.table_offset > end)
        return;
    for (size_t at = trailer.table_offset; end - at >= sizeof(clipc_engine_section);
         at += sizeof(clipc_engine_section)) {
        clipc_engine_section section;
        memcpy(&section, file + at, sizeof section);
        if (section.offset > size || section.size > size - section.offset)
            continue;
        section.checksum = clipc_checksum(file + section.offset, section.size);
        memcpy(file + at, &section, sizeof section);
    }
    trailer.table_checksum = clipc_checksum(file + trailer.table_offset, end - trailer.table_offset);
    trailer.checksum = clipc_checksum(&trailer, offsetof(clipc_engine_trailer, checksum));
    memcpy(file + end, &trailer, sizeof trailer);
    const uint32_t checksum = clipc_checksum(file, offsetof(clipc_engine_header, checksum));
    memcpy(file + offsetof(clipc_engine_header, checksum), &checksum, sizeof checksum);
}

static void encode(const clipc_model *model, clipc_engine *engine)
{
    static const char text[] = "a photo of two Dogs, \xC3\xA9";
    const clipc_config *config = &model->config;
    const size_t pixel_count = 3 * config->image_size * config->image_size;
    if (pixel_count > MAX_PIXELS)
        return;
    float *pixels = clipc_allocate(pixel_count, sizeof *pixels);
    float *embedding = clipc_allocate(config->embedding_dimension, sizeof *embedding);
    int32_t *ids = clipc_allocate(model->context_length, sizeof *ids);
    size_t offsets[2] = {0, 0};
    if (pixels && embedding && ids) {
        clipc_engine_encode_images(engine, pixels, 1, 0, embedding, NULL);
        if (clipc_model_tokenize(model, text, sizeof text - 1, ids, &offsets[1], NULL) == CLIPC_OK)
            clipc_engine_encode_tokens(engine, ids, offsets, 1, 0, embedding, NULL);
    }
    clipc_free(pixels);
    clipc_free(embedding);
    clipc_free(ids);
}

static int drop(void *user, const void *bytes, size_t size)
{
    (void)user, (void)bytes, (void)size;
    return 0;
}

/* What of an engine of backend cuda comes before its device. */
static void place(const clipc_model *model)
{
    const clipc_cuda_packing packing = clipc_cuda_packing_of(model->precision);
    for (int image = 0; image < 2; image++) {
        clipc_cuda_tower tower = {0};
        if (clipc_config_has_tower(&model->config, image))
            clipc_cuda_tower_open(model, image, &packing, &tower, NULL);
        clipc_cuda_tower_destroy(&tower);
    }
    for (size_t i = 0; i < clipc_model_linear_count(model) && i < 64; i++) {
        clipc_linear_info info = {.size = sizeof info};
        clipc_model_get_linear(model, i, &info, NULL);
    }
    clipc_model_convert(model, NULL, drop, NULL, NULL);
}

/* What is readable has no more elements than the file has bytes. */
static void read_tensors(const clipc_model *model)
{
    const size_t count = clipc_model_tensor_count(model);
    for (size_t i = 0; i < count; i++) {
        clipc_tensor_info info = {.size = sizeof info};
        if (clipc_model_get_tensor(model, i, &info, NULL) != CLIPC_OK)
            abort();
        float *values = info.readable ? clipc_allocate(info.count, sizeof *values) : NULL;
        if (values)
            clipc_model_read_tensor(model, i, values, NULL);
        clipc_free(values);
    }
}

static void use(const uint8_t *file, size_t size)
{
    clipc_mapped_file view = {.bytes = file, .size = size};
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.backend = "cpu";
    config.threads = 1;
    config.max_batch = 1;
    if (clipc_model_open_engine_bytes("fuzz.clipc", &view, &model, NULL) != CLIPC_OK)
        return;
    clipc_model_verify(model, NULL);
    read_tensors(model);
    if (model->block_layout)
        place(model);
    if (clipc_engine_create(model, &config, &engine, NULL) == CLIPC_OK)
        encode(model, engine);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const bool is_file = clipc_engine_file_matches(bytes, size);
    if (size < 1)
        return 0;
    const struct good_file *good = &good_files[bytes[0] & FLAG_CUDA ? 1 : 0];
    size_t file_size = is_file ? size : good->size;
    uint8_t *file = clipc_allocate_aligned(1, file_size);
    if (!file)
        return 0;
    memcpy(file, is_file ? bytes : good->bytes, file_size);
    if (!is_file)
        edit(good, file, &file_size, bytes[0], bytes + 1, size - 1);
    if (is_file || bytes[0] & FLAG_REPAIR)
        repair(file, file_size);
    set_file_size(file_size);
    use(file, file_size);
    clipc_free_aligned(file);
    return 0;
}
