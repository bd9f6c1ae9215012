/* What the program says on standard error, and how it ends early. */
#ifndef CLIPC_TOOLS_MESSAGE_H
#define CLIPC_TOOLS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses: a contract with scripts. */
enum {
    STATUS_DONE = 0,
    STATUS_INPUT =
        1, /* some named inputs failed, the rest are done; or a gate or limit was missed, or two models differ */
    STATUS_USAGE = 2,  /* the command line is wrong */
    STATUS_SYSTEM = 3, /* model, output or system error */
    STATUS_INTERRUPTED = 130
};

typedef enum message_level { MESSAGE_QUIET, MESSAGE_NORMAL, MESSAGE_VERBOSE } message_level;

void message_set_level(message_level level);
message_level message_get_level(void);

/* Prints "clipc: …" and a line break, unless the level was set lower. Control characters and invalid UTF-8 in the text
 * are shown as \xNN. Called on the main thread only, as it takes turns with the progress bar. */
__attribute__((format(printf, 2, 3))) void message_print(message_level level, const char *format, ...);

#define message_error(...)  message_print(MESSAGE_QUIET, __VA_ARGS__)   /* always */
#define message_note(...)   message_print(MESSAGE_NORMAL, __VA_ARGS__)  /* unless --quiet */
#define message_detail(...) message_print(MESSAGE_VERBOSE, __VA_ARGS__) /* with --verbose */

/* Prints the sentence, removes temporary files and ends the program at once. Any thread may call it. */
__attribute__((format(printf, 2, 3))) _Noreturn void quit(int status, const char *format, ...);

/* Memory for the program's own small needs: it cannot go on without. */
void *allocate(size_t count, size_t size);
void *reallocate(void *block, size_t count, size_t size);
char *duplicate(const char *text);
/* A formatted string that the caller frees. */
__attribute__((format(printf, 1, 2))) char *format_text(const char *format, ...);

#endif
