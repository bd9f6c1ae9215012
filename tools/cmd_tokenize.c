/* clipc tokenize: the token ids of texts. */
#include "commands.h"

#include "conflicts.h"
#include "message.h"
#include "output.h"
#include "session.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

static const char *const synopsis[] = {
    "tokenize [--model DIR] TEXT... | -f FILE",
    NULL,
};

static const char *const examples[] = {
    "The ids of a text, with the start and the end token",
    "clipc tokenize 'a photo of a cat'",
    "A text a line from a pipe",
    "cut -f2 captions.tsv | clipc tokenize -f -",
    NULL,
};

static const tool_option options[] = {
    {"file", 'f', OPTION_TEXTS, "FILE", "a file with one text a line; - is standard input",
     offsetof(tool_settings, text_files), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

/* The longest id with its comma. */
#define ID_CHARACTERS 12

/* printf would take longer than the tokenizer. */
static char *put_id(char *out, int32_t id)
{
    char digits[ID_CHARACTERS];
    size_t count = 0;
    for (uint32_t rest = (uint32_t)id; rest || count == 0; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

static void print_ids(const int32_t *ids, size_t count, char *line)
{
    char *at = line;
    for (size_t i = 0; i < count; i++) {
        *at++ = i ? ',' : '[';
        at = put_id(at, ids[i]);
    }
    memcpy(at, "]\n", sizeof "]\n");
    print_text(line);
    print_flush();
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count == 0 && settings->text_files.count == 0)
        quit(STATUS_USAGE, "tokenize: no texts (TEXT or -f FILE)");
    conflicts_check(settings, NULL);
    text_source *source = text_source_open(&settings->operands, &settings->text_files);
    clipc_model_info info;
    clipc_model *model = session_open_model(settings, &info);
    int32_t *ids = allocate(info.context_length, sizeof *ids);
    char *line = allocate(info.context_length + 1, ID_CHARACTERS);
    size_t failed = 0;
    size_t number = 0;
    for (text_line next; text_source_next(source, &next);) {
        clipc_error error = {0};
        size_t count = 0;
        number++;
        if (clipc_model_tokenize(model, next.bytes, next.length, ids, &count, &error) == CLIPC_OK) {
            print_ids(ids, count, line);
            continue;
        }
        message_error("text %zu: %s", number, error.message);
        failed++;
    }
    text_source_close(&source);
    free(ids);
    free(line);
    clipc_model_destroy(&model);
    return failed ? STATUS_INPUT : STATUS_DONE;
}

const tool_command command_tokenize = {
    .name = "tokenize",
    .summary = "print the token ids of texts",
    .synopsis = synopsis,
    .description =
        "Prints one JSON array a text: start token, the text's ids, end token, without padding, truncated to "
        "the model's context length with the end token kept. A SigLIP's tokenizer puts its own tokens around a text "
        "and fills it up to the context with its pad token, since the network sees that, too. An empty text is valid. "
        "A text that is not UTF-8 is reported and has no line; the exit status is then 1.",
    .examples = examples,
    .options = options,
    .shared = SHARED_MODEL,
    .run = run,
};
