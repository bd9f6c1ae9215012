/* clipc debug precision: which linear layers lose the accuracy. */
#include "commands.h"

#include "accuracy.h"
#include "json_line.h"
#include "message.h"
#include "operand.h"
#include "output.h"
#include "progress.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 12 /* layers in the table for people */

static const char *const synopsis[] = {
    "debug precision MODEL --precision P --accuracy-gate cos:X|top1:X",
    "      [--image IMAGE|DIR|@LIST]... [--text TEXT]... [-f FILE]",
    NULL,
};

static const char *const examples[] = {
    "Which layers must stay above int8 for a cosine of 0.9999",
    "clipc debug precision clip-vit-base-patch32 --precision int8 --accuracy-gate cos:0.9999 --image photos/",
    "Which must stay above fp8 on a GPU",
    "clipc debug precision clip-vit-base-patch32@cuda:fp8 --accuracy-gate cos:0.999 --image photos/",
    NULL,
};

static const tool_option options[] = {
    {"accuracy-gate", 0, OPTION_TEXT, "GATE",
     "what is to be reached: cos:0.9999, the least cosine to fp32 of any embedding, or top1:1.0, the share of images "
     "whose nearest text is that of fp32",
     offsetof(tool_settings, accuracy_gate), 0, 0, NULL},
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* One linear layer. */
typedef struct candidate {
    char name[64]; /* without "layers." */
    bool image;
    double error; /* mean 1 - cosine of its tower when it alone is kept */
    double gain;  /* what that is below the error with nothing kept */
    bool kept;
} candidate;

typedef struct search {
    tool_settings settings;
    accuracy_gate gate;
    accuracy_reference reference;
    clipc_model *model;
    const char *suffix; /* of every kept layer: "" or "=fp32" */
    candidate *items;   /* most gain first, once they are sorted */
    size_t count;
    tensor_set coarse; /* embeddings with nothing kept */
    size_t measured;   /* engines made */
} search;

static void take_name(candidate *item, const char *name)
{
    static const char part[] = "layers.";
    const char *found = strstr(name, part);
    if (found)
        snprintf(item->name, sizeof item->name, "%.*s%s", (int)(found - name), name, found + strlen(part));
    else
        snprintf(item->name, sizeof item->name, "%s", name);
    item->image = strncmp(name, "image", 5) == 0;
}

static bool on_cuda(const search *state)
{
    return strcmp(state->settings.backend, "cuda") == 0;
}

/* The projection of an int8 engine is bf16 as it is. On cuda all that is not in a layer is fp16, and an fp8 engine
 * keeps fc1 with fc2. */
static bool is_kept_already(const search *state, const char *name)
{
    const bool fp8 = strcmp(state->settings.precision, "fp8") == 0;
    if (on_cuda(state))
        return !strstr(name, ".layers.") || (fp8 && strstr(name, ".fc1"));
    return strstr(name, "projection") && strcmp(state->settings.precision, "int8") == 0 && !state->suffix[0];
}

static void list_candidates(search *state)
{
    const size_t count = clipc_model_linear_count(state->model);
    state->items = allocate(count ? count : 1, sizeof *state->items);
    for (size_t i = 0; i < count; i++) {
        clipc_linear_info info = {.size = sizeof info};
        clipc_error error = {0};
        if (clipc_model_get_linear(state->model, i, &info, &error) != CLIPC_OK)
            quit_failed(&error);
        if (is_kept_already(state, info.name))
            continue;
        candidate *item = &state->items[state->count++];
        take_name(item, info.name);
        const bool has_inputs = item->image ? state->reference.inputs.images : state->reference.inputs.texts;
        if (!has_inputs)
            state->count--;
    }
}

/* What is kept, as --keep-precise takes it, that the caller frees. */
static char *kept_list(const search *state)
{
    char *list = duplicate("");
    for (size_t i = 0; i < state->count; i++) {
        if (!state->items[i].kept)
            continue;
        char *longer = format_text("%s%s%s%s", list, list[0] ? "," : "", state->items[i].name, state->suffix);
        free(list);
        list = longer;
    }
    return list;
}

static accuracy measure_list(search *state, const char *list, bool image, bool text)
{
    tool_settings settings = state->settings;
    settings.keep_precise = list;
    state->measured++;
    return accuracy_measure(&state->reference, &settings, state->model, image, text, &state->coarse, NULL);
}

static accuracy measure_kept(search *state)
{
    char *list = kept_list(state);
    const accuracy result = measure_list(state, list, true, true);
    free(list);
    return result;
}

static void keep_first(search *state, size_t count)
{
    for (size_t i = 0; i < state->count; i++)
        state->items[i].kept = i < count;
}

static int by_gain(const void *a, const void *b)
{
    const candidate *left = a;
    const candidate *right = b;
    return left->gain > right->gain ? -1 : left->gain < right->gain ? 1 : strcmp(left->name, right->name);
}

/* Each layer kept alone: what it brings. */
static void rank_candidates(search *state, double error)
{
    progress_start("layers", NULL, state->count, false);
    for (size_t i = 0; i < state->count; i++) {
        candidate *item = &state->items[i];
        char *list = format_text("%s%s", item->name, state->suffix);
        item->error = measure_list(state, list, item->image, !item->image).mean_error;
        item->gain = error - item->error;
        free(list);
        progress_update(i + 1);
    }
    progress_finish();
    qsort(state->items, state->count, sizeof *state->items, by_gain);
}

/* The fewest of the most rewarding layers that pass, by bisection; then each of them that can be spared, the least
 * rewarding first, goes. */
static accuracy choose(search *state)
{
    size_t low = 0;
    size_t high = state->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        keep_first(state, middle);
        const accuracy measured = measure_kept(state);
        if (accuracy_passes(&measured, &state->gate))
            high = middle;
        else
            low = middle;
    }
    keep_first(state, high);
    for (size_t i = high; i-- > 0;) {
        state->items[i].kept = false;
        const accuracy measured = measure_kept(state);
        if (!accuracy_passes(&measured, &state->gate))
            state->items[i].kept = true;
    }
    return measure_kept(state);
}

static size_t count_kept(const search *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++)
        count += state->items[i].kept;
    return count;
}

/* ---- results ---- */

static void print_layers(const search *state)
{
    print_format("%-28s %18s %12s\n", "layer, kept alone", "mean 1 - cosine", "gain");
    for (size_t i = 0; i < state->count && i < SHOWN; i++)
        print_format("%-28s %18.3e %12.2e%s\n", state->items[i].name, state->items[i].error, state->items[i].gain,
                     state->items[i].kept ? "  keep" : "");
    if (state->count > SHOWN)
        print_format("… and %zu that bring less\n", state->count - SHOWN);
}

static void print_for_people(const search *state, const accuracy *before, const accuracy *after)
{
    char *list = kept_list(state);
    char *first = accuracy_text(before, &state->gate);
    char *last = accuracy_text(after, &state->gate);
    print_format("%s alone: %s\n", state->settings.precision, first);
    if (!list[0]) {
        print_text("it passes: nothing needs to be kept\n");
    } else {
        print_layers(state);
        print_format("with %zu of %zu layers kept: %s\n", count_kept(state), state->count, last);
        print_format("--keep-precise %s\n", list);
    }
    print_flush();
    message_detail("%zu engines were measured", state->measured);
    free(first);
    free(last);
    free(list);
}

static json_t *accuracy_to_json(const accuracy *measured)
{
    json_t *object = json_object();
    json_put(object, "least_cosine", json_real(measured->least_cosine));
    json_put(object, "mean_error", json_real(measured->mean_error));
    json_put(object, "top1", measured->top1 > -1 ? json_real(measured->top1) : json_null());
    return object;
}

static void print_json(const search *state, const accuracy *before, const accuracy *after)
{
    json_t *object = json_object();
    json_t *layers = json_array();
    char *list = kept_list(state);
    for (size_t i = 0; i < state->count; i++) {
        json_t *layer = json_object();
        json_put(layer, "name", json_string(state->items[i].name));
        json_put(layer, "mean_error", json_real(state->items[i].error));
        json_put(layer, "gain", json_real(state->items[i].gain));
        json_put(layer, "kept", json_boolean(state->items[i].kept));
        json_append(layers, layer);
    }
    json_put(object, "precision", json_string(state->settings.precision));
    json_put(object, "before", accuracy_to_json(before));
    json_put(object, "after", accuracy_to_json(after));
    json_put(object, "keep_precise", json_string(list));
    json_put(object, "layers", layers);
    json_put(object, "engines_measured", json_integer((json_int_t)state->measured));
    free(list);
    json_print(object);
}

/* Everything kept must pass, or no choice of layers does: first in the next precision, then, on the CPU, in fp32. */
static void choose_suffix(search *state)
{
    static const char *const suffixes[] = {"", "=fp32"};
    accuracy best = {0};
    for (size_t i = 0; i < (on_cuda(state) ? 1 : 2); i++) {
        state->suffix = suffixes[i];
        state->count = 0;
        free(state->items);
        list_candidates(state);
        keep_first(state, state->count);
        best = measure_kept(state);
        if (accuracy_passes(&best, &state->gate))
            return;
    }
    char *text = accuracy_text(&best, &state->gate);
    quit(STATUS_INPUT,
         "debug precision: no choice of layers passes: even with every layer in %s it is %s; ask less of the gate, or "
         "take a precision above %s for the whole engine",
         on_cuda(state) ? "fp16" : "fp32", text, state->settings.precision);
}

static void find_layers(search *state, accuracy *before, accuracy *after)
{
    accuracy_reference_create(&state->reference, &state->settings, state->model, &state->gate);
    *before = accuracy_measure(&state->reference, &state->settings, state->model, true, true, NULL, &state->coarse);
    *after = *before;
    state->suffix = "";
    if (accuracy_passes(before, &state->gate)) {
        list_candidates(state);
        keep_first(state, 0);
        return;
    }
    choose_suffix(state);
    /* The other tower's share of the error is that of state.coarse on both sides. */
    rank_candidates(state, before->mean_error);
    *after = choose(state);
}

static int run(const tool_settings *settings)
{
    search state = {0};
    tool_settings rest = *settings;
    if (settings->operands.count == 0 || strcmp(settings->operands.items[0], "precision") != 0)
        quit(STATUS_USAGE, "debug: what is to be found? (clipc debug precision MODEL)");
    rest.operands.items++;
    rest.operands.count--;
    state.settings = operand_or_model(&rest, "debug precision");
    state.gate = accuracy_gate_parse(settings->accuracy_gate);
    if (!accuracy_gate_asks(&state.gate))
        quit(STATUS_USAGE, "debug precision: how near to fp32 is near enough? (--accuracy-gate cos:0.9999)");
    if (settings->keep_precise)
        quit(STATUS_USAGE, "debug precision: --keep-precise is what it finds");
    if (strcmp(state.settings.backend, "auto") == 0)
        state.settings.backend = "cpu";
    const char *other = on_cuda(&state) ? "fp8" : "bf16";
    if (strcmp(state.settings.precision, "int8") != 0 && strcmp(state.settings.precision, other) != 0)
        quit(STATUS_USAGE, "debug precision: --precision int8 or %s, as PATH@%s:int8 says, too", other,
             state.settings.backend);
    model_inputs_check(settings, "debug precision");
    clipc_model_info info;
    accuracy before;
    accuracy after;
    state.model = session_open_model(&state.settings, &info);
    find_layers(&state, &before, &after);
    if (settings->json)
        print_json(&state, &before, &after);
    else
        print_for_people(&state, &before, &after);
    free(state.items);
    tensor_set_free(&state.coarse);
    accuracy_reference_free(&state.reference);
    clipc_model_destroy(&state.model);
    return STATUS_DONE;
}

const tool_command command_debug = {
    .name = "debug",
    .summary = "find the layers that lose the accuracy",
    .synopsis = synopsis,
    .description =
        "Keeps each linear layer alone in the next higher precision and measures how much nearer the embeddings come "
        "to those of fp32. Then it bisects for the fewest of the most rewarding layers that together pass the gate, "
        "takes out each that can be spared, and prints the rest as --keep-precise takes them. No layer of that set "
        "can "
        "be left out alone; that no smaller set exists is not claimed. Where the next precision is not enough, layers "
        "are kept in fp32; with --backend cuda all are kept in fp16, of an int8 or fp8 engine.\n\n"
        "Inputs should be real images and texts: what random ones lose says little.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL | SHARED_ENGINE | SHARED_WORK | SHARED_IMAGES | SHARED_INPUTS | SHARED_RANDOM,
    .run = run,
};
