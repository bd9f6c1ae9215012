/* malloc and its kin, and pthread_create, counted and made to fail at will. */
#ifndef CLIPC_TESTS_FAILING_ALLOCATOR_H
#define CLIPC_TESTS_FAILING_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the n-th call fails (n counts from 1; 0: none does), and with `rest` every one after it too. */
void failing_allocator_arm(size_t n, bool rest);
/* Calls since it was armed. */
size_t failing_allocator_calls(void);
/* Blocks that are allocated and not yet freed. */
ptrdiff_t failing_allocator_blocks(void);

#endif
