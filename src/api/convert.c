/* Making and checking engine files. */
#include "api/engine.h"
#include "model/linear.h"

#include <string.h>

struct conversion {
    clipc_engine_writer *writer;
    const clipc_model *model;
    clipc_write_function write;
    void *user;
};

/* What goes out from where it is mapped is not needed any more. */
static int write_once(void *context, const void *bytes, size_t size)
{
    const struct conversion *job = context;
    const int result = job->write(job->user, bytes, size);
    clipc_model_forget(job->model, bytes, size);
    return result;
}

static clipc_status add_packed(void *context, bool image, size_t linear, const clipc_section *section,
                               clipc_error *error)
{
    const struct conversion *job = context;
    const clipc_model *model = job->model;
    const clipc_linear role = clipc_linear_at(&model->config, &model->weights, image, linear);
    clipc_section named = *section;
    memcpy(named.name, role.name, sizeof named.name);
    CLIPC_TRY(clipc_engine_writer_add(job->writer, &named, error));
    for (size_t part = 0; part < role.parts; part++)
        clipc_model_forget_tensor(model, role.weights[part]);
    if (model->linears[image]) /* it was packed before */
        clipc_model_forget(model, model->linears[image][linear]->bytes, model->linears[image][linear]->size);
    return CLIPC_OK;
}

static clipc_status convert(struct conversion *job, const clipc_backend *backend, const clipc_compile_options *options,
                            clipc_error *error)
{
    clipc_compiled_info info = {0};
    CLIPC_FAIL_IF(!backend->pack, error, CLIPC_ERROR_UNSUPPORTED, "backend %s: there are no engine files for it",
                  backend->name);
    CLIPC_TRY(clipc_model_check_source(job->model, options->threads, error));
    CLIPC_TRY(backend->pack(job->model, options, add_packed, job, &info, error));
    const clipc_engine_origin origin = {
        .backend = backend->name, .isa = info.isa, .precision = info.precision, .tuning = options->tuning};
    CLIPC_TRY(clipc_engine_file_write_rest(job->writer, job->model, &origin, error));
    return clipc_engine_writer_finish(job->writer, error);
}

static clipc_status convert_blocks(struct conversion *job, const clipc_block_writer *blocks,
                                   const clipc_compile_options *options, clipc_error *error)
{
    const clipc_precision precision = blocks->settle(options);
    const clipc_engine_origin origin = {.backend = blocks->backend,
                                        .isa = blocks->isa(precision),
                                        .precision = precision,
                                        .block_layout = blocks->layout,
                                        .tuning = options->tuning};
    CLIPC_TRY(clipc_model_check_source(job->model, options->threads, error));
    CLIPC_TRY(blocks->write(job->model, options, job->writer, error));
    CLIPC_TRY(clipc_engine_file_write_rest(job->writer, job->model, &origin, error));
    return clipc_engine_writer_finish(job->writer, error);
}

clipc_status clipc_model_convert(const clipc_model *model, const clipc_engine_config *config,
                                 clipc_write_function write, void *user, clipc_error *error)
{
    clipc_engine_config settled;
    const clipc_backend *backend = NULL;
    clipc_compile_options options;
    CLIPC_FAIL_IF(!model || !write, error, CLIPC_ERROR_ARGUMENT,
                  "clipc_model_convert needs a model and a function that writes");
    clipc_engine_config_init(&settled);
    const clipc_engine_config *wanted = config ? config : &settled;
    if (wanted->size == sizeof *wanted && (!wanted->backend || strcmp(wanted->backend, "auto") == 0)) {
        settled = *wanted;
        /* whatever would run here */
        settled.backend = model->engine_file ? model->packed_for : "cpu";
        wanted = &settled;
    }
    const clipc_block_writer *blocks =
        wanted->size == sizeof *wanted ? clipc_block_writer_find(wanted->backend) : NULL;
    if (blocks)
        CLIPC_TRY(clipc_engine_settle_blocks(model, wanted, blocks, &options, error));
    else
        CLIPC_TRY(clipc_engine_settle(model, wanted, &backend, &options, error));
    options.image_tower = clipc_config_has_tower(&model->config, true);
    options.text_tower = clipc_config_has_tower(&model->config, false);
    struct conversion job = {.model = model, .write = write, .user = user};
    CLIPC_TRY(clipc_engine_writer_create(write_once, &job, &job.writer, error));
    const clipc_status status =
        blocks ? convert_blocks(&job, blocks, &options, error) : convert(&job, backend, &options, error);
    clipc_engine_writer_destroy(&job.writer);
    return status;
}

clipc_status clipc_model_verify(const clipc_model *model, clipc_error *error)
{
    CLIPC_FAIL_IF(!model, error, CLIPC_ERROR_ARGUMENT, "clipc_model_verify needs a model");
    CLIPC_FAIL_IF(!model->engine_file, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: only engine files have checksums to verify", model->path[0] ? model->path : model->name);
    return clipc_engine_file_verify(model->engine_file, error);
}
