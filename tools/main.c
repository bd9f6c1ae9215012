/* clipc: the command-line program. It uses nothing of the library but clipc.h. */
#include "commands.h"
#include "help.h"
#include "interrupt.h"
#include "message.h"
#include "output.h"

#include "clipc/clipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const tool_command *const commands[] = {
    &command_classify,   &command_embed,   &command_similarity, &command_tokenize,
    &command_preprocess, &command_inspect, &command_convert,    &command_export_onnx,
    &command_onnx,       &command_build,   &command_compare,    &command_debug,
    &command_bench,      &command_profile, &command_devices,    &command_help,
};

const tool_command *command_at(size_t index)
{
    return index < sizeof commands / sizeof *commands ? commands[index] : NULL;
}

const tool_command *command_find(const char *name)
{
    for (size_t i = 0; command_at(i); i++)
        if (strcmp(command_at(i)->name, name) == 0)
            return command_at(i);
    return NULL;
}

static const char *command_name_at(const void *unused, size_t index)
{
    (void)unused;
    return command_at(index) ? command_at(index)->name : NULL;
}

/* A standard stream that is closed would give its number to the next file opened: results would land there. The other
 * way round, so that writing to it, or reading from it, still fails. */
static void occupy_standard_streams(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) < 0)
            open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static int print_version(void)
{
    print_format("clipc %s\n", clipc_version());
    print_flush();
    return STATUS_DONE;
}

static int run_command(const tool_command *command, int count, char **words)
{
    static tool_settings settings; /* lives to the end: threads may still read it then */
    options_parse(command, count, words, &settings);
    message_set_level(settings.quiet ? MESSAGE_QUIET : settings.verbose ? MESSAGE_VERBOSE : MESSAGE_NORMAL);
    if (settings.version)
        return print_version();
    if (!settings.help)
        return command->run(&settings);
    help_print_command(stdout, command);
    print_flush();
    return STATUS_DONE;
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    interrupt_install();
    if (argc < 2) {
        help_print_all(stderr);
        return STATUS_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return print_version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    const tool_command *command = command_find(name);
    if (!command) {
        const char *near = nearest_name(name, command_name_at, NULL);
        quit(STATUS_USAGE, "unknown %s '%s'%s%s%s", name[0] == '-' ? "option" : "command", name,
             near ? " (did you mean " : " (see clipc --help)", near ? near : "", near ? "?)" : "");
    }
    const int status = run_command(command, argc - 2, argv + 2);
    if (fclose(stdout) != 0)
        quit(STATUS_SYSTEM, "standard output: cannot close: %s", strerror(errno));
    return status;
}
