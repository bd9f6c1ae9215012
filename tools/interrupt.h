/* Ctrl-C, and the temporary files that must not outlive the program. */
#ifndef CLIPC_TOOLS_INTERRUPT_H
#define CLIPC_TOOLS_INTERRUPT_H

#include <stdbool.h>
#include <stddef.h>

/* From now on SIGINT, SIGQUIT, SIGTERM and SIGHUP remove the temporary files and end the program with 128 + the signal
 * (130 for Ctrl-C), whatever it is doing; SIGPIPE and SIGXFSZ are ignored, so that writing to a closed pipe, or past
 * the size a file may have, is an ordinary error. */
void interrupt_install(void);

/* Makes a new file from a template that ends in XXXXXX, as mkstemp does, and remembers it. Returns its descriptor, or
 * -1 with errno. *slot is what temporary_forget wants. */
int temporary_create(char *path_template, size_t *slot);
/* True when the path's last name is that of a remembered file: those names are random. */
bool temporary_is_ours(const char *path);
/* Makes a directory, as mkdir does, and remembers it, to be removed with the temporary files if it is empty then. */
int directory_create(const char *path);
/* Once it has been renamed or removed. */
void temporary_forget(size_t slot);
/* Removes those that are left, and the directories that were made and are empty. Safe in a signal handler. */
void temporaries_remove(void);

#endif
