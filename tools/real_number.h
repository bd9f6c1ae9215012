/* Numbers with a fraction on the command line. */
#ifndef CLIPC_TOOLS_REAL_NUMBER_H
#define CLIPC_TOOLS_REAL_NUMBER_H

/* The number that `text` is as a whole; quits with STATUS_USAGE when it is none, or not minimum to maximum. `name` is
 * the option's, without the dashes. */
double real_number(const char *name, const char *text, double minimum, double maximum);

#endif
