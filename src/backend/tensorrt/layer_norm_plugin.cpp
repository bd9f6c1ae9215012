/* "ClipcLayerNorm", the LayerNorm kernel as a plugin of TensorRT 10 and later (IPluginV3): a library of its own, which
 * trtexec, polygraphy, the registry's loadLibrary and clipc's tensorrt backend load.
 *
 * Inputs: x, weight, bias, and with residual = 1 a residual of x's shape. Outputs: the result, and with residual = 1
 * also x + residual. Fields: axis      int32, the first dimension that is normalised; negative ones count from the
 * end. Default −1 epsilon   float32, default 1e-5 type      int32, TensorRT's number of the only type of x that is
 * served (0 fp32, 1 fp16, 7 bf16); default −1: each residual  int32, 0 (default) or 1 Weight and bias are fp32 or of
 * x's type. Nothing here throws or needs a run-time library of C++. */
#include "backend/tensorrt/layer_norm.h"

#include <NvInfer.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

using namespace nvinfer1;

namespace
{

constexpr char NAME[] = CLIPC_ONNX_PLUGIN;
constexpr char VERSION[] = CLIPC_ONNX_PLUGIN_VERSION;
enum { X, WEIGHT, BIAS, RESIDUAL };
constexpr int32_t FAILED = 1;

struct settings {
    int32_t axis = -1;
    float epsilon = 1e-5F;
    int32_t type = -1;
    int32_t residual = 0;
};

bool serves(DataType type)
{
    return type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16;
}

clipc_layer_norm_type kernel_type(DataType type)
{
    return type == DataType::kFLOAT  ? CLIPC_LAYER_NORM_FP32
           : type == DataType::kHALF ? CLIPC_LAYER_NORM_FP16
                                     : CLIPC_LAYER_NORM_BF16;
}

/* −1 where the axis is none of the shape's. */
int32_t first_axis(int32_t axis, int32_t rank)
{
    const int32_t from_front = axis < 0 ? axis + rank : axis;
    return from_front >= 0 && from_front < rank ? from_front : -1;
}

/* The sides before the axis are rows, those from it on make one row. False for an axis or a width that is not served.
 */
bool split_shape(const Dims &shape, int32_t axis, int64_t &rows, int64_t &width)
{
    const int32_t first = first_axis(axis, shape.nbDims);
    rows = 1;
    width = 1;
    for (int32_t i = 0; i < shape.nbDims; i++)
        (i < first ? rows : width) *= shape.d[i];
    return first >= 0 && width >= CLIPC_LAYER_NORM_LEAST_WIDTH && width <= CLIPC_LAYER_NORM_MOST_WIDTH;
}

class layer_norm_plugin final : public IPluginV3,
                                public IPluginV3OneCore,
                                public IPluginV3OneBuild,
                                public IPluginV3OneRuntime
{
  public:
    explicit layer_norm_plugin(const settings &from) : settings_(from)
    {
        fields_[0] = PluginField("axis", &settings_.axis, PluginFieldType::kINT32, 1);
        fields_[1] = PluginField("epsilon", &settings_.epsilon, PluginFieldType::kFLOAT32, 1);
        fields_[2] = PluginField("type", &settings_.type, PluginFieldType::kINT32, 1);
        fields_[3] = PluginField("residual", &settings_.residual, PluginFieldType::kINT32, 1);
        collection_.nbFields = 4;
        collection_.fields = fields_;
    }

    /* Memory of C's, so that no operator new is needed; nullptr when there is none. */
    static layer_norm_plugin *create(const settings &from)
    {
        void *memory = malloc(sizeof(layer_norm_plugin));
        return memory ? new (memory) layer_norm_plugin(from) : nullptr;
    }
    static void *operator new(size_t, void *place) noexcept
    {
        return place;
    }
    static void operator delete(void *memory) noexcept
    {
        free(memory);
    }

    /* ---- IPluginV3 ---- */

    IPluginCapability *getCapabilityInterface(PluginCapabilityType type) noexcept override
    {
        switch (type) {
        case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore *>(this);
        case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild *>(this);
        case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime *>(this);
        }
        return nullptr;
    }

    IPluginV3 *clone() noexcept override
    {
        return create(settings_);
    }

    /* ---- IPluginV3OneCore ---- */

    AsciiChar const *getPluginName() const noexcept override
    {
        return NAME;
    }

    AsciiChar const *getPluginVersion() const noexcept override
    {
        return VERSION;
    }

    AsciiChar const *getPluginNamespace() const noexcept override
    {
        return "";
    }

    /* ---- IPluginV3OneBuild ---- */

    int32_t getNbOutputs() const noexcept override
    {
        return 1 + settings_.residual;
    }

    int32_t getOutputDataTypes(DataType *outputs, int32_t output_count, DataType const *inputs,
                               int32_t input_count) const noexcept override
    {
        if (input_count != inputs_wanted() || output_count != getNbOutputs())
            return FAILED;
        for (int32_t i = 0; i < output_count; i++)
            outputs[i] = inputs[X];
        return 0;
    }

    int32_t getOutputShapes(DimsExprs const *inputs, int32_t input_count, DimsExprs const *, int32_t,
                            DimsExprs *outputs, int32_t output_count, IExprBuilder &) noexcept override
    {
        if (input_count != inputs_wanted() || output_count != getNbOutputs() ||
            first_axis(settings_.axis, inputs[X].nbDims) < 0)
            return FAILED;
        for (int32_t i = 0; i < output_count; i++)
            outputs[i] = inputs[X];
        return 0;
    }

    bool supportsFormatCombination(int32_t position, DynamicPluginTensorDesc const *tensors, int32_t input_count,
                                   int32_t output_count) noexcept override
    {
        if (input_count != inputs_wanted() || output_count != getNbOutputs() || position < 0 ||
            position >= input_count + output_count || tensors[position].desc.format != TensorFormat::kLINEAR)
            return false;
        const DataType type = tensors[position].desc.type;
        const DataType rows = tensors[X].desc.type;
        if (position == X)
            return serves(type) && (settings_.type < 0 || settings_.type == static_cast<int32_t>(type));
        if (position == WEIGHT)
            return type == rows || type == DataType::kFLOAT;
        if (position == BIAS)
            return type == tensors[WEIGHT].desc.type;
        return type == rows;
    }

    /* What is known of the shapes: sides that vary are −1, and are left to onShapeChange. */
    int32_t configurePlugin(DynamicPluginTensorDesc const *inputs, int32_t input_count,
                            DynamicPluginTensorDesc const *, int32_t) noexcept override
    {
        if (input_count != inputs_wanted())
            return FAILED;
        const Dims &shape = inputs[X].desc.dims;
        const int32_t first = first_axis(settings_.axis, shape.nbDims);
        if (first < 0)
            return FAILED;
        for (int32_t i = first; i < shape.nbDims; i++)
            if (shape.d[i] < 0)
                return 0;
        int64_t rows = 0;
        int64_t width = 0;
        return split_shape(shape, settings_.axis, rows, width) ? 0 : FAILED;
    }

    /* ---- IPluginV3OneRuntime ---- */

    int32_t onShapeChange(PluginTensorDesc const *inputs, int32_t input_count, PluginTensorDesc const *,
                          int32_t) noexcept override
    {
        int64_t rows = 0;
        int64_t width = 0;
        return input_count == inputs_wanted() && split_shape(inputs[X].dims, settings_.axis, rows, width) ? 0 : FAILED;
    }

    int32_t enqueue(PluginTensorDesc const *inputs, PluginTensorDesc const *, void const *const *input,
                    void *const *output, void *, cudaStream_t stream) noexcept override
    {
        clipc_layer_norm norm = {};
        int64_t width = 0;
        if (!split_shape(inputs[X].dims, settings_.axis, norm.rows, width))
            return FAILED;
        norm.type = kernel_type(inputs[X].type);
        norm.parameter_type = kernel_type(inputs[WEIGHT].type);
        norm.input = input[X];
        norm.weight = input[WEIGHT];
        norm.bias = input[BIAS];
        norm.output = output[0];
        norm.residual = settings_.residual ? input[RESIDUAL] : nullptr;
        norm.sum = settings_.residual ? output[1] : nullptr;
        norm.width = static_cast<int32_t>(width);
        norm.epsilon = settings_.epsilon;
        return clipc_layer_norm_run(&norm, stream) == cudaSuccess ? 0 : FAILED;
    }

    IPluginV3 *attachToContext(IPluginResourceContext *) noexcept override
    {
        return clone();
    }

    PluginFieldCollection const *getFieldsToSerialize() noexcept override
    {
        return &collection_;
    }

  private:
    int32_t inputs_wanted() const noexcept
    {
        return 3 + settings_.residual;
    }

    settings settings_;
    PluginField fields_[4];
    PluginFieldCollection collection_ = {};
};

/* A field of another type than its own, or a value that is none, is refused. */
bool read_field(const PluginField &field, settings &to)
{
    const struct {
        const char *name;
        PluginFieldType type;
        void *value;
    } known[] = {{"axis", PluginFieldType::kINT32, &to.axis},
                 {"epsilon", PluginFieldType::kFLOAT32, &to.epsilon},
                 {"type", PluginFieldType::kINT32, &to.type},
                 {"residual", PluginFieldType::kINT32, &to.residual}};
    for (const auto &one : known) {
        if (!field.name || strcmp(field.name, one.name) != 0)
            continue;
        if (field.type != one.type || !field.data || field.length != 1)
            return false;
        memcpy(one.value, field.data, 4);
        return true;
    }
    return true; /* TensorRT hands on attributes of its own, too */
}

class layer_norm_creator final : public IPluginCreatorV3One
{
  public:
    layer_norm_creator()
    {
        fields_[0] = PluginField("axis", nullptr, PluginFieldType::kINT32, 1);
        fields_[1] = PluginField("epsilon", nullptr, PluginFieldType::kFLOAT32, 1);
        fields_[2] = PluginField("type", nullptr, PluginFieldType::kINT32, 1);
        fields_[3] = PluginField("residual", nullptr, PluginFieldType::kINT32, 1);
        collection_.nbFields = 4;
        collection_.fields = fields_;
    }
    static void operator delete(void *) noexcept
    {
    }

    IPluginV3 *createPlugin(AsciiChar const *, PluginFieldCollection const *collection,
                            TensorRTPhase) noexcept override
    {
        settings made;
        for (int32_t i = 0; collection && i < collection->nbFields; i++)
            if (!read_field(collection->fields[i], made))
                return nullptr;
        const bool known_type = made.type < 0 || serves(static_cast<DataType>(made.type));
        if (!known_type || (made.residual != 0 && made.residual != 1) || !(made.epsilon >= 0))
            return nullptr;
        return layer_norm_plugin::create(made);
    }

    PluginFieldCollection const *getFieldNames() noexcept override
    {
        return &collection_;
    }

    AsciiChar const *getPluginName() const noexcept override
    {
        return NAME;
    }

    AsciiChar const *getPluginVersion() const noexcept override
    {
        return VERSION;
    }

    AsciiChar const *getPluginNamespace() const noexcept override
    {
        return "";
    }

  private:
    PluginField fields_[4];
    PluginFieldCollection collection_ = {};
};

layer_norm_creator creator;

/* Loaders that only dlopen a library, as polygraphy does, expect it to make itself known. Which TensorRT is there is
 * asked at run time, so that one library serves all: the process has it loaded, or there is nobody to tell. */
__attribute__((constructor)) void make_known()
{
    using registry_function = IPluginRegistry *(*)();
    static const char *const libraries[] = {"libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so"};
    void *found = dlsym(RTLD_DEFAULT, "getPluginRegistry");
    for (size_t i = 0; !found && i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        found = library ? dlsym(library, "getPluginRegistry") : nullptr;
    }
    IPluginRegistry *registry = found ? reinterpret_cast<registry_function>(found)() : nullptr;
    if (registry)
        registry->registerCreator(creator, "");
}

} // namespace

/* What the registry's loadLibrary (trtexec --dynamicPlugins) asks for. */
extern "C" __attribute__((visibility("default"))) IPluginCreatorInterface *const *getCreators(int32_t &count)
{
    static IPluginCreatorInterface *const creators[] = {&creator};
    count = 1;
    return creators;
}

/* The plugin logs nothing: it says what is wrong by its status. */
extern "C" __attribute__((visibility("default"))) void setLoggerFinder(ILoggerFinder *)
{
}
