#include "layers_json.h"

#include "json_line.h"

json_t *layers_to_json(const clipc_model *model)
{
    json_t *layers = json_array();
    for (size_t i = 0; i < clipc_model_linear_count(model); i++) {
        clipc_linear_info info = {.size = sizeof info};
        if (clipc_model_get_linear(model, i, &info, NULL) != CLIPC_OK)
            continue;
        json_t *layer = json_object();
        json_put(layer, "name", json_string(info.name));
        json_put(layer, "parts", json_integer((json_int_t)info.parts));
        json_put(layer, "outputs", json_integer((json_int_t)info.outputs));
        json_put(layer, "inner", json_integer((json_int_t)info.inner));
        json_put(layer, "stored", json_string(info.dtype));
        json_put(layer, "bytes", json_integer((json_int_t)info.bytes));
        json_put(layer, "panel_columns",
                 info.panel_columns ? json_integer((json_int_t)info.panel_columns) : json_null());
        json_append(layers, layer);
    }
    return layers;
}
