#include "base/mapped_file.h"
#include "image/decode.h"
#include "image/resize.h"
#include "model/model.h"

/* As Pillow's: twice 1 GiB / 4 / 3 pixels (Image.MAX_IMAGE_PIXELS), where it refuses a file. */
#define DEFAULT_MAX_PIXELS 178956970u

void clipc_image_options_init(clipc_image_options *options)
{
    if (options)
        *options = (clipc_image_options){
            .size = sizeof *options, .max_pixels = DEFAULT_MAX_PIXELS, .alpha = CLIPC_ALPHA_WHITE};
}

static clipc_status check_options(const clipc_image_options *given, clipc_image_options *options, clipc_error *error)
{
    clipc_image_options_init(options);
    if (!given)
        return CLIPC_OK;
    CLIPC_FAIL_IF(given->size != sizeof *given, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_image_options.size is %zu, must be %zu (clipc_image_options_init sets it)", given->size,
                  sizeof *given);
    CLIPC_FAIL_IF(given->alpha != CLIPC_ALPHA_WHITE && given->alpha != CLIPC_ALPHA_DROP, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_image_options: no alpha rule has the number %d", (int)given->alpha);
    *options = *given;
    return CLIPC_OK;
}

const char *clipc_image_format(const void *bytes, size_t size)
{
    switch (bytes ? clipc_image_format_detect(bytes, size) : CLIPC_FORMAT_UNKNOWN) {
    case CLIPC_FORMAT_JPEG: return "jpeg";
    case CLIPC_FORMAT_PNG: return "png";
    case CLIPC_FORMAT_WEBP: return "webp";
    case CLIPC_FORMAT_GIF: return "gif";
    case CLIPC_FORMAT_BMP: return "bmp";
    case CLIPC_FORMAT_UNKNOWN: break;
    }
    return NULL;
}

static clipc_status decode(const void *bytes, size_t size, const char *name, const clipc_image_options *options,
                           clipc_image **out, clipc_error *error)
{
    clipc_image *image = NULL;
    clipc_status status = CLIPC_OK;
    CLIPC_CHECK(clipc_image_decode_native(bytes, size, name, options->max_pixels, &image, error));
    CLIPC_CHECK(clipc_image_to_rgb(&image, options->alpha, error));
    if (options->apply_exif)
        CLIPC_CHECK(clipc_image_apply_exif(&image, error));
    *out = image;
    return CLIPC_OK;
fail:
    clipc_image_destroy(&image);
    return status;
}

clipc_status clipc_image_decode(const void *bytes, size_t size, const char *name, const clipc_image_options *options,
                                clipc_image **out, clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_image_decode: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!bytes && size, error, CLIPC_ERROR_ARGUMENT, "clipc_image_decode: bytes is NULL");
    clipc_image_options checked;
    CLIPC_TRY(check_options(options, &checked, error));
    return decode(bytes, size, name ? name : "image", &checked, out, error);
}

clipc_status clipc_image_read(const char *path, const clipc_image_options *options, clipc_image **out,
                              clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_image_read: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!path, error, CLIPC_ERROR_ARGUMENT, "clipc_image_read: path is NULL");
    clipc_image_options checked;
    CLIPC_TRY(check_options(options, &checked, error));
    clipc_mapped_file file = {0};
    CLIPC_TRY(clipc_mapped_file_read(path, 0, &file, error));
    const clipc_status status = decode(file.bytes, file.size, path, &checked, out, error);
    clipc_mapped_file_close(&file);
    return status;
}

size_t clipc_image_width(const clipc_image *image)
{
    return image ? image->width : 0;
}

size_t clipc_image_height(const clipc_image *image)
{
    return image ? image->height : 0;
}

const uint8_t *clipc_image_pixels(const clipc_image *image)
{
    return image ? image->pixels : NULL;
}

clipc_status clipc_image_resize(const clipc_image *image, size_t width, size_t height, clipc_image **out,
                                clipc_error *error)
{
    CLIPC_FAIL_IF(!out, error, CLIPC_ERROR_ARGUMENT, "clipc_image_resize: out is NULL");
    *out = NULL;
    CLIPC_FAIL_IF(!image, error, CLIPC_ERROR_ARGUMENT, "clipc_image_resize: image is NULL");
    CLIPC_FAIL_IF(width == 0 || height == 0, error, CLIPC_ERROR_ARGUMENT, "clipc_image_resize: to %zu×%zu pixels",
                  width, height);
    clipc_image *resized = NULL;
    CLIPC_TRY(clipc_image_allocate(CLIPC_MODE_RGB, width, height, &resized, error));
    const clipc_crop whole = {.width = width, .height = height};
    const clipc_status status = clipc_resize_crop(image->pixels, image->width, image->height, image->channels,
                                                  CLIPC_FILTER_BICUBIC, width, height, whole, resized->pixels, error);
    if (status != CLIPC_OK)
        clipc_image_destroy(&resized);
    *out = resized;
    return status;
}

clipc_status clipc_model_preprocess(const clipc_model *model, const clipc_image *image, float *pixels,
                                    clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !image || !pixels, error, CLIPC_ERROR_ARGUMENT, "clipc_model_preprocess: %s is NULL",
                  !model   ? "model"
                  : !image ? "image"
                           : "pixels");
    CLIPC_TRY(clipc_model_check_tower(model, true, error));
    return clipc_preprocess(&model->preprocess, image, model->config.image_size, model->config.image_size, pixels,
                            error);
}

/* In the file's own mode, for torchvision's order. */
static clipc_status read_native(const char *path, const clipc_image_options *options, clipc_image **out,
                                clipc_error *error)
{
    clipc_image_options checked;
    clipc_mapped_file file = {0};
    CLIPC_TRY(check_options(options, &checked, error));
    CLIPC_TRY(clipc_mapped_file_read(path, 0, &file, error));
    clipc_status status = clipc_image_decode_native(file.bytes, file.size, path, checked.max_pixels, out, error);
    clipc_mapped_file_close(&file);
    if (status == CLIPC_OK && checked.apply_exif)
        status = clipc_image_apply_exif(out, error);
    if (status != CLIPC_OK)
        clipc_image_destroy(out);
    return status;
}

clipc_status clipc_model_preprocess_bytes(const clipc_model *model, const clipc_image *image, uint8_t *bytes,
                                          clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !image || !bytes, error, CLIPC_ERROR_ARGUMENT, "clipc_model_preprocess_bytes: %s is NULL",
                  !model   ? "model"
                  : !image ? "image"
                           : "bytes");
    CLIPC_TRY(clipc_model_check_tower(model, true, error));
    return clipc_preprocess_bytes(&model->preprocess, image, model->config.image_size, model->config.image_size, bytes,
                                  error);
}

/* To `pixels`, or to `bytes` when that is NULL. */
static clipc_status preprocess_file(const clipc_model *model, const char *path, const clipc_image_options *options,
                                    float *pixels, uint8_t *bytes, clipc_error *error)
{
    clipc_image *image = NULL;
    if (model->preprocess.order == CLIPC_ORDER_TORCHVISION)
        CLIPC_TRY(read_native(path, options, &image, error));
    else
        CLIPC_TRY(clipc_image_read(path, options, &image, error));
    clipc_status status = pixels ? clipc_model_preprocess(model, image, pixels, error)
                                 : clipc_model_preprocess_bytes(model, image, bytes, error);
    if (status != CLIPC_OK)
        status = clipc_fail_within(error, status, "%s", path);
    clipc_image_destroy(&image);
    return status;
}

clipc_status clipc_model_preprocess_file(const clipc_model *model, const char *path,
                                         const clipc_image_options *options, float *pixels, clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !path || !pixels, error, CLIPC_ERROR_ARGUMENT, "clipc_model_preprocess_file: %s is NULL",
                  !model  ? "model"
                  : !path ? "path"
                          : "pixels");
    return preprocess_file(model, path, options, pixels, NULL, error);
}

clipc_status clipc_model_preprocess_file_bytes(const clipc_model *model, const char *path,
                                               const clipc_image_options *options, uint8_t *bytes, clipc_error *error)
{
    CLIPC_FAIL_IF(!model || !path || !bytes, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_preprocess_file_bytes: %s is NULL",
                  !model  ? "model"
                  : !path ? "path"
                          : "bytes");
    return preprocess_file(model, path, options, NULL, bytes, error);
}
