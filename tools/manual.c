/* Manual pages in man(7) macros. */
#include "help.h"

#include "clipc/clipc.h"

#include <ctype.h>
#include <string.h>

/* Text with what roff would take for its own made harmless. */
static void put_roff(FILE *stream, const char *text)
{
    bool line_start = true;
    for (const char *at = text; *at; at++) {
        if (line_start && (*at == '.' || *at == '\''))
            fputs("\\&", stream);
        if (*at == '\\')
            fputs("\\e", stream);
        else if (*at == '-')
            fputs("\\-", stream);
        else if (*at == '\'')
            fputs("\\(aq", stream);
        else
            fputc(*at, stream);
        line_start = *at == '\n';
    }
}

static void put_paragraphs(FILE *stream, const char *text)
{
    for (const char *end = NULL; (end = strstr(text, "\n\n")); text = end + 2) {
        char paragraph[2048];
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)(end - text), text);
        put_roff(stream, paragraph);
        fputs("\n.PP\n", stream);
    }
    put_roff(stream, text);
    fputc('\n', stream);
}

static void put_options(FILE *stream, const tool_option *options)
{
    for (; options->name; options++) {
        fputs(".TP\n.B ", stream);
        if (options->letter)
            fprintf(stream, "\\-%c\\fR,\\fB ", options->letter);
        fputs("\\-\\-", stream);
        put_roff(stream, options->name);
        if (options->argument) {
            fputs("\\fR \\fI", stream);
            put_roff(stream, options->argument);
            fputs("\\fR", stream);
        }
        fputc('\n', stream);
        put_roff(stream, options->help);
        fputc('\n', stream);
    }
}

static void put_head(FILE *stream, const char *page, const char *summary)
{
    fputs(".TH ", stream);
    for (const char *at = page; *at; at++)
        fputc(toupper((unsigned char)*at), stream);
    fprintf(stream, " 1 \"\" \"clipc %s\" \"User Commands\"\n.SH NAME\n", clipc_version());
    put_roff(stream, page);
    fputs(" \\- ", stream);
    put_roff(stream, summary);
    fputs("\n.SH SYNOPSIS\n", stream);
}

static void put_status(FILE *stream)
{
    fputs(".SH EXIT STATUS\n.TP\n.B 0\nall done\n.TP\n.B 1\nsome named inputs failed, and the rest are done; or a "
          "gate or limit was missed (build, compare)\n"
          ".TP\n.B 2\nusage: unknown option or command, a number out of range\n"
          ".TP\n.B 3\nmodel, output or system error\n.TP\n.B 130\ninterrupted\n",
          stream);
}

static void put_environment(FILE *stream)
{
    fputs(".SH ENVIRONMENT\n.TP\n.B CLIPC_MODEL\nthe model when there is no \\fB\\-\\-model\\fR\n"
          ".TP\n.B CLIPC_CPU\nthe highest instruction set to use: c, avx2, avx512 …; neon …\n"
          ".TP\n.B NO_COLOR\nwhen set and not empty, no colours\n"
          ".TP\n.B TMPDIR\nwhere rows wait that go to a pipe\n",
          stream);
}

/* Those the command shares with others; without a command, all. */
static void put_common_options(FILE *stream, const tool_command *command)
{
    fputs(".SH COMMON OPTIONS\n", stream);
    const tool_option *options = NULL;
    for (size_t table = command ? 1 : 0; (options = options_table(command, table)); table++)
        put_options(stream, options);
}

void manual_print_command(FILE *stream, const tool_command *command)
{
    char page[64];
    snprintf(page, sizeof page, "clipc-%s", command->name);
    put_head(stream, page, command->summary);
    fputs(".nf\n", stream);
    for (size_t i = 0; command->synopsis[i]; i++) {
        fputs(command->synopsis[i][0] == ' ' ? "      " : "clipc ", stream);
        put_roff(stream, command->synopsis[i]);
        fputc('\n', stream);
    }
    fputs(".fi\n.SH DESCRIPTION\n", stream);
    put_paragraphs(stream, command->description);
    if (command->options[0].name) {
        fputs(".SH OPTIONS\n", stream);
        put_options(stream, command->options);
    }
    put_common_options(stream, command);
    fputs(".SH EXAMPLES\n", stream);
    for (size_t i = 0; command->examples[i]; i += 2) {
        fputs(i ? ".PP\n" : "", stream);
        put_roff(stream, command->examples[i]);
        fputs(":\n.PP\n.nf\n.RS\n", stream);
        put_roff(stream, command->examples[i + 1]);
        fputs("\n.RE\n.fi\n", stream);
    }
    put_status(stream);
    put_environment(stream);
    fputs(".SH SEE ALSO\n.BR clipc (1)\n", stream);
}

void manual_print_all(FILE *stream)
{
    put_head(stream, "clipc", "CLIP and SigLIP on images and text: similarities, zero-shot labels, embeddings");
    fputs(".B clipc\n.I COMMAND\n[\\fIOPTION\\fR | \\fIOPERAND\\fR]...\n.SH DESCRIPTION\n"
          "Runs CLIP and SigLIP (contrastive image\\-text models) on the processor or a GPU. Results go to standard "
          "output, everything "
          "else to standard error. Options and operands may be mixed; \\fB\\-\\-\\fR ends the options.\n"
          ".SH COMMANDS\n",
          stream);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++) {
        fprintf(stream, ".TP\n.BR clipc\\-%s (1)\n", command->name);
        put_roff(stream, command->summary);
        fputc('\n', stream);
    }
    put_common_options(stream, NULL);
    put_status(stream);
    put_environment(stream);
    fputs(".SH FILES\nWith no model named, the embedded demo model is used: it knows clip art, emoji and shapes, not "
          "photographs.\n",
          stream);
}
