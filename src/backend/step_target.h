/* Who is told of every step that an engine runs, while somebody asks for it. */
#ifndef CLIPC_BACKEND_STEP_TARGET_H
#define CLIPC_BACKEND_STEP_TARGET_H

#include "clipc/clipc.h"

typedef struct clipc_step_target {
    clipc_step_function function; /* NULL: nobody asks */
    void *user;
} clipc_step_target;

#endif
