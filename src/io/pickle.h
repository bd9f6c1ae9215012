/* The pickles of torch.save and torch.jit.save, read by a closed interpreter: it knows the opcodes that they use and
 * the few constructors that their state dicts and TorchScript modules name, which only ever make the values below.
 * Every other opcode, constructor or class is refused by name. Nothing of the file is executed.
 *
 * Protocol: CPython's Lib/pickletools.py; persistent ids and constructors: torch/serialization.py and torch/_utils.py
 * of PyTorch 2, torch/csrc/jit/serialization/pickler.cpp for TorchScript. */
#ifndef CLIPC_IO_PICKLE_H
#define CLIPC_IO_PICKLE_H

#include "io/tensor.h"

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum clipc_pickle_kind {
    CLIPC_PICKLE_NONE,
    CLIPC_PICKLE_BOOL,    /* integer 0 or 1 */
    CLIPC_PICKLE_INTEGER, /* within 64 bits */
    CLIPC_PICKLE_NUMBER,  /* a float, or an integer of more than 64 bits: its value is not kept */
    CLIPC_PICKLE_TEXT,
    CLIPC_PICKLE_TUPLE,
    CLIPC_PICKLE_LIST,
    CLIPC_PICKLE_DICT,   /* items: key, value, key, value, … */
    CLIPC_PICKLE_OBJECT, /* a TorchScript module; items: its attributes, as in a dict */
    CLIPC_PICKLE_CONSTRUCTOR,
    CLIPC_PICKLE_STORAGE, /* index: of clipc_pickle_storage_at */
    CLIPC_PICKLE_TENSOR   /* index: of clipc_pickle_tensor_at */
} clipc_pickle_kind;

/* Values are numbered in the order in which they were made. Containers may contain one another, and themselves. */
typedef uint32_t clipc_pickle_id;
#define CLIPC_PICKLE_END UINT32_MAX

typedef struct clipc_pickle_value {
    clipc_pickle_kind kind;
    uint32_t count; /* items */
    union {
        int64_t integer;
        uint32_t index;
        struct {
            const char *bytes; /* a view of the pickle: not terminated, any bytes */
            size_t length;
        } text;
        struct {
            uint32_t first; /* links, or CLIPC_PICKLE_END */
            uint32_t last;
        } items;
        struct {
            uint32_t what;
            clipc_dtype dtype;
        } constructor;
    };
} clipc_pickle_value;

typedef struct clipc_pickle_link {
    clipc_pickle_id value;
    uint32_t next; /* or CLIPC_PICKLE_END */
} clipc_pickle_link;

/* A block of elements that lies outside the pickle. */
typedef struct clipc_pickle_storage {
    clipc_dtype dtype;
    const char *key; /* a view: not terminated */
    size_t key_length;
    size_t count; /* elements */
} clipc_pickle_storage;

/* Strides and the offset count elements. Not yet compared with the storage. */
typedef struct clipc_pickle_tensor {
    uint32_t storage;
    size_t offset;
    size_t rank;
    size_t shape[CLIPC_TENSOR_MAX_RANK];
    size_t stride[CLIPC_TENSOR_MAX_RANK];
} clipc_pickle_tensor;

typedef struct clipc_pickle clipc_pickle;

/* Reads one pickle from the beginning of `size` bytes at `bytes`, which must outlive the result, up to its STOP;
 * *used (may be NULL) becomes its length. `name` is what messages call it. At most 2^19 values are made. */
clipc_status clipc_pickle_read(const uint8_t *bytes, size_t size, const char *name, clipc_pickle **out, size_t *used,
                               clipc_error *error);
void clipc_pickle_free(clipc_pickle **pickle);

clipc_pickle_id clipc_pickle_root(const clipc_pickle *pickle);
const clipc_pickle_value *clipc_pickle_at(const clipc_pickle *pickle, clipc_pickle_id id);
const clipc_pickle_link *clipc_pickle_link_at(const clipc_pickle *pickle, uint32_t link);
const clipc_pickle_tensor *clipc_pickle_tensor_at(const clipc_pickle *pickle, uint32_t index);
const clipc_pickle_storage *clipc_pickle_storage_at(const clipc_pickle *pickle, uint32_t index);
size_t clipc_pickle_storage_count(const clipc_pickle *pickle);
/* Whether the value is that text. */
bool clipc_pickle_is_text(const clipc_pickle_value *value, const char *text);
/* The value of a key of a dict or object, the last one if it is there more than once; NULL when there is none. */
const clipc_pickle_value *clipc_pickle_get(const clipc_pickle *pickle, const clipc_pickle_value *dict,
                                           const char *key);

#endif
