/* clipc build's --image-shapes, --text-shapes and --workspace: for which batches an engine is made. */
#ifndef CLIPC_TOOLS_BUILD_SHAPES_H
#define CLIPC_TOOLS_BUILD_SHAPES_H

#include "options.h"

#include "clipc/clipc.h"

/* Quits when the lists are not min,opt,max, or when nothing would heed them. What is measured is measured with batches
 * of the larger of the two opt: that becomes settings->batch. `measures`: whether anything is. */
void build_shapes_settle(tool_settings *settings, bool measures);
/* Quits with STATUS_INPUT when the workspace of an engine for the largest batches is more than --workspace. */
void build_shapes_check_workspace(const tool_settings *settings, const clipc_model *model);
/* For backend tensorrt, which has plans in --tensorrt-cache in place of an engine file: builds those of both towers.
 * Returns the exit status. */
int build_shapes_make_plans(const tool_settings *settings);

#endif
