/* No input may make the library allocate more than four times the file's size and 64 MiB. Every target is linked so
 * that it is watched while it runs (allocation_limit.c): an input that passes the bound stops it where it did. */
#ifndef CLIPC_FUZZ_ALLOCATION_LIMIT_H
#define CLIPC_FUZZ_ALLOCATION_LIMIT_H

#include <stddef.h>

/* Where the file that is read is not the input itself: its size. What is already held goes on counting. */
void set_file_size(size_t size);
/* What follows is the target's own and not counted. */
void stop_watching(void);

#endif
