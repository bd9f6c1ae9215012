/* The commands, each in its file cmd_<name>.c. */
#ifndef CLIPC_TOOLS_COMMANDS_H
#define CLIPC_TOOLS_COMMANDS_H

#include "options.h"

extern const tool_command command_bench;
extern const tool_command command_build;
extern const tool_command command_classify;
extern const tool_command command_compare;
extern const tool_command command_convert;
extern const tool_command command_debug;
extern const tool_command command_devices;
extern const tool_command command_export_onnx;
extern const tool_command command_embed;
extern const tool_command command_help;
extern const tool_command command_inspect;
extern const tool_command command_onnx;
extern const tool_command command_preprocess;
extern const tool_command command_profile;
extern const tool_command command_similarity;
extern const tool_command command_tokenize;

#endif
