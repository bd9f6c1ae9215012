#include "report.h"

#include "message.h"

void report_image(input_report *report, const char *path, image_outcome outcome, const char *reason)
{
    if (outcome == IMAGE_SKIPPED) {
        report->skipped++;
        message_detail("skipped %s: %s", path, reason);
        return;
    }
    report->failed++;
    message_error("%s: %s", path, reason);
}

void report_text(input_report *report, size_t index, const char *reason)
{
    report->failed++;
    message_error("text %zu: %s", index + 1, reason);
}

int report_end(const input_report *report)
{
    if (report->failed && report->total > 1)
        message_error("%zu of %zu inputs failed", report->failed, report->total);
    if (report->skipped && message_get_level() != MESSAGE_VERBOSE)
        message_note("%zu %s found in directories and skipped (--verbose names each)", report->skipped,
                     report->skipped == 1 ? "entry was" : "entries were");
    if (report->total == report->skipped)
        message_note("there was nothing to do: no input");
    return report->failed ? STATUS_INPUT : STATUS_DONE;
}
