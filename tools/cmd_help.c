/* clipc help: the same text as --help, and what is installed for man and the shells. */
#include "commands.h"

#include "help.h"
#include "message.h"
#include "output.h"

#include <string.h>

static const char *const synopsis[] = {
    "help [COMMAND]",
    "help --manual all|COMMAND",
    "help --completion bash|zsh|fish",
    NULL,
};

static const char *const examples[] = {
    "How to classify images",
    "clipc help classify",
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

static int run(const tool_settings *settings)
{
    if (settings->operands.count > 1)
        quit(STATUS_USAGE, "help: one command at a time");
    if (settings->completion)
        completion_print(stdout, settings->completion);
    else if (settings->manual && strcmp(settings->manual, "all") == 0)
        manual_print_all(stdout);
    else if (settings->manual)
        manual_print_command(stdout, find(settings->manual));
    else if (settings->operands.count)
        help_print_command(stdout, find(settings->operands.items[0]));
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
