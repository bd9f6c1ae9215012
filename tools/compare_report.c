#include "compare_report.h"

#include "message.h"
#include "report_html.h"

#include <math.h>
#include <stdlib.h>

static void put_overview(report_page *page, const comparison *result)
{
    double worst = 0;
    for (size_t i = 0; i < result->count; i++)
        worst = fmax(worst, 1 - result->items[i].difference.least_cosine * result->items[i].same_shape);
    report_put(page, "<div class=\"card\"><table><tr><th>tensor</th><th>shape</th><th>largest |a−b|</th><th>mean "
                     "|a−b|</th><th>median relative</th><th>least cosine</th><th>1 − cosine</th><th></th></tr>\n");
    for (size_t i = 0; i < result->count; i++) {
        const compared_tensor *tensor = &result->items[i];
        char *shape = tensor_shape_text(tensor->a ? tensor->a : tensor->b);
        report_put(page, "<tr><td><code>");
        report_put_text(page, tensor->name);
        report_put(page, "</code></td><td>%s</td>", shape);
        free(shape);
        if (tensor->same_shape) {
            const difference_stats *difference = &tensor->difference;
            char *cosine =
                isnan(difference->least_cosine) ? duplicate("NaN") : format_text("%.9f", difference->least_cosine);
            report_put(page, "<td>%.3g</td><td>%.3g</td><td>%.3g</td><td>%s</td><td class=\"bar\">",
                       difference->absolute.maximum, difference->absolute.mean, difference->relative.median, cosine);
            free(cosine);
            report_put_bar(page, worst > 0 ? (1 - difference->least_cosine) / worst : 0, tensor->passed ? "" : "bad");
            report_put(page, "</td><td class=\"%s\">%s</td></tr>\n", tensor->passed ? "good" : "bad",
                       tensor->passed ? "ok" : "failed");
        } else {
            report_put(page, "<td colspan=\"5\"></td><td class=\"bad\">%s</td></tr>\n",
                       !tensor->a   ? "only in B"
                       : !tensor->b ? "only in A"
                                    : "other shape");
        }
    }
    report_put(page, "</table></div>\n");
}

static void put_values(report_page *page, const char *heading, const value_stats *stats)
{
    size_t most = 1;
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        most = stats->histogram[i] > most ? stats->histogram[i] : most;
    report_put(page, "<div><small>%s, %.3g to %.3g</small><div class=\"histogram\">", heading, stats->minimum,
               stats->maximum);
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        report_put(page, "<i style=\"height:%.1f%%\"></i>", 100 * (double)stats->histogram[i] / (double)most);
    report_put(page, "</div><small>mean %.4g, std %.4g, median %.4g", stats->mean, stats->deviation, stats->median);
    if (stats->not_a_number || stats->infinite)
        report_put(page, ", <span class=\"bad\">%zu NaN, %zu infinite</span>", stats->not_a_number, stats->infinite);
    report_put(page, "</small></div>");
}

/* Rows are those of the last axis; brighter is more, each map on its own scale. */
static void put_tensor(report_page *page, const compared_tensor *tensor)
{
    const size_t width = tensor_width(tensor->a);
    report_put(page, "<div class=\"card\"><h2>");
    report_put_text(page, tensor->name);
    report_put(page, "</h2>");
    if (width > 1)
        report_put_heat_map(page, tensor->differences, tensor->a->count / width, width,
                            (float)tensor->difference.absolute.maximum);
    report_put(page, "<div class=\"pair\">");
    put_values(page, "A", &tensor->of_a);
    put_values(page, "B", &tensor->of_b);
    put_values(page, "|a − b|", &tensor->difference.absolute);
    put_values(page, "|a − b| / |b|", &tensor->difference.relative);
    report_put(page, "</div></div>\n");
}

void compare_report_write(const char *path, const comparison *result, const comparison_limits *limits, const char *a,
                          const char *b, const char *inputs)
{
    report_page *page = report_page_open(path, "Two models compared");
    char *text = comparison_limits_text(limits);
    report_put(page, "<p>A is <code>");
    report_put_text(page, a);
    report_put(page, "</code>, B is <code>");
    report_put_text(page, b);
    report_put(page, "</code>; ");
    report_put_text(page, inputs);
    report_put(page, ".<br><span class=\"%s\">%s</span>: %zu of %zu tensors outside (",
               result->failed ? "bad" : "good", result->failed ? "failed" : "passed", result->failed,
               result->compared);
    report_put_text(page, text);
    report_put(page, ").</p>\n");
    free(text);
    put_overview(page, result);
    report_put(page, "<p>Heat maps: a row of a tensor a line, from top to bottom, |a − b| from dark (0) to pale (the "
                     "largest of that tensor); a pixel is the largest of the values that fall on it.</p>\n");
    for (size_t i = 0; i < result->count; i++)
        if (result->items[i].same_shape)
            put_tensor(page, &result->items[i]);
    report_page_close(&page);
}
