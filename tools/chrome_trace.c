#include "chrome_trace.h"

#include "json_line.h"
#include "message.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>

#define PROCESS 1
/* Of numbers: nanoseconds stay exact for days. */
#define JSON_FORMAT (JSON_COMPACT | JSON_REAL_PRECISION(15))

typedef struct trace_file {
    output_file *output;
    double begin; /* seconds: the zero of the trace */
    int thread;
    bool any;
} trace_file;

/* One event a line. */
static void put_event(trace_file *file, json_t *event)
{
    char *text = json_dumps(event, JSON_FORMAT);
    json_decref(event);
    if (!text)
        quit(STATUS_SYSTEM, "out of memory (JSON)");
    output_text(file->output, file->any ? ",\n" : "\n");
    output_text(file->output, text);
    file->any = true;
    free(text);
}

static json_t *make_event(const trace_file *file, const char *phase, const char *name)
{
    json_t *event = json_object();
    json_put(event, "name", json_name(name));
    json_put(event, "ph", json_string(phase));
    json_put(event, "pid", json_integer(PROCESS));
    json_put(event, "tid", json_integer(file->thread));
    return event;
}

/* The name that the viewer shows for a process or a thread: of all time, but a time is required of every event. */
static void put_label(trace_file *file, const char *what, const char *label)
{
    json_t *event = make_event(file, "M", what);
    json_put(event, "ts", json_integer(0));
    json_t *arguments = json_object();
    json_put(arguments, "name", json_name(label));
    json_put(event, "args", arguments);
    put_event(file, event);
}

/* Of the trace. Both ends of a span are rounded alike, so that spans which lie in one another still do. */
static long long nanoseconds(const trace_file *file, double seconds)
{
    return llround(1e9 * (seconds - file->begin));
}

static json_t *make_span(const trace_file *file, const char *name, const char *category, double begin, double end)
{
    json_t *event = make_event(file, "X", name);
    json_put(event, "cat", json_string(category));
    const long long from = nanoseconds(file, begin);
    json_put(event, "ts", json_real((double)from / 1e3));
    json_put(event, "dur", json_real((double)(nanoseconds(file, end) - from) / 1e3));
    return event;
}

static void put_run(trace_file *file, const traced_run *run)
{
    json_t *event = make_span(file, run->step, "step", run->begin, run->begin + run->seconds);
    json_t *arguments = json_object();
    json_put(arguments, "kernel", json_name(run->kernel));
    json_put(arguments, "precision", json_string(clipc_precision_name(run->precision)));
    if (run->layer >= 0)
        json_put(arguments, "layer", json_integer(run->layer));
    json_put(arguments, "operations", json_real(run->operations));
    json_put(arguments, "bytes", json_real(run->bytes));
    json_put(event, "args", arguments);
    put_event(file, event);
}

/* Runs of one layer that follow one another lie in a span of its name. */
static void put_layers(trace_file *file, const traced_run *runs, size_t count)
{
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && runs[end].layer == runs[i].layer)
            end++;
        if (runs[i].layer >= 0) {
            char *name = format_text("layers.%d", runs[i].layer);
            put_event(file,
                      make_span(file, name, "layer", runs[i].begin, runs[end - 1].begin + runs[end - 1].seconds));
            free(name);
        }
        for (; i < end; i++)
            put_run(file, &runs[i]);
    }
}

static void put_tower(trace_file *file, const step_profile *profile)
{
    const step_trace *trace = &profile->trace;
    char *label = format_text("%s tower, %s", profile->tower, profile->batch_text);
    put_label(file, "thread_name", label);
    free(label);
    for (size_t i = 0; i < trace->batch_count; i++) {
        const traced_batch *batch = &trace->batches[i];
        char *name = format_text("batch %zu", i);
        put_event(file, make_span(file, name, "batch", batch->begin, batch->begin + batch->seconds));
        free(name);
        put_layers(file, trace->runs + batch->first_run, batch->run_count);
    }
}

void chrome_trace_write(const char *path, const char *model, const step_profile *profiles, size_t count)
{
    const clipc_engine_info *engine = &profiles[0].engine;
    trace_file file = {.output = output_open(path), .begin = profiles[0].trace.batches[0].begin};
    output_text(file.output, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    char *label = format_text("clipc %s: %s, %s (%s), %s, %zu threads", clipc_version(), model, engine->backend,
                              engine->isa, clipc_precision_name(engine->precision), engine->threads);
    put_label(&file, "process_name", label);
    free(label);
    for (size_t i = 0; i < count; i++) {
        file.thread = (int)i + 1;
        put_tower(&file, &profiles[i]);
    }
    output_text(file.output, "\n]}\n");
    output_close(file.output);
    output_publish(&file.output);
}
