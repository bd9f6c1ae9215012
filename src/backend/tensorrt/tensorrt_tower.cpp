#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <new>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Headers of the library's C, which knows nothing of C++. */
extern "C" {
#include "backend/cuda/cuda_status.h"
#include "backend/tensorrt/plan_cache.h"
#include "backend/tensorrt/tensorrt_tower.h"
#include "base/memory.h"
}

using namespace nvinfer1;

/* ---- the libraries ---- */

namespace
{

struct libraries {
    void *(*create_builder)(void *logger, int32_t version);
    void *(*create_runtime)(void *logger, int32_t version);
    void *(*create_parser)(void *network, void *logger, int version);
    int32_t (*version)();
};

template <typename function> bool find(void *library, const char *name, function &out)
{
    out = library ? reinterpret_cast<function>(dlsym(library, name)) : nullptr;
    return out != nullptr;
}

/* Loaded once and kept; the loader counts, so asking again costs little. */
clipc_status load(libraries &out, clipc_error *error)
{
    char infer_name[32];
    char parser_name[32];
    snprintf(infer_name, sizeof infer_name, "libnvinfer.so.%d", NV_TENSORRT_MAJOR);
    snprintf(parser_name, sizeof parser_name, "libnvonnxparser.so.%d", NV_TENSORRT_MAJOR);
    void *infer = dlopen(infer_name, RTLD_NOW | RTLD_GLOBAL);
    if (!infer)
        return clipc_fail(error, CLIPC_ERROR_DEVICE, "TensorRT is not here: %s", dlerror());
    void *parser = dlopen(parser_name, RTLD_NOW);
    if (!parser)
        return clipc_fail(error, CLIPC_ERROR_DEVICE, "TensorRT's reader of ONNX is not here: %s", dlerror());
    if (!find(infer, "createInferBuilder_INTERNAL", out.create_builder) ||
        !find(infer, "createInferRuntime_INTERNAL", out.create_runtime) ||
        !find(infer, "getInferLibVersion", out.version) ||
        !find(parser, "createNvOnnxParser_INTERNAL", out.create_parser))
        return clipc_fail(error, CLIPC_ERROR_DEVICE, "%s: lacks a function that TensorRT %d has", infer_name,
                          NV_TENSORRT_MAJOR);
    return CLIPC_OK;
}

/* Warnings go to the caller's log; the first error is kept, for the sentence of a failure. */
class logger final : public ILogger
{
  public:
    logger(clipc_log_function log, void *user) : log_(log), user_(user)
    {
    }
    void log(Severity severity, AsciiChar const *message) noexcept override
    {
        if (severity <= Severity::kERROR && !first_error[0])
            snprintf(first_error, sizeof first_error, "%s", message);
        if (!log_ || severity > Severity::kINFO)
            return;
        log_(user_, severity <= Severity::kWARNING ? CLIPC_LOG_WARNING : CLIPC_LOG_DEBUG, message);
    }
    static void operator delete(void *) noexcept
    {
    }

    char first_error[320] = "";

  private:
    clipc_log_function log_;
    void *user_;
};

/* Deletes what TensorRT made. Its classes have virtual destructors. */
template <typename type> class owned
{
  public:
    explicit owned(void *made) : made_(static_cast<type *>(made))
    {
    }
    ~owned()
    {
        delete made_;
    }
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    type *operator->() const
    {
        return made_;
    }
    type &operator*() const
    {
        return *made_;
    }
    explicit operator bool() const
    {
        return made_ != nullptr;
    }
    type *take()
    {
        type *made = made_;
        made_ = nullptr;
        return made;
    }

  private:
    type *made_;
};

clipc_status fail_by_log(const logger &log, const char *name, const char *what, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_DEVICE, "%s: TensorRT cannot %s%s%s", name, what,
                      log.first_error[0] ? ": " : "", log.first_error);
}

/* ---- building ---- */

/* The sides of the input as the graph has them, with a batch. */
Dims with_batch(Dims shape, size_t batch)
{
    shape.d[0] = static_cast<int64_t>(batch);
    return shape;
}

bool set_profile(IBuilder &builder, IBuilderConfig &config, const ITensor &input, const clipc_batches &batches)
{
    IOptimizationProfile *profile = builder.createOptimizationProfile();
    const Dims shape = input.getDimensions();
    return profile && profile->setDimensions(input.getName(), OptProfileSelector::kMIN, with_batch(shape, batches.least)) &&
           profile->setDimensions(input.getName(), OptProfileSelector::kOPT, with_batch(shape, batches.usual)) &&
           profile->setDimensions(input.getName(), OptProfileSelector::kMAX, with_batch(shape, batches.largest)) &&
           config.addOptimizationProfile(profile) >= 0;
}

/* Timings of earlier builds, and of this one for the next. A cache that TensorRT refuses is begun anew. */
class timings
{
  public:
    timings(IBuilderConfig &config, const char *folder) : cache_(nullptr)
    {
        size_t bytes = 0;
        path_[0] = '\0';
        if (!folder || snprintf(path_, sizeof path_, "%s/timing.cache", folder) >= static_cast<int>(sizeof path_))
            return;
        void *stored = clipc_plan_cache_read(path_, &bytes);
        cache_ = config.createTimingCache(stored, bytes);
        if (!cache_)
            cache_ = config.createTimingCache(nullptr, 0);
        clipc_free(stored);
        if (cache_)
            config.setTimingCache(*cache_, false);
    }
    ~timings()
    {
        owned<IHostMemory> stored(cache_ ? cache_->serialize() : nullptr);
        if (stored)
            clipc_plan_cache_write(path_, stored->data(), stored->size(), nullptr); /* a wish */
        delete cache_;
    }
    timings(const timings &) = delete;
    timings &operator=(const timings &) = delete;

  private:
    ITimingCache *cache_;
    char path_[4096];
};

clipc_status build(const libraries &with, const clipc_tensorrt_settings &of, logger &log, IHostMemory **plan,
                   clipc_error *error)
{
    owned<IBuilder> builder(with.create_builder(&log, NV_TENSORRT_VERSION));
    if (!builder)
        return fail_by_log(log, of.name, "make a builder", error);
#if NV_TENSORRT_MAJOR < 11
    const uint32_t flags = 1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
    const uint32_t flags = 0; /* all networks are strongly typed */
#endif
    owned<INetworkDefinition> network(builder->createNetworkV2(flags));
    owned<IBuilderConfig> config(builder->createBuilderConfig());
    owned<nvonnxparser::IParser> parser(network ? with.create_parser(&*network, &log, NV_ONNX_PARSER_VERSION)
                                                : nullptr);
    if (!network || !config || !parser)
        return fail_by_log(log, of.name, "make a network", error);
    if (!parser->parse(of.graph, of.graph_bytes) || network->getNbInputs() != 1)
        return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: TensorRT cannot read the graph: %s", of.name,
                          parser->getNbErrors() ? parser->getError(0)->desc() : log.first_error);
    config->clearFlag(BuilderFlag::kTF32); /* fp32 is fp32 */
    if (of.optimization_level >= 0)
        config->setBuilderOptimizationLevel(of.optimization_level);
    if (of.workspace_bytes)
        config->setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, of.workspace_bytes);
    if (!set_profile(*builder, *config, *network->getInput(0), of.batches))
        return fail_by_log(log, of.name, "take the batch", error);
    const timings kept(*config, of.cache);
    *plan = builder->buildSerializedNetwork(*network, *config);
    return *plan ? CLIPC_OK : fail_by_log(log, of.name, "build the engine", error);
}

} // namespace

/* ---- a tower ---- */

struct clipc_tensorrt_tower {
    explicit clipc_tensorrt_tower(const clipc_tensorrt_settings &of)
        : log(of.log, of.log_user), name(of.name), least(of.batches.least), largest(of.batches.largest),
          input_item_bytes(of.input_item_bytes), output_items(of.output_items)
    {
    }

    logger log;
    const char *name;
    size_t least; /* items of a run */
    size_t largest;
    size_t input_item_bytes;
    size_t output_items;
    IRuntime *runtime = nullptr;
    ICudaEngine *engine = nullptr;
    IExecutionContext *context = nullptr;
    cudaStream_t stream = nullptr;
    void *input = nullptr; /* on the device */
    void *output = nullptr;
    Dims shape = {};
    size_t plan_bytes = 0;
    size_t workspace_bytes = 0;
};

clipc_status clipc_tensorrt_probe(char version[32], clipc_error *error)
{
    libraries with = {};
    const clipc_status status = load(with, error);
    if (status != CLIPC_OK)
        return status;
    const int32_t number = with.version(); /* major × 10000 + minor × 100 + patch since TensorRT 10 */
    snprintf(version, 32, "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
    return CLIPC_OK;
}

void clipc_tensorrt_tower_destroy(clipc_tensorrt_tower **tower)
{
    clipc_tensorrt_tower *old = *tower;
    if (!old)
        return;
    delete old->context;
    delete old->engine;
    delete old->runtime;
    cudaFree(old->input);
    cudaFree(old->output);
    if (old->stream)
        cudaStreamDestroy(old->stream);
    clipc_free(old);
    *tower = nullptr;
}

/* All that a plan depends on beside its graph. */
static clipc_status describe(const libraries &with, const clipc_tensorrt_settings &of, char words[512],
                             clipc_error *error)
{
    int device = 0;
    cudaDeviceProp properties;
    CLIPC_CUDA_TRY(cudaGetDevice(&device), "TensorRT: the device");
    CLIPC_CUDA_TRY(cudaGetDeviceProperties(&properties, device), "TensorRT: the device");
    snprintf(words, 512, "TensorRT %d, %s, sm %d.%d, batches %zu %zu %zu, level %d, workspace %zu", with.version(),
             properties.name, properties.major, properties.minor, of.batches.least, of.batches.usual, of.batches.largest, of.optimization_level,
             of.workspace_bytes);
    return CLIPC_OK;
}

/* From the cache; a plan that TensorRT does not take is as good as none. */
static bool open_cached(clipc_tensorrt_tower *tower, const char *path)
{
    void *plan = clipc_plan_cache_read(path, &tower->plan_bytes);
    if (plan)
        tower->engine = tower->runtime->deserializeCudaEngine(plan, tower->plan_bytes);
    clipc_free(plan);
    return tower->engine != nullptr;
}

static clipc_status open_engine(const libraries &with, const clipc_tensorrt_settings &of, clipc_tensorrt_tower *tower,
                                clipc_error *error)
{
    char words[512];
    char path[4096] = "";
    CLIPC_TRY(describe(with, of, words, error));
    const bool cached = of.cache && clipc_plan_cache_path(of.cache, of.graph, of.graph_bytes, words, path);
    if (cached && open_cached(tower, path))
        return CLIPC_OK;
    IHostMemory *made = nullptr;
    tower->log.first_error[0] = '\0';
    CLIPC_TRY(build(with, of, tower->log, &made, error));
    owned<IHostMemory> plan(made);
    tower->plan_bytes = plan->size();
    tower->engine = tower->runtime->deserializeCudaEngine(plan->data(), plan->size());
    if (!tower->engine)
        return fail_by_log(tower->log, of.name, "open the engine it built", error);
    return cached ? clipc_plan_cache_write(path, plan->data(), plan->size(), error) : CLIPC_OK;
}

static clipc_status prepare(const clipc_tensorrt_settings &of, clipc_tensorrt_tower *tower, clipc_error *error)
{
    libraries with = {};
    CLIPC_TRY(load(with, error));
    tower->runtime = static_cast<IRuntime *>(with.create_runtime(&tower->log, NV_TENSORRT_VERSION));
    if (!tower->runtime)
        return fail_by_log(tower->log, of.name, "make a runtime", error);
    CLIPC_TRY(open_engine(with, of, tower, error));
    tower->context = tower->engine->createExecutionContext();
    if (!tower->context)
        return fail_by_log(tower->log, of.name, "make a context", error);
    CLIPC_CUDA_TRY(cudaStreamCreate(&tower->stream), "TensorRT: a stream");
    CLIPC_TRY(clipc_cuda_allocate(of.batches.largest * of.input_item_bytes, "the input", &tower->input, error));
    CLIPC_TRY(
        clipc_cuda_allocate(of.batches.largest * of.output_items * sizeof(float), "the embeddings", &tower->output, error));
    tower->shape = tower->engine->getTensorShape("input");
    tower->workspace_bytes = static_cast<size_t>(tower->engine->getDeviceMemorySizeV2()) +
                             of.batches.largest * (of.input_item_bytes + of.output_items * sizeof(float));
    if (!tower->context->setTensorAddress("input", tower->input) ||
        !tower->context->setTensorAddress("output", tower->output))
        return fail_by_log(tower->log, of.name, "bind input and output", error);
    return CLIPC_OK;
}

clipc_status clipc_tensorrt_tower_create(const clipc_tensorrt_settings *settings, clipc_tensorrt_tower **out,
                                         clipc_error *error)
{
    void *memory = clipc_allocate(1, sizeof(clipc_tensorrt_tower));
    *out = nullptr;
    if (!memory)
        return clipc_fail_memory(error, sizeof(clipc_tensorrt_tower), "the tensorrt backend");
    clipc_tensorrt_tower *tower = new (memory) clipc_tensorrt_tower(*settings);
    const clipc_status status = prepare(*settings, tower, error);
    if (status != CLIPC_OK)
        clipc_tensorrt_tower_destroy(&tower);
    *out = tower;
    return status;
}

void clipc_tensorrt_tower_sizes(const clipc_tensorrt_tower *tower, size_t *plan, size_t *workspace)
{
    *plan = tower->plan_bytes;
    *workspace = tower->workspace_bytes;
}

/* Fewer items than the profile's least are filled up with what the input has from before: its memory began as zeros. */
static clipc_status run_once(clipc_tensorrt_tower *tower, const uint8_t *input, size_t count, float *output,
                             clipc_error *error)
{
    const size_t items = count < tower->least ? tower->least : count;
    tower->log.first_error[0] = '\0';
    CLIPC_CUDA_TRY(
        cudaMemcpyAsync(tower->input, input, count * tower->input_item_bytes, cudaMemcpyHostToDevice, tower->stream),
        "TensorRT: copying the input");
    if (!tower->context->setInputShape("input", with_batch(tower->shape, items)) ||
        !tower->context->enqueueV3(tower->stream))
        return fail_by_log(tower->log, tower->name, "run the engine", error);
    CLIPC_CUDA_TRY(cudaMemcpyAsync(output, tower->output, count * tower->output_items * sizeof(float),
                                   cudaMemcpyDeviceToHost, tower->stream),
                   "TensorRT: copying the embeddings");
    return clipc_cuda_check(cudaStreamSynchronize(tower->stream), "TensorRT: the engine", error);
}

clipc_status clipc_tensorrt_tower_run(clipc_tensorrt_tower *tower, const void *input, size_t count, float *output,
                                      clipc_error *error)
{
    const uint8_t *from = static_cast<const uint8_t *>(input);
    for (size_t done = 0; done < count;) {
        const size_t part = count - done < tower->largest ? count - done : tower->largest;
        CLIPC_TRY(run_once(tower, from + done * tower->input_item_bytes, part, output + done * tower->output_items,
                           error));
        done += part;
    }
    return CLIPC_OK;
}
