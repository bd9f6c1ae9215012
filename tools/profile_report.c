#include "profile_report.h"

#include "message.h"
#include "report_html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The class of the page's style that stands for a bound. */
static const char *kind_of(const char *bound)
{
    if (!bound || strcmp(bound, "compute") == 0)
        return "";
    return strcmp(bound, "memory") == 0 ? "other" : "third";
}

static void put_figure(report_page *page, const char *what, const char *format, double value)
{
    char *text = format_text(format, value);
    report_put(page, "<div><b>%s</b><span>%s</span></div>", text, what);
    free(text);
}

static void put_figures(report_page *page, const step_profile *profile)
{
    char *rate = format_text("%ss a second", profile->tower);
    report_put(page, "<div class=\"figures\">");
    put_figure(page, "a batch, mean", "%.3f ms", 1e3 * profile->seconds);
    put_figure(page, "median", "%.3f ms", 1e3 * profile->median_seconds);
    put_figure(page, rate, "%.1f", profile_share((double)profile->batch, profile->seconds));
    put_figure(page, "of products", "%.3f GFLOP", 1e-9 * profile->operations);
    put_figure(page, "read and written", "%.1f MB", 1e-6 * profile->bytes);
    if (profile->least_seconds > 0)
        put_figure(page, "at its limits", "%.3f ms", 1e3 * profile->least_seconds);
    report_put(page, "</div>\n");
    free(rate);
}

/* Empty where there is none. */
static void put_number(report_page *page, const char *format, double value)
{
    char *text = value > 0 ? format_text(format, value) : duplicate("");
    report_put(page, "<td>%s</td>", text);
    free(text);
}

static void put_step(report_page *page, const step_profile *profile, const profiled_step *step, double longest)
{
    const char *bound = roofline_bound(&step->limits);
    char *name = profile_step_name(step);
    report_put(page, "<tr><td class=\"name\">");
    report_put_text(page, name);
    report_put(page, "<small>");
    report_put_text(page, step->kernel);
    report_put(page, "</small></td><td>%.0f</td><td>%.3f</td><td>%.1f %%</td><td class=\"bar\">", step->runs,
               1e3 * step->seconds, 100 * profile_share(step->seconds, profile->seconds));
    report_put_bar(page, profile_share(step->seconds, longest), kind_of(bound));
    report_put(page, "</td>");
    put_number(page, "%.3f", 1e-9 * step->operations);
    put_number(page, "%.2f", 1e-6 * step->bytes);
    put_number(page, "%.1f %%", 100 * profile_peak_share(profile, step));
    report_put(page, "<td>");
    if (bound)
        report_put(page, "<span class=\"badge %s\">%s</span>", kind_of(bound), bound);
    report_put(page, "</td>");
    const double of_limit = profile_share(roofline_least_seconds(&step->limits), step->seconds);
    put_number(page, "%.0f %%", 100 * of_limit);
    report_put(page, "<td class=\"bar\">");
    if (bound)
        report_put_bar(page, of_limit, kind_of(bound));
    report_put(page, "</td></tr>\n");
    free(name);
}

static void put_table(report_page *page, const step_profile *profile)
{
    double longest = 0;
    for (size_t i = 0; i < profile->step_count; i++)
        longest = fmax(longest, profile->steps[i].seconds);
    report_put(page, "<table><tr><th>step</th><th>runs</th><th>ms</th><th>share</th><th></th><th>GFLOP</th><th>MB</th>"
                     "<th>of peak</th><th>bound</th><th>limit</th><th></th></tr>\n");
    for (size_t i = 0; i < profile->step_count; i++)
        put_step(page, profile, &profile->steps[i], longest);
    const double outside = profile->seconds - profile->steps_seconds;
    report_put(page,
               "<tr><td class=\"name\">outside the steps</td><td></td><td>%.3f</td><td>%.1f %%</td>"
               "<td class=\"bar\">",
               1e3 * outside, 100 * profile_share(outside, profile->seconds));
    report_put_bar(page, profile_share(outside, longest), "bad");
    report_put(page, "</td><td colspan=\"6\"></td></tr>\n</table>");
}

/* The time of each layer, all its steps together: of a batch, the mean. */
static void put_layers(report_page *page, const step_profile *profile)
{
    const step_trace *trace = &profile->trace;
    int layers = 0;
    for (size_t i = 0; i < trace->run_count; i++)
        layers = trace->runs[i].layer >= layers ? trace->runs[i].layer + 1 : layers;
    if (layers == 0)
        return;
    double *seconds = allocate((size_t)layers, sizeof *seconds);
    double longest = 0;
    for (size_t i = 0; i < trace->run_count; i++)
        if (trace->runs[i].layer >= 0)
            seconds[trace->runs[i].layer] += trace->runs[i].seconds / (double)trace->batch_count;
    for (int i = 0; i < layers; i++)
        longest = fmax(longest, seconds[i]);
    report_put(page, "<p>Milliseconds of each layer:</p><div class=\"columns\">");
    for (int i = 0; i < layers; i++)
        report_put(page, "<i style=\"height:%.1f%%\" title=\"layers.%d: %.3f ms\"></i>",
                   100 * profile_share(seconds[i], longest), i, 1e3 * seconds[i]);
    report_put(page, "</div><p>Layers 0 to %d, the tallest %.3f ms a batch.</p>", layers - 1, 1e3 * longest);
    free(seconds);
}

/* Where there are several batch sizes of a tower: one line each, the bar being what an item takes. */
static void put_shapes(report_page *page, const step_profile *profiles, size_t count)
{
    double longest = 0;
    if (!profile_has_shapes(profiles, count))
        return;
    for (size_t i = 0; i < count; i++)
        longest = fmax(longest, profiles[i].seconds / (double)profiles[i].batch);
    report_put(page, "<div class=\"card\"><h2>Batch sizes</h2>\n<table><tr><th>tower</th><th>batch</th><th>ms</th>"
                     "<th>median</th><th>a second</th><th>ms an item</th><th></th><th>at its limits</th></tr>\n");
    for (size_t i = 0; i < count; i++) {
        const double item = profiles[i].seconds / (double)profiles[i].batch;
        report_put(page,
                   "<tr><td class=\"name\">%s</td><td>%zu</td><td>%.3f</td><td>%.3f</td><td>%.1f</td><td>%.4f</td>"
                   "<td class=\"bar\">",
                   profiles[i].tower, profiles[i].batch, 1e3 * profiles[i].seconds, 1e3 * profiles[i].median_seconds,
                   profile_share(1, item), 1e3 * item);
        report_put_bar(page, profile_share(item, longest), "");
        report_put(page, "</td>");
        put_number(page, "%.1f %%", 100 * profile_share(profiles[i].least_seconds, profiles[i].seconds));
        report_put(page, "</tr>\n");
    }
    report_put(page, "</table></div>\n");
}

static void put_peaks(report_page *page, const clipc_peaks *peaks)
{
    const struct {
        const char *name;
        double operations;
    } rates[] = {{"fp32", peaks->fp32_operations},
                 {"fp16", peaks->fp16_operations},
                 {"bf16", peaks->bf16_operations},
                 {"fp8", peaks->fp8_operations},
                 {"int8", peaks->int8_operations}};
    if (!(peaks->all_threads_bytes > 0)) {
        report_put(page, "<p>This backend's peaks were not measured, so that nothing is said of limits.</p>\n");
        return;
    }
    report_put(page, "<p>Peaks, measured in the same run:");
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (rates[i].operations > 0)
            report_put(page, " %s %.1f Gop/s,", rates[i].name, 1e-9 * rates[i].operations);
    report_put(page,
               " memory %.1f GB/s, starting a step %.2f µs. A step's limit is the longest of operations / peak "
               "(<span class=\"badge\">compute</span>), bytes / memory's speed (<span class=\"badge other\">"
               "memory</span>) and runs × start (<span class=\"badge third\">launch</span>); it is bound by that "
               "one. Bytes that come from a cache are faster than memory: such steps pass 100 %%.</p>\n",
               1e-9 * peaks->all_threads_bytes, 1e6 * peaks->start_seconds);
}

void profile_report_write(const char *path, const char *model, const char *device, const step_profile *profiles,
                          size_t count)
{
    const clipc_engine_info *engine = &profiles[0].engine;
    char *title = format_text("Profile of %s", model);
    report_page *page = report_page_open(path, title);
    free(title);
    report_put(page, "<p>%s (%s), %s, %zu threads, on ", engine->backend, engine->isa,
               clipc_precision_name(engine->precision), engine->threads);
    report_put_text(page, device);
    report_put(page, "; clipc %s</p>\n", clipc_version());
    put_shapes(page, profiles, count);
    for (size_t i = 0; i < count; i++) {
        report_put(page, "<div class=\"card\"><h2>%s tower, %s, %zu iterations</h2>\n", profiles[i].tower,
                   profiles[i].batch_text, profiles[i].trace.batch_count);
        put_figures(page, &profiles[i]);
        put_table(page, &profiles[i]);
        put_layers(page, &profiles[i]);
        report_put(page, "</div>\n");
    }
    put_peaks(page, &profiles[0].peaks);
    report_page_close(&page);
}
