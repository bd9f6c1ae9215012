/* The command line as tables: one parser, and the help, the manual pages and the completions, read the same ones. */
#ifndef CLIPC_TOOLS_OPTIONS_H
#define CLIPC_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What export-onnx is told for both towers, or for one. */
typedef struct onnx_settings {
    uint64_t opset;
    const char *dtype;
    const char *input_name;
    const char *output_name;
    const char *dynamic_axes;
    uint64_t batch;
    bool no_fold;
    const char *quantize;
    const char *token_type;
    const char *layer_norm;
    bool normalize;
    bool external_data;
} onnx_settings;

/* What bench is told. */
typedef struct bench_settings {
    uint64_t warm_up;     /* milliseconds */
    const char *duration; /* seconds; NULL: not said */
    uint64_t callers;     /* 0: one */
    uint64_t idle_time;   /* milliseconds */
    const char *percentiles;
    bool no_graph;
    bool no_transfers;
    bool no_roofline;
    const char *export_times;
    const char *export_profile;
    const char *export_layers;
    const char *export_output;
} bench_settings;

typedef struct string_list {
    const char **items;
    size_t count;
    size_t capacity;
} string_list;

void string_list_add(string_list *list, const char *item);

/* Every option of every command; those a command does not have keep their zero. */
typedef struct tool_settings {
    string_list operands;
    /* common */
    const char *model;
    const char *visual_graph; /* in place of a model */
    const char *textual_graph;
    const char *activation;
    const char *backend;
    const char *precision;
    uint64_t threads;    /* 0: as many as the process may use */
    uint64_t batch;      /* 0: the command's default */
    const char *devices; /* NULL: the first */
    uint64_t streams;    /* 0: the library's default */
    bool batch_invariant;
    const char *tensorrt_cache; /* NULL: none */
    const char *keep_precise;   /* NULL: nothing */
    uint64_t max_pixels;
    const char *alpha;
    bool exif;
    bool quiet;
    bool verbose;
    bool help;
    bool version;
    /* classify, similarity, embed, … */
    string_list labels;
    const char *labels_file;
    string_list templates;
    uint64_t top; /* 0: all */
    bool json;
    const char *html;
    string_list texts;
    string_list text_files;
    const char *output;
    bool no_normalize;
    const char *image_shapes; /* batch sizes, separated by commas */
    const char *text_shapes;
    const char *workspace; /* build: bytes, or with K, M, G; NULL: not said */
    /* bench */
    const char *architecture;
    const char *tower;
    const char *tokens;  /* one length or several, separated by commas */
    uint64_t iterations; /* 0: not said */
    bool explain;
    bench_settings bench;
    /* profile */
    const char *towers; /* NULL: both */
    const char *chrome_trace;
    /* inspect */
    bool verify;
    bool layers; /* of profile, too */
    bool tactics;
    /* compare, and what else runs inputs through several engines */
    string_list images;
    const char *load_inputs;
    const char *save_inputs;
    const char *save_outputs;
    uint64_t count; /* of random inputs; 0: the default, as of the seed */
    uint64_t seed;
    bool mark_all;
    const char *absolute_tolerance;
    const char *relative_tolerance;
    const char *least_cosine;
    const char *error_statistic;
    const char *error_quantile;
    bool fail_fast;
    const char *accuracy_gate;
    const char *tune; /* build: "off", "fast" or "full"; NULL: off */
    const char *timing_cache;
    bool stats;
    /* export-onnx */
    const char *out_directory;
    bool visual_only;
    bool textual_only;
    onnx_settings both_towers;
    onnx_settings visual;
    onnx_settings textual;
    /* help */
    const char *manual;
    const char *completion;
} tool_settings;

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char *; the last one counts */
    OPTION_TEXTS,  /* string_list; may be repeated */
    OPTION_NUMBER, /* uint64_t from minimum to maximum */
    OPTION_CHOICE  /* const char *, one of `choices` */
} option_kind;

typedef struct tool_option {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* or '\0' */
    option_kind kind;
    const char *argument; /* what help calls the value; "FILE", "DIR" and "OUT…" complete as paths */
    const char *help;
    size_t offset; /* of the value in settings */
    uint64_t minimum;
    uint64_t maximum;
    const char *choices; /* "a|b|c" */
} tool_option;

/* Options that several commands take. */
enum {
    SHARED_MODEL = 1,  /* --model */
    SHARED_ENGINE = 2, /* --backend, --precision, --devices, --streams, --batch-invariant */
    SHARED_WORK = 4,   /* --threads, --batch */
    SHARED_IMAGES = 8, /* --max-pixels, --alpha, --exif */
    SHARED_ALL = 15,
    SHARED_INPUTS = 16, /* --image, --text, --file, --load-inputs: see model_inputs.h */
    SHARED_RANDOM = 32  /* --count, --seed */
};

typedef struct tool_command {
    const char *name;
    const char *summary;         /* one line, no full stop */
    const char *const *synopsis; /* lines without "clipc"; NULL ends */
    const char *description;     /* paragraphs separated by an empty line */
    const char *const *examples; /* an explanation and a command line in turn; NULL ends */
    const tool_option *options;
    unsigned shared;                           /* what else it takes: SHARED_… */
    int (*run)(const tool_settings *settings); /* returns the exit status */
} tool_command;

/* All commands, in the order help shows them; NULL past the last. */
const tool_command *command_at(size_t index);
const tool_command *command_find(const char *name);
/* The command's tables of options: its own, then those it shares, --help and the like last; NULL past the last.
 * Without a command, all that are shared. */
const tool_option *options_table(const tool_command *command, size_t index);

/* Parses the words after the command's name; quits with STATUS_USAGE when they are wrong. */
void options_parse(const tool_command *command, int count, char **words, tool_settings *out);

/* The nearest of the names that next() yields, when it is near enough to be a slip of the finger; else NULL. */
const char *nearest_name(const char *word, const char *(*next)(const void *context, size_t index),
                         const void *context);

#endif
