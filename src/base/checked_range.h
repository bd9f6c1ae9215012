/* What the innermost loops read, checked by AddressSanitizer as a whole before they begin: at each value it takes most
 * of the time of the tests. Elsewhere this is nothing. */
#ifndef CLIPC_BASE_CHECKED_RANGE_H
#define CLIPC_BASE_CHECKED_RANGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CLIPC_ADDRESS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CLIPC_ADDRESS_SANITIZER 1
#endif

#if defined(CLIPC_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>

/* `bytes` bytes of values of 32 bits. A byte that may not be read is read here, so that the sanitizer says where. */
static inline void clipc_check_range(const void *begin, size_t bytes)
{
    const volatile char *bad = __asan_region_is_poisoned((void *)(uintptr_t)begin, bytes);
    if (bad)
        (void)*bad;
    if (bytes)
        (void)*(const volatile uint32_t *)begin; /* aligned */
}

/* A static function that reads nothing but ranges which its caller has checked. */
#define CLIPC_RANGES_ARE_CHECKED __attribute__((no_sanitize("address", "undefined"), noinline, unused))
#else
static inline void clipc_check_range(const void *begin, size_t bytes)
{
    (void)begin;
    (void)bytes;
}

#define CLIPC_RANGES_ARE_CHECKED inline
#endif

#endif
