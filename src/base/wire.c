#include "base/wire.h"

#define LONGEST_VARINT 10

static bool read_varint(clipc_wire *wire, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < LONGEST_VARINT && wire->at < wire->end; i++) {
        const uint8_t byte = *wire->at++;
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(clipc_wire *wire, uint64_t size)
{
    if (size > (uint64_t)(wire->end - wire->at))
        return false;
    wire->at += size;
    return true;
}

static bool read_body(clipc_wire *wire, clipc_wire_field *field)
{
    uint64_t size = 0;
    switch (field->type) {
    case CLIPC_WIRE_VARINT: return read_varint(wire, &field->value);
    case CLIPC_WIRE_64: return skip(wire, 8);
    case CLIPC_WIRE_32: return skip(wire, 4);
    case CLIPC_WIRE_BYTES:
        if (!read_varint(wire, &size))
            return false;
        field->bytes = wire->at;
        field->size = (size_t)size;
        return skip(wire, size);
    }
    return false; /* groups, which nothing writes any more */
}

bool clipc_wire_next(clipc_wire *wire, clipc_wire_field *field)
{
    uint64_t tag = 0;
    if (wire->at >= wire->end || wire->malformed)
        return false;
    *field = (clipc_wire_field){.begin = wire->at};
    wire->malformed = !read_varint(wire, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX;
    if (wire->malformed)
        return false;
    field->number = (uint32_t)(tag >> 3);
    field->type = (clipc_wire_type)(tag & 7);
    wire->malformed = !read_body(wire, field);
    field->whole = (size_t)(wire->at - field->begin);
    return !wire->malformed;
}
