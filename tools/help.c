#include "help.h"

#include "escape.h"
#include "message.h"

#include <string.h>

#define COLUMNS        79
#define OPTION_COLUMN  26
#define COMMAND_COLUMN 13

/* Writes `text` broken at spaces to fit, each line after the first indented; an empty line in it stays one. */
static void print_wrapped(FILE *stream, const char *text, size_t indent, size_t column)
{
    for (const char *at = text; *at;) {
        const size_t word = strcspn(at, " \n");
        if (column > indent && column + 1 + word > COLUMNS) {
            fprintf(stream, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', stream);
            column++;
        }
        fprintf(stream, "%.*s", (int)word, at);
        column += word;
        at += word;
        if (strncmp(at, "\n\n", 2) == 0) {
            fprintf(stream, "\n\n%*s", (int)indent, "");
            column = indent;
            at += 2;
        } else if (*at) {
            at++;
        }
    }
    fputc('\n', stream);
}

static void print_option(FILE *stream, const tool_option *option)
{
    char left[64];
    const int used = option->letter ? snprintf(left, sizeof left, "  -%c, ", option->letter)
                                    : snprintf(left, sizeof left, "      ");
    snprintf(left + used, sizeof left - (size_t)used, "--%s%s%s", option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    const size_t width = display_width(left);
    if (width < OPTION_COLUMN)
        fprintf(stream, "%s%*s", left, (int)(OPTION_COLUMN - width), "");
    else
        fprintf(stream, "%s\n%*s", left, OPTION_COLUMN, "");
    print_wrapped(stream, option->help, OPTION_COLUMN, OPTION_COLUMN);
}

static void print_options(FILE *stream, const tool_command *command)
{
    const tool_option *option = NULL;
    for (size_t table = 0; (option = options_table(command, table)); table++) {
        if (table < 2 && option->name)
            fprintf(stream, "\n%s:\n", table ? "Common options" : "Options");
        for (; option->name; option++)
            print_option(stream, option);
    }
}

void help_print_command(FILE *stream, const tool_command *command)
{
    for (size_t i = 0; command->synopsis[i]; i++) {
        const bool continued = command->synopsis[i][0] == ' ';
        fprintf(stream, "%s%s\n",
                continued ? "             "
                : i       ? "       clipc "
                          : "Usage: clipc ",
                command->synopsis[i]);
    }
    fputc('\n', stream);
    print_wrapped(stream, command->description, 0, 0);
    print_options(stream, command);
    fprintf(stream, "\nExamples:\n");
    for (size_t i = 0; command->examples[i]; i += 2)
        fprintf(stream, "%s  # %s\n  %s\n", i ? "\n" : "", command->examples[i], command->examples[i + 1]);
}

void help_print_all(FILE *stream)
{
    fprintf(stream, "Usage: clipc COMMAND [OPTION | OPERAND]...\n\n"
                    "CLIP and SigLIP on images and text: similarities, zero-shot labels, embeddings.\n\nCommands:\n");
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++)
        fprintf(stream, "  %-*s%s\n", COMMAND_COLUMN, command->name, command->summary);
    fprintf(stream, "\nWithout --model DIR or $CLIPC_MODEL the small embedded demo model is used: it knows clip art,\n"
                    "emoji and shapes, not photographs.\n\n"
                    "Example:\n  clipc classify cat.png --labels cat,dog\n\n"
                    "Exit status: 0 all done, 1 some inputs failed or a gate or limit was missed (build, compare),\n"
                    "2 usage, 3 model, output or system error, 130 interrupted.\n\n"
                    "clipc COMMAND --help explains a command.\n");
}
