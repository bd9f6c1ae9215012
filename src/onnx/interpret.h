/* A graph is understood by running it on what its values are instead of on numbers: constants are computed, and an
 * activation is an expression (what was computed) with a layout (how it lies). What cannot be understood becomes a
 * refusal that says where and why; it counts only when an embedding depends on it. */
#ifndef CLIPC_ONNX_INTERPRET_H
#define CLIPC_ONNX_INTERPRET_H

#include "onnx/file.h"
#include "onnx/layout.h"

typedef enum clipc_onnx_kind {
    CLIPC_ONNX_PIXELS,        /* the image input */
    CLIPC_ONNX_IDS,           /* the text input */
    CLIPC_ONNX_PROBE,         /* `weight` [tokens, features], queries of attention pooling: the same for all items */
    CLIPC_ONNX_PATCHES,       /* base convolved with `weight`, + bias */
    CLIPC_ONNX_EMBEDDED,      /* rows of `weight` for the ids */
    CLIPC_ONNX_WITH_CLASS,    /* `weight` before the tokens of base, or after them: `index` 1 */
    CLIPC_ONNX_WITH_MEAN,     /* their mean before the tokens of base */
    CLIPC_ONNX_POSITIONED,    /* base + `weight` [tokens, features] */
    CLIPC_ONNX_LINEAR,        /* base × weight [inner, features] + bias */
    CLIPC_ONNX_FUNCTION,      /* a function of each number of base, known by its `samples` */
    CLIPC_ONNX_SUM,           /* base + other */
    CLIPC_ONNX_ONE_TOKEN,     /* token `index` of base */
    CLIPC_ONNX_LATER_TOKENS,  /* those of base from `index` on */
    CLIPC_ONNX_MEAN_TOKEN,    /* the mean of base's tokens */
    CLIPC_ONNX_POOLED,        /* the token of base that the place `other` says */
    CLIPC_ONNX_SCORES,        /* factor × base · other of each head, masked or not */
    CLIPC_ONNX_PROBABILITIES, /* softmax of the scores `base` */
    CLIPC_ONNX_IS_NAN,        /* of probabilities, which are never */
    CLIPC_ONNX_ATTENTION,     /* the values `other` weighed by the probabilities `base` */
    /* the maps of a ResNet, whose tokens are pixels */
    CLIPC_ONNX_CONVOLVED,  /* base, pixels or a map, with `weight` in steps of `index` pixels, + bias */
    CLIPC_ONNX_BATCH_NORM, /* of base: weight, bias, mean, variance */
    CLIPC_ONNX_HALVED,     /* means of 2 × 2 pixels of base */
    /* the steps of a layer normalisation of base */
    CLIPC_ONNX_MEAN,
    CLIPC_ONNX_CENTERED,
    CLIPC_ONNX_SQUARES, /* of the centered */
    CLIPC_ONNX_VARIANCE,
    CLIPC_ONNX_POSITIVE_VARIANCE, /* + number */
    CLIPC_ONNX_DEVIATION,
    CLIPC_ONNX_INVERSE_DEVIATION,
    CLIPC_ONNX_NORMAL,
    CLIPC_ONNX_SCALED_NORMAL, /* × weight */
    CLIPC_ONNX_NORM,          /* + bias */
    /* the steps of scaling to unit length */
    CLIPC_ONNX_SUM_OF_SQUARES,
    CLIPC_ONNX_LENGTH,
    CLIPC_ONNX_UNIT,
    /* finding the token that is pooled */
    CLIPC_ONNX_IS_TOKEN,      /* ids equal to `index` */
    CLIPC_ONNX_IS_OTHER,      /* ids not equal to it */
    CLIPC_ONNX_PLACE,         /* of the first largest of base */
    CLIPC_ONNX_FLAT_PLACE,    /* the same counted through all items */
    CLIPC_ONNX_INDEXED_PLACE, /* pairs of item and place */
    /* finding what keys are hidden: those whose predecessor is the token `index` */
    CLIPC_ONNX_HIDDEN,
    CLIPC_ONNX_SEEN,     /* the others */
    CLIPC_ONNX_KEY_MASK, /* what is added to scores for that, and of later keys when it is causal */
    /* products of integers */
    CLIPC_ONNX_QUANTIZED,      /* base */
    CLIPC_ONNX_QUANTIZED_STEP, /* of base, × scale */
    CLIPC_ONNX_QUANTIZED_ZERO,
    CLIPC_ONNX_INTEGER_PRODUCT, /* what becomes the kind `index` once it is scaled by the step */
} clipc_onnx_kind;

/* Points where functions are compared. */
#define CLIPC_ONNX_SAMPLES 16
extern const double clipc_onnx_sample_points[CLIPC_ONNX_SAMPLES];

typedef struct clipc_onnx_expression {
    clipc_onnx_kind kind;
    const Onnx__NodeProto *node;
    size_t tokens; /* how many indices each label has */
    size_t keys;   /* of scores and probabilities */
    size_t features;
    const struct clipc_onnx_expression *base;
    const struct clipc_onnx_expression *other;
    const clipc_onnx_constant *weight;
    const clipc_onnx_constant *bias;
    const clipc_onnx_constant *mean; /* of BatchNorm */
    const clipc_onnx_constant *variance;
    const clipc_onnx_constant *zero;  /* of an integer weight: value = (stored - zero) × scale, */
    const clipc_onnx_constant *scale; /* each of one element or one for each output; NULL: a weight of floats */
    double number;                    /* epsilon; the factor of scores */
    size_t index;
    size_t heads;
    size_t patch;
    bool causal;
    const struct clipc_onnx_expression *mask; /* of scores: a KEY_MASK, or NULL */
    const double *samples;                    /* [CLIPC_ONNX_SAMPLES] */
} clipc_onnx_expression;

typedef struct clipc_onnx_refusal {
    const Onnx__NodeProto *node; /* or NULL */
    const char *reason;          /* what was found or expected */
} clipc_onnx_refusal;

/* One of the three, or nothing at all. */
typedef struct clipc_onnx_known {
    const clipc_onnx_constant *constant;
    const clipc_onnx_expression *expression;
    const clipc_onnx_layout *layout; /* with expression */
    const clipc_onnx_refusal *refusal;
} clipc_onnx_known;

typedef struct clipc_onnx_interpreter {
    clipc_onnx_file *file;
    clipc_onnx_arena *arena;
    size_t batch;      /* items that the graph is run with */
    size_t image_size; /* for an input whose sides may vary */
    size_t tokens;
    size_t work;  /* elements that may yet be computed */
    size_t depth; /* graphs within the graph that are being run */
    struct clipc_onnx_names *names;
    clipc_error *error;
} clipc_onnx_interpreter;

#define CLIPC_ONNX_INPUTS  64
#define CLIPC_ONNX_OUTPUTS 16

typedef struct clipc_onnx_operation {
    const Onnx__NodeProto *node;
    clipc_onnx_known inputs[CLIPC_ONNX_INPUTS]; /* past input_count: nothing */
    size_t input_count;
    clipc_onnx_known outputs[CLIPC_ONNX_OUTPUTS];
    size_t output_count;
} clipc_onnx_operation;

/* Runs the graph with batches of `batch` items; afterwards every value has a name. Fails only when memory, the file's
 * form or a limit does. */
clipc_status clipc_onnx_interpret(clipc_onnx_interpreter *in);
/* The nodes of a graph within the graph, which may read all that is outside of it, as of->outputs. */
void clipc_onnx_interpret_branch(clipc_onnx_interpreter *in, clipc_onnx_operation *of, const uint8_t *graph,
                                 size_t size);
/* What the graph calls `name`; a refusal when there is none. */
clipc_onnx_known clipc_onnx_find_value(const clipc_onnx_interpreter *in, const char *name);

/* ---- for the operations ---- */

__attribute__((format(printf, 3, 4))) clipc_onnx_known
clipc_onnx_refuse(clipc_onnx_interpreter *in, const clipc_onnx_operation *of, const char *format, ...);
clipc_onnx_known clipc_onnx_of_constant(const clipc_onnx_constant *constant);
/* Copies both. */
clipc_onnx_known clipc_onnx_of_expression(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                          const clipc_onnx_expression *expression, const clipc_onnx_layout *layout);
/* The same expression in another layout. */
clipc_onnx_known clipc_onnx_relaid(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                   const clipc_onnx_known *value, const clipc_onnx_layout *layout);
/* An expression of `base`, which its sizes are taken from. */
clipc_onnx_expression clipc_onnx_derive(clipc_onnx_kind kind, const clipc_onnx_expression *base);
bool clipc_onnx_is(const clipc_onnx_known *value, clipc_onnx_kind kind);

int64_t clipc_onnx_integer_of(const clipc_onnx_operation *of, const char *attribute, int64_t absent);
double clipc_onnx_float_of(const clipc_onnx_operation *of, const char *attribute, double absent);
const Onnx__AttributeProto *clipc_onnx_attribute(const clipc_onnx_operation *of, const char *name);
/* Integers of an attribute, or of input `input` when the node has that. False when there is neither; *count is the
 * number found, at most `room` of which are written. */
bool clipc_onnx_integers_of(const clipc_onnx_operation *of, const char *attribute, size_t input, int64_t *out,
                            size_t room, size_t *count);
/* 0 … rank-1 from an axis that may count from the end; false when it is neither. */
bool clipc_onnx_axis(int64_t axis, size_t rank, size_t *out);
/* Rank and sides of a constant or an activation. */
size_t clipc_onnx_rank_of(const clipc_onnx_known *value);
size_t clipc_onnx_side_of(const clipc_onnx_known *value, size_t side);
/* Takes `count` from the work that may be done; false when it is used up. */
bool clipc_onnx_afford(clipc_onnx_interpreter *in, size_t count);

/* Indices begin … end-1 of a side, which is removed if `remove`. For constants and activations. */
clipc_onnx_known clipc_onnx_select(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                   const clipc_onnx_known *value, size_t side, size_t begin, size_t end, bool remove);
clipc_onnx_known clipc_onnx_reshaped(clipc_onnx_interpreter *in, const clipc_onnx_operation *of,
                                     const clipc_onnx_known *value, const size_t *shape, size_t rank);
/* The constant over the activation's tokens and features, or features alone: NULL when it is over anything else. */
const clipc_onnx_constant *clipc_onnx_over(clipc_onnx_interpreter *in, const clipc_onnx_known *activation,
                                           const clipc_onnx_constant *constant, bool tokens);

/* Each fills of->outputs. All inputs are constants or activations. */
typedef void (*clipc_onnx_operator)(clipc_onnx_interpreter *in, clipc_onnx_operation *of);
typedef struct clipc_onnx_operator_entry {
    const char *name;
    clipc_onnx_operator run;
} clipc_onnx_operator_entry;

/* Tables that end with NULL. */
extern const clipc_onnx_operator_entry clipc_onnx_shape_operators[];      /* sides and their order */
extern const clipc_onnx_operator_entry clipc_onnx_constant_operators[];   /* of constants alone */
extern const clipc_onnx_operator_entry clipc_onnx_arithmetic_operators[]; /* of each element */
extern const clipc_onnx_operator_entry clipc_onnx_product_operators[];    /* of matrices, attention, normalisation */
extern const clipc_onnx_operator_entry clipc_onnx_map_operators[];        /* of a ResNet */
extern const clipc_onnx_operator_entry clipc_onnx_integer_operators[];    /* of dynamic quantisation */
extern const clipc_onnx_operator_entry clipc_onnx_token_operators[];      /* of ids and places */

/* An operator of each element, when all its inputs are constants. */
clipc_onnx_known clipc_onnx_compute(clipc_onnx_interpreter *in, const clipc_onnx_operation *of);
/* The function of one number that the operator is; false when it is none. */
bool clipc_onnx_function(const char *operator, double x, double *y);

#endif
