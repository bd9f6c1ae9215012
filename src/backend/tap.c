#include "backend/tap.h"

#include <stdio.h>

void clipc_tap_give(const clipc_tap_target *target, bool image, clipc_tap_point point, size_t layer,
                    clipc_tap_rows rows)
{
    static const char *const names[] = {"embedding", "attention", "mlp", "norm", "projection"};
    if (!target->function)
        return;
    char name[64];
    const char *tower = image ? "image" : "text";
    if (point == CLIPC_TAP_ATTENTION || point == CLIPC_TAP_MLP)
        snprintf(name, sizeof name, "%s.layers.%zu.%s", tower, layer, names[point]);
    else
        snprintf(name, sizeof name, "%s.%s", tower, names[point]);
    const clipc_tap tap = {.size = sizeof tap,
                           .name = name,
                           .values = rows.values,
                           .rows = rows.rows,
                           .width = rows.width,
                           .stride = rows.stride};
    target->function(target->user, &tap);
}
