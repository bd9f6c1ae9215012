/* The wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding), field by field: enough to
 * leave large fields where they lie. */
#ifndef CLIPC_BASE_WIRE_H
#define CLIPC_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum clipc_wire_type {
    CLIPC_WIRE_VARINT = 0,
    CLIPC_WIRE_64 = 1,
    CLIPC_WIRE_BYTES = 2,
    CLIPC_WIRE_32 = 5
} clipc_wire_type;

typedef struct clipc_wire_field {
    uint32_t number;
    clipc_wire_type type;
    uint64_t value;       /* of a VARINT */
    const uint8_t *bytes; /* of BYTES */
    size_t size;
    const uint8_t *begin; /* the whole field, its tag included */
    size_t whole;
} clipc_wire_field;

typedef struct clipc_wire {
    const uint8_t *at;
    const uint8_t *end;
    bool malformed; /* set by the field that could not be read */
} clipc_wire;

/* False at the end, or when the bytes are malformed. */
bool clipc_wire_next(clipc_wire *wire, clipc_wire_field *field);

#endif
