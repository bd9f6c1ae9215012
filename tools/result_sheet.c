#include "result_sheet.h"

#include "escape.h"
#include "message.h"
#include "output.h"

#include <stdlib.h>

static const char style[] =
    ":root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5d6673;--line:#e1e5ea;"
    "--track:#e9edf2;--bar:#9fb3cc;--best:#1f7a5c;--bad:#a33b2f}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--ink:#e8ebef;--soft:#9aa4b1;"
    "--line:#2e343c;--track:#2a3038;--bar:#5c7391;--best:#4cc59a;--bad:#ef8a7d}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;padding:2rem clamp(1rem,4vw,3rem);background:var(--page);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
    "h1{font-size:1.5rem;margin:0 0 .25rem}\n"
    "header{margin-bottom:1.75rem;color:var(--soft)}header h1{color:var(--ink)}\n"
    "code{font:.9em ui-monospace,Menlo,Consolas,monospace;color:var(--ink)}\n"
    "main{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1.1rem}\n"
    "article{background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden;"
    "content-visibility:auto;contain-intrinsic-size:auto 25rem}\n"
    "figure{margin:0;height:14rem;display:flex;align-items:center;justify-content:center;background:var(--track)}\n"
    "figure img{max-width:100%;max-height:100%;display:block}\n"
    "h2{font:600 .82rem ui-monospace,Menlo,Consolas,monospace;margin:.8rem 1rem .5rem;overflow-wrap:anywhere}\n"
    "ol{list-style:none;margin:0;padding:0 1rem 1rem}\n"
    "li{display:grid;grid-template-columns:1fr auto auto;column-gap:.9rem;padding:.22rem 0;"
    "font-variant-numeric:tabular-nums}\n"
    "li span:first-child{overflow-wrap:anywhere}\n"
    "li small{color:var(--soft);min-width:3.6em;text-align:right}\n"
    "li i{grid-column:1/-1;height:6px;border-radius:3px;background:var(--track);overflow:hidden}\n"
    "li i b{display:block;height:100%;border-radius:3px;background:var(--bar)}\n"
    "li:first-child{font-weight:600}li:first-child small{font-weight:400}li:first-child i b{background:var(--best)}\n"
    "article.missing{border-color:var(--bad)}article.missing p{margin:0 1rem 1rem;color:var(--bad)}\n"
    "footer{margin-top:2rem;color:var(--soft);font-size:.87rem}\n";

struct result_sheet {
    output_file *output;
    size_t images;
    size_t missing;
};

result_sheet *result_sheet_open(const char *path)
{
    result_sheet *sheet = allocate(1, sizeof *sheet);
    sheet->output = output_open(path);
    return sheet;
}

static void put_escaped(result_sheet *sheet, const char *text)
{
    char *escaped = escape_for_html(text);
    output_text(sheet->output, escaped);
    free(escaped);
}

void result_sheet_start(result_sheet *sheet, const clipc_model_info *model, const char *precision,
                        const string_list *templates, size_t label_count)
{
    output_format(sheet->output, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                                 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                                 "<title>clipc classify</title>\n<style>\n");
    output_text(sheet->output, style);
    output_format(sheet->output, "</style>\n</head>\n<body>\n<header>\n<h1>What the images show</h1>\nModel <code>");
    put_escaped(sheet, model->path[0] ? model->path : model->name);
    output_format(sheet->output, "</code> in %s, %zu label%s in ", precision, label_count,
                  label_count == 1 ? "" : "s");
    for (size_t i = 0; i < templates->count; i++) {
        output_format(sheet->output, i ? ", <code>" : "<code>");
        put_escaped(sheet, templates->items[i]);
        output_format(sheet->output, "</code>");
    }
    output_format(sheet->output,
                  ". Each line: the label, its share of the softmax over all labels, and the cosine similarity.\n"
                  "</header>\n<main>\n");
}

static void put_picture(result_sheet *sheet, const image_item *item)
{
    output_format(sheet->output, "<article%s>\n", item->outcome == IMAGE_READY ? "" : " class=\"missing\"");
    if (item->thumbnail) {
        output_format(sheet->output, "<figure><img alt=\"\" decoding=\"async\" src=\"");
        output_text(sheet->output, item->thumbnail);
        output_format(sheet->output, "\"></figure>\n");
    }
    output_format(sheet->output, "<h2>");
    put_escaped(sheet, item->path);
    output_format(sheet->output, "</h2>\n");
}

void result_sheet_add(result_sheet *sheet, const image_item *item, const ranked_label *ranked, size_t count)
{
    sheet->images++;
    put_picture(sheet, item);
    output_format(sheet->output, "<ol>\n");
    for (size_t i = 0; i < count; i++) {
        const double percent = 100 * (double)ranked[i].score;
        output_format(sheet->output, "<li><span>");
        put_escaped(sheet, ranked[i].label);
        output_format(
            sheet->output,
            "</span><span>%.1f&thinsp;%%</span><small>%.4f</small><i><b style=\"width:%.2f%%\"></b></i></li>\n",
            percent, (double)ranked[i].similarity, percent);
    }
    output_format(sheet->output, "</ol>\n</article>\n");
}

void result_sheet_add_missing(result_sheet *sheet, const image_item *item, const char *reason)
{
    sheet->missing++;
    put_picture(sheet, item);
    output_format(sheet->output, "<p>");
    put_escaped(sheet, reason);
    output_format(sheet->output, "</p>\n</article>\n");
}

void result_sheet_finish(result_sheet **sheet)
{
    output_format((*sheet)->output, "</main>\n<footer>%zu image%s", (*sheet)->images,
                  (*sheet)->images == 1 ? "" : "s");
    if ((*sheet)->missing)
        output_format((*sheet)->output, ", %zu that could not be read", (*sheet)->missing);
    output_format((*sheet)->output, ". Made by clipc %s.</footer>\n</body>\n</html>\n", clipc_version());
    output_close((*sheet)->output);
    output_publish(&(*sheet)->output);
    free(*sheet);
    *sheet = NULL;
}
