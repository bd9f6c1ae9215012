/* The stack machine of a pickle, shared by its opcodes (pickle.c) and what they call (pickle_calls.c). */
#ifndef CLIPC_IO_PICKLE_MACHINE_H
#define CLIPC_IO_PICKLE_MACHINE_H

#include "io/pickle.h"

/* Far above any model's: a training checkpoint of ViT-bigG-14 makes some 150,000. */
#define CLIPC_PICKLE_MAX_VALUES  ((size_t)1 << 19)
#define CLIPC_PICKLE_MAX_TENSORS ((size_t)1 << 16)

/* Constructors that a pickle may name. */
enum {
    CLIPC_CALL_ORDERED_DICT,
    CLIPC_CALL_TENSOR,       /* torch._utils._rebuild_tensor */
    CLIPC_CALL_TENSOR_V2,    /* torch._utils._rebuild_tensor_v2 */
    CLIPC_CALL_PARAMETER,    /* torch._utils._rebuild_parameter */
    CLIPC_CALL_STORAGE_TYPE, /* torch.FloatStorage and so on: named, never called */
    CLIPC_CALL_SIZE,         /* torch.Size */
    CLIPC_CALL_FIRST,        /* wrappers of TorchScript that stand for their first argument */
    CLIPC_CALL_SCRIPT_CLASS  /* a class of the archive's own code, __torch__.… */
};

struct clipc_pickle {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    size_t at; /* the next byte */
    clipc_pickle_value *values;
    size_t value_count, value_capacity;
    clipc_pickle_link *links;
    size_t link_count, link_capacity;
    clipc_pickle_tensor *tensors;
    size_t tensor_count, tensor_capacity;
    clipc_pickle_storage *storages;
    size_t storage_count, storage_capacity;
    /* while it runs */
    clipc_pickle_id *stack;
    size_t stack_count, stack_capacity;
    uint32_t *marks; /* how high the stack was */
    size_t mark_count, mark_capacity;
    clipc_pickle_id *memo; /* CLIPC_PICKLE_END: free */
    size_t memo_count, memo_capacity;
};

/* Makes room for one more element of `size` bytes, at most `limit`. */
clipc_status clipc_pickle_grow(clipc_pickle *pickle, void **array, size_t count, size_t *capacity, size_t size,
                               size_t limit, clipc_error *error);
/* Numbers a new value. */
clipc_status clipc_pickle_make(clipc_pickle *pickle, clipc_pickle_value value, clipc_pickle_id *out,
                               clipc_error *error);
/* An empty tuple, list, dict or object. */
clipc_pickle_value clipc_pickle_empty(clipc_pickle_kind kind);
clipc_status clipc_pickle_append(clipc_pickle *pickle, clipc_pickle_id container, clipc_pickle_id item,
                                 clipc_error *error);

/* GLOBAL: the constructor of that module and name, or a refusal. */
clipc_status clipc_pickle_find_constructor(const clipc_pickle *pickle, const clipc_pickle_value *module,
                                           const clipc_pickle_value *name, clipc_pickle_value *out,
                                           clipc_error *error);
/* REDUCE, NEWOBJ, BUILD and BINPERSID; *out is the value to be pushed. BUILD changes `object`. */
clipc_status clipc_pickle_reduce(clipc_pickle *pickle, clipc_pickle_id constructor, clipc_pickle_id arguments,
                                 clipc_pickle_id *out, clipc_error *error);
clipc_status clipc_pickle_new_object(clipc_pickle *pickle, clipc_pickle_id constructor, clipc_pickle_id *out,
                                     clipc_error *error);
clipc_status clipc_pickle_build(clipc_pickle *pickle, clipc_pickle_id object, clipc_pickle_id state,
                                clipc_error *error);
clipc_status clipc_pickle_load_storage(clipc_pickle *pickle, clipc_pickle_id persistent, clipc_pickle_id *out,
                                       clipc_error *error);

#endif
