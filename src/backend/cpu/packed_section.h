/* Linear layers in engine files, in the layout of backend/cpu/pack.h. */
#ifndef CLIPC_BACKEND_CPU_PACKED_SECTION_H
#define CLIPC_BACKEND_CPU_PACKED_SECTION_H

#include "backend/cpu/pack.h"
#include "model/linear.h"
#include "model/model.h"

/* The weights of a section of an engine file, where they lie. Never written to. Those that were kept more precise have
 * more bits than `dtype`. `inner`: values of an output as packed. Its shape was checked against the config; here kind
 * of numbers, layout and size are. */
clipc_status clipc_packed_section(const clipc_model *model, const clipc_section *section, clipc_dtype dtype,
                                  size_t inner, clipc_packed_weights *out, clipc_error *error);

/* One tensor of an engine file, [outputs, inner] or, of a bias, [outputs]. Of fp32 it is what it was before it was
 * packed, as packing moves numbers and changes none; of bf16 and int8 what the numbers in the file stand for. A
 * ResNet's convolutions come with BatchNorm folded in (clipc_slot_folded). */
clipc_status clipc_cpu_unpack(const clipc_model *model, bool image, const clipc_linear_place *place, float *values,
                              clipc_error *error);

#endif
