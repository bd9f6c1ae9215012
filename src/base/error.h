/* Statuses with a sentence: how every function of the library reports failure.
 *
 * A function that can fail returns clipc_status and takes `clipc_error *error` last. With nothing to undo it forwards
 * a failure with CLIPC_TRY; with something to undo it keeps `clipc_status status = CLIPC_OK;` and uses CLIPC_CHECK,
 * which jumps to its one `fail:` label, where the ordinary destroy functions run on what was built so far.
 */
#ifndef CLIPC_BASE_ERROR_H
#define CLIPC_BASE_ERROR_H

#include "clipc/clipc.h"

#include <stdarg.h>

/* Fills *error (when it is not NULL) with the formatted sentence and returns `status`. Bytes of the sentence that are
 * control characters or invalid UTF-8 are shown as \xNN, so that file names and file contents are safe to print. */
__attribute__((format(printf, 3, 4))) clipc_status clipc_fail(clipc_error *error, clipc_status status,
                                                              const char *format, ...);

/* Puts "context: " before the sentence of a failure that is being forwarded. Returns `status`. */
__attribute__((format(printf, 3, 4))) clipc_status clipc_fail_within(clipc_error *error, clipc_status status,
                                                                     const char *context, ...);

#define CLIPC_TRY(call)                                                                                               \
    do {                                                                                                              \
        const clipc_status try_status = (call);                                                                       \
        if (try_status != CLIPC_OK)                                                                                   \
            return try_status;                                                                                        \
    } while (0)

/* In a function with `clipc_status status` and a `fail:` label. */
#define CLIPC_CHECK(call)                                                                                             \
    do {                                                                                                              \
        status = (call);                                                                                              \
        if (status != CLIPC_OK)                                                                                       \
            goto fail;                                                                                                \
    } while (0)

#define CLIPC_FAIL_IF(condition, error, code, ...)                                                                    \
    do {                                                                                                              \
        if (condition)                                                                                                \
            return clipc_fail(error, code, __VA_ARGS__);                                                              \
    } while (0)

#endif
