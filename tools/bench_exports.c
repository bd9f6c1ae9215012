#include "bench_exports.h"

#include "json_line.h"
#include "layers_json.h"
#include "message.h"
#include "npz_writer.h"

#include <stdlib.h>
#include <string.h>

static output_file *open_file(const char *path)
{
    return path ? output_open(path) : NULL;
}

void bench_exports_open(bench_exports *exports, const tool_settings *settings)
{
    *exports = (bench_exports){
        .settings = settings,
        .times = open_file(settings->bench.export_times),
        .profile = open_file(settings->bench.export_profile),
        .layers = open_file(settings->bench.export_layers),
        .measured = json_array(),
        .profiled = json_array(),
    };
}

/* ---- times ---- */

static json_t *samples_to_json(const bench_timing *timing)
{
    json_t *samples = json_array();
    for (size_t i = 0; i < timing->count; i++) {
        const bench_sample *sample = &timing->samples[i];
        json_t *object = json_object();
        json_put(object, "start_ms", json_real(1e3 * sample->start));
        json_put(object, "latency_ms", json_real(1e3 * (sample->prepare + sample->encode)));
        json_put(object, "preprocessing_ms", json_real(1e3 * sample->prepare));
        json_put(object, "encode_ms", json_real(1e3 * sample->encode));
        json_put(object, "caller", json_integer((json_int_t)sample->caller));
        json_append(samples, object);
    }
    return samples;
}

static json_t *parts_to_json(const bench_parts *parts)
{
    json_t *samples = json_array();
    for (size_t i = 0; i < parts->count; i++) {
        const bench_part_sample *sample = &parts->samples[i];
        json_t *object = json_object();
        json_put(object, "encode_ms", json_real(1e3 * sample->encode));
        json_put(object, "host_to_device_ms", json_real(1e3 * sample->host_to_device));
        json_put(object, "compute_ms", json_real(1e3 * sample->compute));
        json_put(object, "device_to_host_ms", json_real(1e3 * sample->device_to_host));
        json_put(object, "enqueue_ms", json_real(1e3 * sample->enqueue));
        json_append(samples, object);
    }
    return samples;
}

static json_t *profile_to_json(const bench_result *result)
{
    json_t *object = json_object();
    json_put(object, "tower", json_string(result->work->text ? "text" : "image"));
    json_put(object, "batch", json_integer((json_int_t)result->work->batch));
    json_put(object, "backend", json_string(result->engine.backend));
    json_put(object, "precision", json_string(clipc_precision_name(result->engine.precision)));
    json_put(object, "iterations", json_integer((json_int_t)result->explanation.iterations));
    bench_explain_to_json(&result->explanation, object);
    return object;
}

/* ---- output ---- */

static void keep_output(bench_exports *exports, const bench_result *result)
{
    const bench_work *work = result->work;
    float **rows = work->text ? &exports->texts : &exports->images;
    size_t *count = work->text ? &exports->text_count : &exports->image_count;
    if (work->batch < *count)
        return;
    bench_caller caller;
    bench_caller_create(&caller, work);
    bench_prepare(&caller, 0);
    bench_encode(&caller, 0);
    free(*rows);
    *rows = caller.embeddings;
    *count = work->batch;
    exports->dimension = work->dimension;
    caller.embeddings = NULL;
    bench_caller_destroy(&caller);
}

static void write_output(const bench_exports *exports)
{
    const size_t images[] = {exports->image_count, exports->dimension};
    const size_t texts[] = {exports->text_count, exports->dimension};
    npz_writer *writer = npz_writer_open(exports->settings->bench.export_output);
    if (exports->image_count)
        npz_writer_floats(writer, "image_embeddings", images, 2, exports->images);
    if (exports->text_count)
        npz_writer_floats(writer, "text_embeddings", texts, 2, exports->texts);
    npz_writer_close(&writer);
}

/* ---- all of them ---- */

void bench_exports_add(bench_exports *exports, const bench_result *result)
{
    if (exports->times) {
        json_t *object = bench_result_to_json(result);
        json_put(object, "samples", samples_to_json(&result->timing));
        json_put(object, "part_samples", parts_to_json(&result->parts));
        json_append(exports->measured, object);
    }
    if (exports->profile)
        json_append(exports->profiled, profile_to_json(result));
    if (exports->settings->bench.export_output)
        keep_output(exports, result);
}

/* Takes over `value`. */
static void write_json(output_file **file, json_t *value)
{
    if (!*file) {
        json_decref(value);
        return;
    }
    char *text = json_to_text(value);
    output_text(*file, text);
    output_text(*file, "\n");
    output_close(*file);
    output_publish(file);
    free(text);
}

void bench_exports_close(bench_exports *exports, const clipc_model *model)
{
    write_json(&exports->times, exports->measured);
    write_json(&exports->profile, exports->profiled);
    write_json(&exports->layers, layers_to_json(model));
    if (exports->settings->bench.export_output)
        write_output(exports);
    free(exports->images);
    free(exports->texts);
}
