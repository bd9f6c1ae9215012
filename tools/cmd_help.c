/* clipc help: the same text as --help, and what is installed for man and the shells. */
#include "commands.h"

#include "help.h"
#include "message.h"
#include "output.h"

#include <string.h>

static const char *const synopsis[] = {
    "help [COMMAND [WORD]]",
    "help --manual all|COMMAND",
    "help --completion bash|zsh|fish",
    NULL,
};

static const char *const examples[] = {
    "How to classify images",
    "clipc help classify",
    "The same of a command of two words",
    "clipc help debug precision",
    "Completion in this bash, when it is not installed",
    "source <(clipc help --completion bash)",
    NULL,
};

static const tool_option options[] = {
    {"manual", 0, OPTION_TEXT, "NAME", "print the manual page of a command, or of all, as roff source",
     offsetof(tool_settings, manual), 0, 0, NULL},
    {"completion", 0, OPTION_CHOICE, "SHELL", "print a completion script", offsetof(tool_settings, completion), 0, 0,
     "bash|zsh|fish"},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static const tool_command *find(const char *name)
{
    const tool_command *found = command_find(name);
    if (!found)
        quit(STATUS_USAGE, "help: unknown command '%s'", name);
    return found;
}

/* As in `debug precision`: the word that must come right after the command, in some line of its synopsis. */
static bool is_word_of(const tool_command *command, const char *word)
{
    const size_t name = strlen(command->name);
    const size_t length = strlen(word);
    for (size_t i = 0; command->synopsis[i]; i++) {
        const char *line = command->synopsis[i];
        if (strncmp(line, command->name, name) == 0 && line[name] == ' ' && strcspn(line + name + 1, " ") == length &&
            strncmp(line + name + 1, word, length) == 0)
            return true;
    }
    return false;
}

static const tool_command *find_operands(const string_list *operands)
{
    const tool_command *command = find(operands->items[0]);
    if (operands->count == 2 && !is_word_of(command, operands->items[1]))
        quit(STATUS_USAGE, "help: '%s' has no '%s'", command->name, operands->items[1]);
    return command;
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count > 2)
        quit(STATUS_USAGE, "help: one command at a time");
    if (settings->completion)
        completion_print(stdout, settings->completion);
    else if (settings->manual && strcmp(settings->manual, "all") == 0)
        manual_print_all(stdout);
    else if (settings->manual)
        manual_print_command(stdout, find(settings->manual));
    else if (settings->operands.count)
        help_print_command(stdout, find_operands(&settings->operands));
    else
        help_print_all(stdout);
    print_flush();
    return STATUS_DONE;
}

const tool_command command_help = {
    .name = "help",
    .summary = "explain a command",
    .synopsis = synopsis,
    .description = "Prints how a command is used, or all commands.",
    .examples = examples,
    .options = options,
    .run = run,
};
