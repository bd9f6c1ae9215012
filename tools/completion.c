/* Shell completion. Values of options complete as words (choices), as files, or not at all. */
#include "help.h"

#include <string.h>

typedef enum value_kind { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_OTHER } value_kind;

static value_kind kind_of(const tool_option *option)
{
    if (option->kind == OPTION_FLAG)
        return VALUE_NONE;
    if (option->kind == OPTION_CHOICE)
        return VALUE_WORDS;
    const bool file = strcmp(option->argument, "FILE") == 0 || strcmp(option->argument, "DIR") == 0 ||
                      strncmp(option->argument, "OUT", 3) == 0;
    return file ? VALUE_FILE : VALUE_OTHER;
}

static void put_words(FILE *stream, const char *choices)
{
    for (; *choices; choices++)
        fputc(*choices == '|' ? ' ' : *choices, stream);
}

static void put_command_names(FILE *stream)
{
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++)
        fprintf(stream, "%s%s", i ? " " : "", command->name);
}

/* ---- bash ---- */

static void put_bash_values(FILE *stream, const tool_option *options)
{
    for (; options->name; options++) {
        const value_kind kind = kind_of(options);
        if (kind == VALUE_NONE)
            continue;
        fputs("        ", stream);
        if (options->letter)
            fprintf(stream, "-%c|", options->letter);
        fprintf(stream, "--%s) ", options->name);
        if (kind == VALUE_WORDS) {
            fputs("COMPREPLY=($(compgen -W \"", stream);
            put_words(stream, options->choices);
            fputs("\" -- \"$word\")); return ;;\n", stream);
        } else {
            fputs(kind == VALUE_FILE ? "compopt -o default; return ;;\n" : "return ;;\n", stream);
        }
    }
}

static void print_bash(FILE *stream)
{
    fputs("# bash completion of clipc\n_clipc()\n{\n    local word=${COMP_WORDS[COMP_CWORD]} "
          "before=${COMP_WORDS[COMP_CWORD-1]} options=\"",
          stream);
    fputs("\"\n    COMPREPLY=()\n    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W \"", stream);
    put_command_names(stream);
    fputs(" --help --version\" -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", stream);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++) {
        fprintf(stream, "    %s)\n        options+=\"", command->name);
        const tool_option *option = NULL;
        for (size_t table = 0; (option = options_table(command, table)); table++)
            for (; option->name; option++)
                fprintf(stream, " --%s", option->name);
        fputs("\"\n        case $before in\n", stream);
        for (size_t table = 0; (option = options_table(command, table)); table++)
            put_bash_values(stream, option);
        fputs("        esac ;;\n", stream);
    }
    fputs("    esac\n    if [[ ${COMP_WORDS[1]} == embed && COMP_CWORD -eq 2 ]]; then\n"
          "        COMPREPLY=($(compgen -W \"image text\" -- \"$word\"))\n"
          "    elif [[ ${COMP_WORDS[1]} == help ]]; then\n        COMPREPLY=($(compgen -W \"",
          stream);
    put_command_names(stream);
    fputs("\" -- \"$word\"))\n    elif [[ $word == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "    else\n        compopt -o default\n    fi\n}\ncomplete -F _clipc clipc\n",
          stream);
}

/* ---- zsh ---- */

/* Inside single quotes and brackets. */
static void put_zsh(FILE *stream, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stream);
        else if (strchr("[]:\\", *text))
            fprintf(stream, "\\%c", *text);
        else
            fputc(*text, stream);
    }
}

static void put_zsh_options(FILE *stream, const tool_option *options)
{
    for (; options->name; options++) {
        const value_kind kind = kind_of(options);
        fprintf(stream, " \\\n            '%s--%s%s[", options->kind == OPTION_TEXTS ? "*" : "", options->name,
                kind == VALUE_NONE ? "" : "=");
        put_zsh(stream, options->help);
        fputc(']', stream);
        if (kind != VALUE_NONE)
            fprintf(stream, ":%s:", options->argument);
        if (kind == VALUE_WORDS) {
            fputc('(', stream);
            put_words(stream, options->choices);
            fputc(')', stream);
        } else if (kind == VALUE_FILE) {
            fputs("_files", stream);
        }
        fputc('\'', stream);
    }
}

static void print_zsh(FILE *stream)
{
    fputs("#compdef clipc\n# zsh completion of clipc\n_clipc()\n{\n    local -a commands\n    commands=(\n", stream);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++) {
        fprintf(stream, "        '%s:", command->name);
        put_zsh(stream, command->summary);
        fputs("'\n", stream);
    }
    fputs("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n"
          "    case $words[2] in\n",
          stream);
    for (size_t i = 0; (command = command_at(i)); i++) {
        fprintf(stream, "    %s)\n        _arguments", command->name);
        const tool_option *options = NULL;
        for (size_t table = 0; (options = options_table(command, table)); table++)
            put_zsh_options(stream, options);
        fputs(" \\\n            '1: :' '*:input:_files' ;;\n", stream);
    }
    fputs("    esac\n}\n_clipc \"$@\"\n", stream);
}

/* ---- fish ---- */

static void put_fish_quoted(FILE *stream, const char *text)
{
    fputc('\'', stream);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', stream);
        fputc(*text, stream);
    }
    fputc('\'', stream);
}

static void put_fish_options(FILE *stream, const char *condition, const tool_option *options)
{
    for (; options->name; options++) {
        const value_kind kind = kind_of(options);
        fprintf(stream, "complete -c clipc%s -l %s", condition, options->name);
        if (options->letter)
            fprintf(stream, " -s %c", options->letter);
        if (kind == VALUE_WORDS) {
            fputs(" -x -a \"", stream);
            put_words(stream, options->choices);
            fputs("\"", stream);
        } else if (kind != VALUE_NONE) {
            fputs(kind == VALUE_FILE ? " -r -F" : " -x", stream);
        }
        fputs(" -d ", stream);
        put_fish_quoted(stream, options->help);
        fputc('\n', stream);
    }
}

static void print_fish(FILE *stream)
{
    fputs("# fish completion of clipc\n", stream);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_at(i)); i++) {
        fprintf(stream, "complete -c clipc -n __fish_use_subcommand -f -a %s -d ", command->name);
        put_fish_quoted(stream, command->summary);
        fputc('\n', stream);
    }
    fputs("complete -c clipc -n '__fish_seen_subcommand_from embed' -a 'image text'\n", stream);
    for (size_t i = 0; (command = command_at(i)); i++) {
        char condition[96];
        snprintf(condition, sizeof condition, " -n '__fish_seen_subcommand_from %s'", command->name);
        const tool_option *options = NULL;
        for (size_t table = 0; (options = options_table(command, table)); table++)
            put_fish_options(stream, condition, options);
    }
}

bool completion_print(FILE *stream, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(stream);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(stream);
    else if (strcmp(shell, "fish") == 0)
        print_fish(stream);
    else
        return false;
    return true;
}
