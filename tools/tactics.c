#include "tactics.h"

#include "escape.h"
#include "json_line.h"
#include "output.h"
#include "tower_profile.h"

#include <stdlib.h>
#include <string.h>

static step_profile run_once(const tool_settings *settings, size_t tower, const clipc_model *model)
{
    tool_settings once = *settings;
    once.bench.warm_up = 0;
    once.iterations = 1;
    const shape_list one = {.sizes = {settings->batch ? (size_t)settings->batch : 1}, .count = 1};
    step_profile profile;
    tower_profile_create(&profile, &once, tower, model, &one, true, NULL);
    return profile;
}

static bool has_tower(const clipc_model_info *info, size_t tower)
{
    return tower == 0 ? !info->image_absent : !info->text_absent;
}

/* ---- for people ---- */

static void print_padded(const char *text, size_t columns)
{
    const size_t width = display_width(text);
    print_format("%s%*s  ", text, (int)(width < columns ? columns - width : 0), "");
}

static void print_tower(const step_profile *profile)
{
    size_t columns = strlen("step");
    size_t kernel_columns = strlen("kernel");
    for (size_t i = 0; i < profile->step_count; i++) {
        char *name = profile_step_name(&profile->steps[i]);
        columns = display_width(name) > columns ? display_width(name) : columns;
        const size_t width = display_width(profile->steps[i].kernel);
        kernel_columns = width > kernel_columns ? width : kernel_columns;
        free(name);
    }
    print_format("\n%s tower, %s, on %s (%s)\n", profile->tower, profile->batch_text, profile->engine.backend,
                 profile->engine.isa);
    print_padded("step", columns);
    print_padded("kernel", kernel_columns);
    print_format("%-9s %4s %9s %9s\n", "precision", "runs", "GFLOP", "MB");
    for (size_t i = 0; i < profile->step_count; i++) {
        const profiled_step *step = &profile->steps[i];
        char *name = profile_step_name(step);
        print_padded(name, columns);
        print_padded(step->kernel, kernel_columns);
        print_format("%-9s %4.0f", clipc_precision_name(step->precision), step->runs);
        if (step->operations > 0)
            print_format(" %9.4f", 1e-9 * step->operations);
        else
            print_format(" %9s", "");
        print_format(" %9.3f\n", 1e-6 * step->bytes);
        free(name);
    }
}

void tactics_print(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info)
{
    for (size_t tower = 0; tower < 2; tower++) {
        if (!has_tower(info, tower))
            continue;
        step_profile profile = run_once(settings, tower, model);
        print_tower(&profile);
        step_profile_free(&profile);
    }
    print_flush();
}

/* ---- for scripts ---- */

static void append_tower(json_t *tactics, const step_profile *profile)
{
    for (size_t i = 0; i < profile->step_count; i++) {
        const profiled_step *step = &profile->steps[i];
        json_t *object = json_object();
        json_put(object, "tower", json_string(profile->tower));
        json_put(object, "layer", step->layer < 0 ? json_null() : json_integer(step->layer));
        json_put(object, "step", json_string(step->step));
        json_put(object, "kernel", json_string(step->kernel));
        json_put(object, "precision", json_string(clipc_precision_name(step->precision)));
        json_put(object, "runs", json_real(step->runs));
        json_put(object, "operations", json_real(step->operations));
        json_put(object, "bytes", json_real(step->bytes));
        json_append(tactics, object);
    }
}

json_t *tactics_to_json(const tool_settings *settings, const clipc_model *model, const clipc_model_info *info)
{
    json_t *tactics = json_array();
    for (size_t tower = 0; tower < 2; tower++) {
        if (!has_tower(info, tower))
            continue;
        step_profile profile = run_once(settings, tower, model);
        append_tower(tactics, &profile);
        step_profile_free(&profile);
    }
    return tactics;
}
