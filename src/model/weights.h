/* Weights by role, whatever their file called them. All tensors are views of the model's files; matrices are [out, in]
 * as torch.nn.Linear stores them. */
#ifndef CLIPC_MODEL_WEIGHTS_H
#define CLIPC_MODEL_WEIGHTS_H

#include "io/tensor.h"
#include "model/config.h"

typedef struct clipc_layer_weights {
    clipc_tensor norm1_weight, norm1_bias; /* [width] */
    clipc_tensor query_weight, query_bias; /* [width, width], [width] */
    clipc_tensor key_weight, key_bias;
    clipc_tensor value_weight, value_bias;
    clipc_tensor attention_out_weight, attention_out_bias;
    clipc_tensor norm2_weight, norm2_bias;
    clipc_tensor fc1_weight, fc1_bias; /* [mlp_width, width], [mlp_width] */
    clipc_tensor fc2_weight, fc2_bias; /* [width, mlp_width], [width] */
} clipc_layer_weights;

/* A convolution and the BatchNorm after it (Ioffe & Szegedy 2015, as at inference). */
typedef struct clipc_convolution_weights {
    clipc_tensor kernel;                   /* [outputs, inputs, kernel, kernel] */
    clipc_tensor norm_weight, norm_bias;   /* [outputs] */
    clipc_tensor norm_mean, norm_variance; /* [outputs] */
} clipc_convolution_weights;

typedef struct clipc_weights {
    struct {
        clipc_tensor patch_embedding;    /* [width, 3, patch, patch] */
        clipc_tensor patch_bias;         /* [width]; as others, all zeros when the config has no such part */
        clipc_tensor class_embedding;    /* [width] */
        clipc_tensor position_embedding; /* [image_tokens, width] */
        clipc_tensor norm_pre_weight, norm_pre_bias;
        clipc_layer_weights *layers; /* [image.layers] */
        clipc_tensor norm_post_weight, norm_post_bias;
        clipc_tensor probe;           /* [1, 1, width]: the query of attention pooling, before its projection */
        clipc_layer_weights pooling;  /* its attention, norm2 and MLP; norm1 is not used */
        clipc_tensor projection;      /* [D, width of the pooled row] */
        clipc_tensor projection_bias; /* [D]; of a ResNet, and where image_projection_bias says so */
        /* Of a ResNet, which has position_embedding, query, key and value of `pooling`, projection, and: */
        clipc_convolution_weights *convolutions; /* [clipc_resnet_count], in the order of model/resnet.h */
        /* Of CLIPC_IMAGE_POOL_QUERY: the probe is [D], norm1 of `pooling` is the query's own LayerNorm, query and
         * attention_out are [D, D], key and value [D, width], biases and norm2 [D]; there is no MLP. */
    } image;
    struct {
        clipc_tensor token_embedding;    /* [vocabulary, width]; rows are looked up in place */
        clipc_tensor class_embedding;    /* [width]: of text_class_token */
        clipc_tensor position_embedding; /* [max_positions, width] */
        clipc_layer_weights *layers;     /* [text.layers] */
        clipc_tensor norm_final_weight, norm_final_bias;
        clipc_tensor projection;      /* [D, width] */
        clipc_tensor projection_bias; /* [D] */
    } text;
    float logit_scale;   /* exp() of the stored value; 1 when a model of one tower has none */
    float logit_bias;    /* of scores by sigmoid; else 0 */
    void *transposed[2]; /* [text, image]: the data of projections that their file holds as [width, D]; else NULL */
    float *zeros;        /* the data of tensors that no file has (CLIPC_FORM_ZEROS); else NULL */
} clipc_weights;

/* A tower that the config does not have leaves its part zeroed. Makes the layer arrays that the config asks for,
 * zeroed; released by clipc_weights_free, also when this fails. */
clipc_status clipc_weights_allocate(const clipc_config *config, clipc_weights *weights, clipc_error *error);
void clipc_weights_free(clipc_weights *weights);

#endif
