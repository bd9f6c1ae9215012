/* The convolutions of a ResNet CLIP's image tower, OpenAI's ModifiedResNet, as data: what a backend walks over.
 *
 * The stem is three 3 × 3 convolutions, the first of stride 2 over the pixels. A stage's block is a bottleneck: reduce
 * (1 × 1), spread (3 × 3), expand (1 × 1), whose result is added to the block's input; the first block of each stage
 * has a fourth convolution, downsample (1 × 1), through which its input goes before it is added. After every
 * convolution comes BatchNorm, then a ReLU, but for expand, whose ReLU follows the sum, and downsample, which has
 * none. All strides but the first are made by averaging 2 × 2 pixels of a convolution's input. */
#ifndef CLIPC_MODEL_RESNET_H
#define CLIPC_MODEL_RESNET_H

#include "model/family.h"

/* Added to the variance: torch.nn.BatchNorm2d's default. */
#define CLIPC_BATCH_NORM_EPSILON 1e-5

/* The sentence about a model, whose name it takes, that has finite weights and yet cannot be folded. */
#define CLIPC_RESNET_NOT_FINITE                                                                                       \
    "%s: a running_var of BatchNorm is negative, or weights are out of range once it is folded in"

#define CLIPC_CONVOLUTION_NAME  40
#define CLIPC_CONVOLUTION_PARTS 5 /* tensors of a clipc_convolution_weights */

typedef enum clipc_convolution_role {
    CLIPC_CONVOLUTION_PIXELS, /* the stem's first */
    CLIPC_CONVOLUTION_STEM,
    CLIPC_CONVOLUTION_REDUCE, /* a block begins */
    CLIPC_CONVOLUTION_SPREAD,
    CLIPC_CONVOLUTION_DOWNSAMPLE, /* of the block's input: the first block of a stage has it */
    CLIPC_CONVOLUTION_EXPAND      /* adds the block's input, or what downsample made of it; the block ends */
} clipc_convolution_role;

typedef struct clipc_convolution {
    clipc_convolution_role role;
    char name[CLIPC_CONVOLUTION_NAME]; /* "layer1.0.conv1" */
    char norm[CLIPC_CONVOLUTION_NAME]; /* "layer1.0.bn1" */
    size_t inputs;                     /* channels */
    size_t outputs;
    size_t kernel; /* 1 or 3, the input being padded with kernel / 2 zeros at each side */
    size_t stride; /* 2 for CLIPC_CONVOLUTION_PIXELS, else 1 */
    size_t pool;   /* 2: the mean of 2 × 2 pixels of the input takes their place; else 1 */
    size_t input_side;
    size_t side; /* input_side / pool / stride: the output is side × side pixels */
} clipc_convolution;

/* How many there are; 0 when the image tower is no ResNet. */
size_t clipc_resnet_count(const clipc_config *config);
clipc_convolution clipc_resnet_at(const clipc_config *config, size_t index);

/* The family-wide sign of such a tower: "visual.attnpool.positional_embedding". */
extern const char *const clipc_resnet_sign;
/* How many blocks a stage (0 to 3) has in the files. */
size_t clipc_resnet_count_blocks(const clipc_weight_file *files, size_t file_count, size_t stage);
/* Whether files of such a tower may have a tensor of that name, which begins with "visual.". */
bool clipc_resnet_has_name(const clipc_config *config, const char *name);
/* clipc_family_each for the image tower: every slot of a ResNet, whose names are those of all families. */
clipc_status clipc_resnet_each(const clipc_config *config, const clipc_weights *weights, clipc_slot_function function,
                               void *context, clipc_error *error);

/* The convolution with its BatchNorm in one, rounded once from double: of outputs first … first + count - 1 the
 * kernels [count][kernel × kernel][tap_length], channels beyond the inputs being 0, and biases [count]. tap_length 0:
 * kernels [count][inputs][kernel × kernel] as in the file. `row` is scratch of inputs × kernel × kernel floats.
 * Returns whether all that was read, and all that came of it, is finite. */
bool clipc_resnet_fold(const clipc_convolution *convolution, const clipc_convolution_weights *weights, size_t first,
                       size_t count, size_t tap_length, float *row, float *kernels, float *biases);

#endif
