#include "accuracy.h"

#include "message.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const outputs[] = {"image_embeddings", "text_embeddings"};

/* ---- the gate ---- */

accuracy_gate accuracy_gate_parse(const char *text)
{
    accuracy_gate gate = {.cosine = -2, .top1 = -1};
    for (const char *at = text; at;) {
        const bool cosine = strncmp(at, "cos:", 4) == 0;
        const char *number = strchr(at, ':');
        char *end = NULL;
        const double value = number ? strtod(number + 1, &end) : 0;
        if ((!cosine && strncmp(at, "top1:", 5) != 0) || !number || end == number + 1 || (*end && *end != ','))
            quit(STATUS_USAGE, "--accuracy-gate: '%s' is not cos:NUMBER or top1:NUMBER", text);
        double *asked = cosine ? &gate.cosine : &gate.top1;
        if (*asked >= 0)
            quit(STATUS_USAGE, "--accuracy-gate: '%s' asks for %s twice", text, cosine ? "cos" : "top1");
        if (!(value >= 0 && value <= 1))
            quit(STATUS_USAGE, "--accuracy-gate: %g is out of range (0 to 1)", value);
        *asked = value;
        at = *end ? end + 1 : NULL;
    }
    return gate;
}

bool accuracy_gate_asks(const accuracy_gate *gate)
{
    return gate->cosine > -2 || gate->top1 > -1;
}

bool accuracy_passes(const accuracy *measured, const accuracy_gate *gate)
{
    return measured->least_cosine >= gate->cosine && measured->top1 >= gate->top1;
}

static char *shortfall(double measured, double asked)
{
    return measured >= asked ? duplicate("") : format_text(", too little by %.3g", asked - measured);
}

char *accuracy_text(const accuracy *measured, const accuracy_gate *gate)
{
    char *text = format_text("least cosine %.7f (%s, row %zu)", measured->least_cosine, measured->least_tensor,
                             measured->least_row);
    if (gate->cosine > -2) {
        char *by = shortfall(measured->least_cosine, gate->cosine);
        char *longer = format_text("%s, asked %.9g%s", text, gate->cosine, by);
        free(text);
        free(by);
        text = longer;
    }
    if (measured->top1 > -1) {
        char *by = gate->top1 > -1 ? shortfall(measured->top1, gate->top1) : duplicate("");
        char *longer = gate->top1 > -1
                           ? format_text("%s; top-1 as fp32 %.4f, asked %.9g%s", text, measured->top1, gate->top1, by)
                           : format_text("%s; top-1 as fp32 %.4f", text, measured->top1);
        free(text);
        free(by);
        text = longer;
    }
    return text;
}

/* ---- measuring ---- */

static void encode(const accuracy_reference *reference, const tool_settings *settings, const clipc_model *model,
                   bool image, bool text, tensor_set *out)
{
    clipc_engine *engine = session_create_engine(settings, model, image, text, session_batch(settings));
    model_inputs wanted = reference->inputs;
    wanted.images = image ? wanted.images : 0;
    wanted.texts = text ? wanted.texts : 0;
    model_inputs_encode(&wanted, settings, engine, model, false, out);
    clipc_engine_destroy(&engine);
}

void accuracy_reference_create(accuracy_reference *reference, const tool_settings *settings, const clipc_model *model,
                               const accuracy_gate *gate)
{
    tool_settings exact = *settings;
    exact.precision = "fp32";
    exact.keep_precise = NULL;
    if (strcmp(exact.backend, "cuda") == 0) { /* which has no fp32 */
        exact.backend = "cpu";
        exact.devices = NULL;
        exact.streams = 0;
    }
    *reference = (accuracy_reference){0};
    model_inputs_create(&reference->inputs, settings, model);
    const model_inputs *inputs = &reference->inputs;
    if (!inputs->images && !inputs->texts)
        quit(STATUS_USAGE, "there is no input to measure accuracy on");
    if (gate->top1 > -1 && (!inputs->images || inputs->texts < 2))
        quit(STATUS_USAGE, "--accuracy-gate top1 needs images and at least two texts (--image, --text)");
    encode(reference, &exact, model, inputs->images != 0, inputs->texts != 0, &reference->exact);
}

void accuracy_reference_free(accuracy_reference *reference)
{
    model_inputs_free(&reference->inputs);
    tensor_set_free(&reference->exact);
}

/* The nearest text of an image; rows have unit length. */
static size_t nearest_text(const named_tensor *images, const named_tensor *texts, size_t image)
{
    const size_t width = tensor_width(images);
    size_t best = 0;
    float most = 0;
    for (size_t i = 0; i < texts->shape[0]; i++) {
        float similarity = 0;
        clipc_similarities(images->values + image * width, 1, texts->values + i * width, 1, width, &similarity);
        if (i == 0 || similarity > most) {
            most = similarity;
            best = i;
        }
    }
    return best;
}

static double share_of_same_text(const tensor_set *exact, const tensor_set *got)
{
    const named_tensor *images = tensor_set_find(exact, outputs[0]);
    const named_tensor *texts = tensor_set_find(exact, outputs[1]);
    size_t same = 0;
    if (!images || !texts || texts->shape[0] < 2 || images->shape[0] == 0)
        return -1;
    for (size_t i = 0; i < images->shape[0]; i++)
        same += nearest_text(images, texts, i) ==
                nearest_text(tensor_set_find(got, outputs[0]), tensor_set_find(got, outputs[1]), i);
    return (double)same / (double)images->shape[0];
}

static double row_cosine(const float *a, const float *b, size_t width)
{
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (size_t i = 0; i < width; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    const double cosine = ab / sqrt(aa * bb);
    return isfinite(cosine) ? cosine : -1;
}

static accuracy compare(const tensor_set *exact, const tensor_set *got)
{
    accuracy result = {.least_cosine = 1, .least_tensor = outputs[0], .top1 = share_of_same_text(exact, got)};
    size_t rows = 0;
    for (size_t output = 0; output < 2; output++) {
        const named_tensor *a = tensor_set_find(exact, outputs[output]);
        const named_tensor *b = tensor_set_find(got, outputs[output]);
        for (size_t row = 0; a && b && row < a->shape[0]; row++) {
            const size_t width = tensor_width(a);
            const double cosine = row_cosine(a->values + row * width, b->values + row * width, width);
            result.mean_error += 1 - cosine;
            if (rows++ && cosine >= result.least_cosine)
                continue;
            result.least_cosine = cosine;
            result.least_tensor = outputs[output];
            result.least_row = row;
        }
    }
    result.mean_error /= rows ? (double)rows : 1;
    return result;
}

static void copy_tensor(tensor_set *to, const tensor_set *from, const char *name)
{
    const named_tensor *tensor = tensor_set_find(from, name);
    if (!tensor)
        return;
    float *values = allocate(tensor->count ? tensor->count : 1, sizeof *values);
    memcpy(values, tensor->values, tensor->count * sizeof *values);
    tensor_set_add(to, name, tensor->shape, tensor->rank, values);
}

accuracy accuracy_measure(const accuracy_reference *reference, const tool_settings *settings, const clipc_model *model,
                          bool image, bool text, const tensor_set *kept, tensor_set *keep)
{
    tensor_set got = {0};
    image = image && reference->inputs.images;
    text = text && reference->inputs.texts;
    if (image || text)
        encode(reference, settings, model, image, text, &got);
    if (kept && !image)
        copy_tensor(&got, kept, outputs[0]);
    if (kept && !text)
        copy_tensor(&got, kept, outputs[1]);
    const accuracy result = compare(&reference->exact, &got);
    if (keep)
        *keep = got;
    else
        tensor_set_free(&got);
    return result;
}
