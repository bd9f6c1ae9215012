#include "options.h"

#include "message.h"

#include "clipc/clipc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TOKENS  "16"
#define DEFAULT_WARM_UP 200

static const tool_option model_options[] = {
    {"model", 'm', OPTION_TEXT, "DIR",
     "the model's directory, weight file, ONNX graph or engine file; demo is the embedded one (default: "
     "$CLIPC_MODEL, then demo)",
     offsetof(tool_settings, model), 0, 0, NULL},
    {"visual", 0, OPTION_TEXT, "FILE", "the ONNX graph of the image tower, in place of --model",
     offsetof(tool_settings, visual_graph), 0, 0, NULL},
    {"textual", 0, OPTION_TEXT, "FILE", "the ONNX graph of the text tower, in place of --model",
     offsetof(tool_settings, textual_graph), 0, 0, NULL},
    {"activation", 0, OPTION_CHOICE, "NAME",
     "what a state dict without a config computes: quick_gelu, gelu or gelu_tanh", offsetof(tool_settings, activation),
     0, 0, "quick_gelu|gelu|gelu_tanh"},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option engine_options[] = {
    {"backend", 0, OPTION_CHOICE, "NAME",
     "what computes: auto (cuda where there is a GPU, else cpu), cuda, cpu, ref (plain C, slow), or tensorrt",
     offsetof(tool_settings, backend), 0, 0, "auto|cuda|cpu|ref|tensorrt"},
    {"tensorrt-cache", 0, OPTION_TEXT, "DIR", "backend tensorrt: keep what it builds in this folder",
     offsetof(tool_settings, tensorrt_cache), 0, 0, NULL},
    {"precision", 0, OPTION_CHOICE, "NAME",
     "arithmetic of the network: auto (fp16 on a GPU; bf16 where the CPU has it, else fp32), fp32, fp16, bf16, fp8 or "
     "int8",
     offsetof(tool_settings, precision), 0, 0, "auto|fp32|fp16|bf16|fp8|int8"},
    {"devices", 0, OPTION_TEXT, "N,…|all", "the GPUs that share the work (default: 0; see clipc devices)",
     offsetof(tool_settings, devices), 0, 0, NULL},
    {"streams", 0, OPTION_NUMBER, "N", "passes in flight at once on each GPU (default: 2)",
     offsetof(tool_settings, streams), 1, 16, NULL},
    {"keep-precise", 0, OPTION_TEXT, "SET",
     "linear layers to compute more precisely than the rest, as image.3.fc2,text.*.fc1=fp32, on a GPU in fp16 (clipc "
     "debug precision finds them)",
     offsetof(tool_settings, keep_precise), 0, 0, NULL},
    {"batch-invariant", 0, OPTION_FLAG, NULL, "on a GPU: the same bits whatever the size of the batch",
     offsetof(tool_settings, batch_invariant), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option work_options[] = {
    {"threads", 0, OPTION_NUMBER, "N", "threads (default: as many as the process may use)",
     offsetof(tool_settings, threads), 1, 1024, NULL},
    {"batch", 0, OPTION_NUMBER, "N", "items encoded at once (default: 32; bench: 1)", offsetof(tool_settings, batch),
     1, 4096, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option image_options[] = {
    {"max-pixels", 0, OPTION_NUMBER, "N", "refuse images with more pixels (default: 178956970)",
     offsetof(tool_settings, max_pixels), 1, UINT64_C(1) << 40, NULL},
    {"alpha", 0, OPTION_CHOICE, "HOW", "transparency: composited on white (default), or drop it",
     offsetof(tool_settings, alpha), 0, 0, "white|drop"},
    {"exif", 0, OPTION_FLAG, NULL, "turn images upright as their EXIF orientation says", offsetof(tool_settings, exif),
     0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option input_options[] = {
    {"image", 'i', OPTION_TEXTS, "FILE", "images to work on: a file, a directory, @LIST; may be repeated",
     offsetof(tool_settings, images), 0, 0, NULL},
    {"text", 't', OPTION_TEXTS, "TEXT", "a text to work on; may be repeated", offsetof(tool_settings, texts), 0, 0,
     NULL},
    {"file", 'f', OPTION_TEXTS, "FILE", "a file with one text a line; - is standard input",
     offsetof(tool_settings, text_files), 0, 0, NULL},
    {"load-inputs", 0, OPTION_TEXT, "FILE", "inputs that clipc compare --save-inputs wrote",
     offsetof(tool_settings, load_inputs), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option random_options[] = {
    {"count", 0, OPTION_NUMBER, "N", "random images, and as many texts, when none are named (default: 4)",
     offsetof(tool_settings, count), 1, 4096, NULL},
    {"seed", 0, OPTION_NUMBER, "N", "of the random ones (default: 1)", offsetof(tool_settings, seed), 1, UINT64_MAX,
     NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_option general_options[] = {
    {"quiet", 'q', OPTION_FLAG, NULL, "print errors only", offsetof(tool_settings, quiet), 0, 0, NULL},
    {"verbose", 'v', OPTION_FLAG, NULL, "print what is used and how long it took", offsetof(tool_settings, verbose), 0,
     0, NULL},
    {"version", 'V', OPTION_FLAG, NULL, "print the version and exit", offsetof(tool_settings, version), 0, 0, NULL},
    {"help", 'h', OPTION_FLAG, NULL, "print this help and exit", offsetof(tool_settings, help), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* By the bits of tool_command.shared; the last is every command's. */
static const tool_option *const shared_tables[] = {model_options, engine_options, work_options,   image_options,
                                                   input_options, random_options, general_options};
#define SHARED_TABLES (sizeof shared_tables / sizeof *shared_tables)

const tool_option *options_table(const tool_command *command, size_t index)
{
    if (command && index-- == 0)
        return command->options;
    const unsigned shared = (command ? command->shared : ~0u) | 1u << (SHARED_TABLES - 1);
    for (size_t i = 0; i < SHARED_TABLES; i++)
        if ((shared >> i & 1) && index-- == 0)
            return shared_tables[i];
    return NULL;
}

void string_list_add(string_list *list, const char *item)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 16;
        list->items = reallocate(list->items, list->capacity, sizeof *list->items);
    }
    list->items[list->count++] = item;
}

/* ---- nearest name ---- */

#define LONGEST_NAME ((size_t)32)

/* Levenshtein distance with swapped neighbours counted once; names longer than LONGEST_NAME are never near. */
static size_t edit_distance(const char *a, const char *b)
{
    const size_t rows = strlen(a);
    const size_t columns = strlen(b);
    if (rows > LONGEST_NAME || columns > LONGEST_NAME)
        return SIZE_MAX;
    size_t cost[LONGEST_NAME + 1][LONGEST_NAME + 1];
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            size_t best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (cost[i - 1][j] + 1 < best)
                best = cost[i - 1][j] + 1;
            if (cost[i][j - 1] + 1 < best)
                best = cost[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && cost[i - 2][j - 2] + 1 < best)
                best = cost[i - 2][j - 2] + 1;
            cost[i][j] = best;
        }
    }
    return cost[rows][columns];
}

const char *nearest_name(const char *word, const char *(*next)(const void *context, size_t index), const void *context)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) < 4 ? 2 : 3; /* exclusive */
    for (size_t i = 0; next(context, i); i++) {
        const size_t distance = edit_distance(word, next(context, i));
        if (distance < best_distance) {
            best_distance = distance;
            best = next(context, i);
        }
    }
    return best;
}

/* ---- parsing ---- */

/* Of all the command's tables, one after the other. */
static const tool_option *option_at(const tool_command *command, size_t index)
{
    const tool_option *option = NULL;
    for (size_t table = 0; (option = options_table(command, table)); table++)
        for (; option->name; option++)
            if (index-- == 0)
                return option;
    return NULL;
}

static const char *option_name_at(const void *context, size_t index)
{
    const tool_option *found = option_at(context, index);
    return found ? found->name : NULL;
}

static const tool_option *find_long(const tool_command *command, const char *name, size_t length)
{
    const tool_option *found = NULL;
    for (size_t i = 0; (found = option_at(command, i)); i++)
        if (strlen(found->name) == length && memcmp(found->name, name, length) == 0)
            return found;
    char *word = strndup(name, length);
    const char *near = word ? nearest_name(word, option_name_at, command) : NULL;
    quit(STATUS_USAGE, "%s: unknown option --%.*s%s%s%s", command->name, (int)length, name,
         near ? " (did you mean --" : "", near ? near : "", near ? "?)" : "");
}

static const tool_option *find_letter(const tool_command *command, char letter)
{
    const tool_option *found = NULL;
    for (size_t i = 0; (found = option_at(command, i)); i++)
        if (found->letter == letter)
            return found;
    quit(STATUS_USAGE, "%s: unknown option -%c", command->name, letter);
}

static uint64_t parse_number(const tool_option *option, const char *value)
{
    errno = 0;
    char *end = NULL;
    const unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end)
        quit(STATUS_USAGE, "--%s: '%s' is not a whole number", option->name, value);
    if (errno == ERANGE || number < option->minimum || number > option->maximum)
        quit(STATUS_USAGE, "--%s: %s is out of range (%llu to %llu)", option->name, value,
             (unsigned long long)option->minimum, (unsigned long long)option->maximum);
    return number;
}

static bool is_choice(const char *choices, const char *value)
{
    const size_t length = strlen(value);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (length && strncmp(at, value, length) == 0 && (at[length] == '|' || !at[length]))
            return true;
    return false;
}

static void check_choice(const tool_option *option, const char *value)
{
    if (is_choice(option->choices, value))
        return;
    quit(STATUS_USAGE, "--%s: unknown value '%s' (one of %s)", option->name, value, option->choices);
}

static void store(const tool_option *option, const char *value, tool_settings *out)
{
    void *place = (char *)out + option->offset;
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)place = true; break;
    case OPTION_CHOICE: check_choice(option, value); /* fall through */
    case OPTION_TEXT: *(const char **)place = value; break;
    case OPTION_TEXTS: string_list_add(place, value); break;
    case OPTION_NUMBER: *(uint64_t *)place = parse_number(option, value); break;
    }
}

/* "--name", "--name=value" or "--name value". Returns how many words it took. */
static int take_long(const tool_command *command, int count, char **words, tool_settings *out)
{
    const char *name = words[0] + 2;
    const char *equals = strchr(name, '=');
    const tool_option *found = find_long(command, name, equals ? (size_t)(equals - name) : strlen(name));
    if (found->kind == OPTION_FLAG) {
        if (equals)
            quit(STATUS_USAGE, "--%s takes no value", found->name);
        store(found, NULL, out);
        return 1;
    }
    if (equals) {
        store(found, equals + 1, out);
        return 1;
    }
    if (count < 2)
        quit(STATUS_USAGE, "--%s needs a value (%s)", found->name, found->argument);
    store(found, words[1], out);
    return 2;
}

/* "-q", "-qv", "-oOUT" or "-o OUT". */
static int take_letters(const tool_command *command, int count, char **words, tool_settings *out)
{
    for (const char *at = words[0] + 1; *at; at++) {
        const tool_option *found = find_letter(command, *at);
        if (found->kind == OPTION_FLAG) {
            store(found, NULL, out);
            continue;
        }
        if (at[1]) {
            store(found, at + 1, out);
            return 1;
        }
        if (count < 2)
            quit(STATUS_USAGE, "-%c needs a value (%s)", found->letter, found->argument);
        store(found, words[1], out);
        return 2;
    }
    return 1;
}

void options_parse(const tool_command *command, int count, char **words, tool_settings *out)
{
    clipc_image_options images;
    clipc_image_options_init(&images);
    *out = (tool_settings){.backend = "auto",
                           .precision = "auto",
                           .max_pixels = images.max_pixels,
                           .alpha = "white",
                           .tower = "image",
                           .tokens = DEFAULT_TOKENS,
                           .bench.warm_up = DEFAULT_WARM_UP};
    bool options_ended = false;
    for (int i = 0; i < count;) {
        char *word = words[i];
        if (options_ended || word[0] != '-' || !word[1]) {
            string_list_add(&out->operands, word);
            i++;
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
            i++;
        } else if (word[1] == '-') {
            i += take_long(command, count - i, words + i, out);
        } else {
            i += take_letters(command, count - i, words + i, out);
        }
    }
}
