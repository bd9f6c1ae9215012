#include "ranking.h"

#include "escape.h"
#include "json_line.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDEST_LABEL    40
#define NARROWEST_BAR   8
#define WIDEST_BAR      32
#define DEFAULT_COLUMNS 80
#define OTHER_COLUMNS   24 /* indentation, gaps, percentage and cosine */
#define EIGHTHS         8

static int compare_ranked(const void *a, const void *b)
{
    const ranked_label *left = a;
    const ranked_label *right = b;
    if (left->score != right->score)
        return left->score < right->score ? 1 : -1;
    if (left->similarity != right->similarity) /* scores that both round to zero */
        return left->similarity < right->similarity ? 1 : -1;
    return left->index < right->index ? -1 : left->index > right->index;
}

void rank_labels(const text_list *labels, const float *similarities, const clipc_model_info *info, float *scores,
                 ranked_label *ranked)
{
    if (info->scoring == CLIPC_SCORING_SIGMOID)
        clipc_scores_sigmoid(similarities, labels->count, info->logit_scale, info->logit_bias, scores);
    else
        clipc_scores(similarities, labels->count, info->logit_scale, scores);
    for (size_t i = 0; i < labels->count; i++)
        ranked[i] = (ranked_label){labels->items[i].bytes, i, scores[i], similarities[i]};
    qsort(ranked, labels->count, sizeof *ranked, compare_ranked);
}

json_t *ranking_to_json(const char *image, const char *precision, const ranked_label *ranked, size_t count)
{
    json_t *results = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *result = json_object();
        json_put(result, "label", json_name(ranked[i].label));
        json_put(result, "score", json_float(ranked[i].score));
        json_put(result, "similarity", json_float(ranked[i].similarity));
        json_append(results, result);
    }
    json_t *line = json_object();
    json_put(line, "image", json_name(image));
    json_put(line, "precision", json_string(precision));
    json_put(line, "results", results);
    return line;
}

/* ---- for people ---- */

/* UTF-8 unless the locale names another character set: bare containers name none and still show UTF-8. */
static bool locale_is_not_utf8(void)
{
    const char *locale = getenv("LC_ALL");
    if (!locale || !locale[0])
        locale = getenv("LC_CTYPE");
    if (!locale || !locale[0])
        locale = getenv("LANG");
    const char *charset = locale ? strchr(locale, '.') : NULL;
    return charset && strncasecmp(charset, ".utf-8", 6) != 0 && strncasecmp(charset, ".utf8", 5) != 0;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

ranking_style ranking_style_for(const text_list *labels)
{
    const char *no_colour = getenv("NO_COLOR");
    ranking_style style = {.ascii = locale_is_not_utf8()};
    style.colours = isatty(STDOUT_FILENO) && !(no_colour && no_colour[0]);
    for (size_t i = 0; i < labels->count; i++) {
        char *printable = escape_clipped(labels->items[i].bytes, WIDEST_LABEL);
        const size_t width = display_width(printable);
        if (width > style.label_columns)
            style.label_columns = width;
        free(printable);
    }
    const size_t columns = terminal_columns();
    const size_t used = style.label_columns + OTHER_COLUMNS;
    style.bar_columns = columns > used + NARROWEST_BAR ? columns - used : NARROWEST_BAR;
    if (style.bar_columns > WIDEST_BAR)
        style.bar_columns = WIDEST_BAR;
    return style;
}

/* `columns` wide, filled to `score` in eighths of a column; any score above zero shows something. */
static void print_bar(const ranking_style *style, float score)
{
    static const char *const blocks[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const size_t steps = style->ascii ? 1 : EIGHTHS;
    const float share = score > 0 ? fminf(score, 1) : 0;
    const size_t filled = (size_t)lrintf(share * (float)(style->bar_columns * steps));
    const size_t whole = filled / steps;
    for (size_t i = 0; i < whole; i++)
        print_text(style->ascii ? "#" : "█");
    const size_t rest = filled % steps;
    print_text(blocks[rest]);
    print_format("%*s", (int)(style->bar_columns - whole - (rest > 0)), "");
}

static void colour(const ranking_style *style, const char *code)
{
    if (style->colours)
        print_format("\033[%sm", code);
}

void ranking_print(const ranking_style *style, const char *image, const ranked_label *ranked, size_t count)
{
    char *name = escape_for_terminal(image);
    colour(style, "1");
    print_text(name);
    colour(style, "0");
    print_text("\n");
    free(name);
    for (size_t i = 0; i < count; i++) {
        char *label = escape_clipped(ranked[i].label, WIDEST_LABEL);
        print_format("  %s%*s  ", label, (int)(style->label_columns - display_width(label)), "");
        free(label);
        colour(style, i == 0 ? "32" : "2");
        print_bar(style, ranked[i].score);
        colour(style, "0");
        print_format("  %5.1f %%  %7.4f\n", 100 * (double)ranked[i].score, (double)ranked[i].similarity);
    }
    print_flush();
}
