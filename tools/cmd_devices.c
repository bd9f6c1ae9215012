/* clipc devices: what there is to compute on. */
#include "commands.h"

#include "json_line.h"
#include "message.h"
#include "output.h"

#include "clipc/clipc.h"

static const char *const synopsis[] = {
    "devices [--json]",
    NULL,
};

static const char *const examples[] = {
    "The processor and the GPUs, and what clipc would use on each",
    "clipc devices",
    NULL,
};

static const tool_option options[] = {
    {"json", 'j', OPTION_FLAG, NULL, "print one JSON object a line", offsetof(tool_settings, json), 0, 0, NULL},
    {NULL, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL},
};

static double gibibytes(uint64_t bytes)
{
    return (double)bytes / (1 << 30);
}

static void print_device(const clipc_device_info *info)
{
    print_format("%s %zu  %s\n", info->backend, info->index, info->name);
    if (info->driver[0])
        print_format("  driver  %s\n", info->driver);
    print_format("  memory  %.1f GiB, %.1f GiB free\n", gibibytes(info->memory_bytes), gibibytes(info->free_bytes));
    if (info->problem[0])
        print_format("  cannot be used: %s\n", info->problem);
    else
        print_format("  uses    %s kernels in %s, %zu %s\n", info->isa, clipc_precision_name(info->precision),
                     info->units, info->driver[0] ? "multiprocessors" : "threads");
}

static void print_object(const clipc_device_info *info)
{
    json_t *object = json_object();
    json_put(object, "backend", json_string(info->backend));
    json_put(object, "index", json_integer((json_int_t)info->index));
    json_put(object, "name", json_name(info->name));
    json_put(object, "driver", info->driver[0] ? json_name(info->driver) : json_null());
    json_put(object, "memory_bytes", json_integer((json_int_t)info->memory_bytes));
    json_put(object, "free_bytes", json_integer((json_int_t)info->free_bytes));
    json_put(object, "problem", info->problem[0] ? json_name(info->problem) : json_null());
    json_put(object, "isa", info->problem[0] ? json_null() : json_string(info->isa));
    json_put(object, "precision", info->problem[0] ? json_null() : json_string(clipc_precision_name(info->precision)));
    json_put(object, "units", json_integer((json_int_t)info->units));
    json_print(object);
}

/* A backend with no device here is told in a line, and is no failure. */
static void print_none(const char *backend, const char *reason, bool json)
{
    if (!json) {
        print_format("%s    none: %s\n", backend, reason);
        return;
    }
    json_t *object = json_object();
    json_put(object, "backend", json_string(backend));
    json_put(object, "index", json_null());
    json_put(object, "problem", json_name(reason));
    json_print(object);
}

static void print_devices(const char *backend, bool json)
{
    size_t count = 0;
    clipc_error error = {0};
    if (clipc_device_count(backend, &count, &error) != CLIPC_OK)
        print_none(backend, error.message, json);
    for (size_t i = 0; i < count; i++) {
        clipc_device_info info = {.size = sizeof info};
        if (clipc_device_get_info(backend, i, &info, &error) != CLIPC_OK)
            print_none(backend, error.message, json);
        else if (json)
            print_object(&info);
        else
            print_device(&info);
    }
}

static int run(const tool_settings *settings)
{
    if (settings->operands.count)
        quit(STATUS_USAGE, "devices: '%s' is not expected here", settings->operands.items[0]);
    print_devices("cpu", settings->json);
    print_devices("cuda", settings->json);
    print_flush();
    return STATUS_DONE;
}

const tool_command command_devices = {
    .name = "devices",
    .summary = "list what there is to compute on",
    .synopsis = synopsis,
    .description =
        "Lists the processor and the NVIDIA GPUs, with their memory and driver, and what clipc would use on each: "
        "kernels and precision. A GPU's number is what the option devices takes. Without a driver or a GPU it says "
        "so; every "
        "other command then computes on the processor.\n\n"
        "A GPU needs compute capability 8.0 or more. CUDA_VISIBLE_DEVICES hides GPUs, as it does from every program.",
    .examples = examples,
    .options = options,
    .run = run,
};
