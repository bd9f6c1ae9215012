/* Help, manual pages and completions, all made from the tables of options.h. */
#ifndef CLIPC_TOOLS_HELP_H
#define CLIPC_TOOLS_HELP_H

#include "options.h"

#include <stdio.h>

/* Plain text: all commands, or one. */
void help_print_all(FILE *stream);
void help_print_command(FILE *stream, const tool_command *command);

/* roff source of clipc.1, or of clipc-<command>.1. */
void manual_print_all(FILE *stream);
void manual_print_command(FILE *stream, const tool_command *command);

/* Completion for "bash", "zsh" or "fish"; false for another shell. */
bool completion_print(FILE *stream, const char *shell);

#endif
