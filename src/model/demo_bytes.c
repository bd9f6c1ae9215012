/* The embedded files, taken in by the assembler: 24 MB as a C array would take minutes to compile. The build gives the
 * paths and makes this file depend on them. */
#include "model/demo.h"

#define EMBED(name, path)                                                                                             \
    __asm__(".pushsection .rodata,\"a\"\n"                                                                            \
            ".balign 64\n"                                                                                            \
            ".globl clipc_demo_" name "_begin\n"                                                                      \
            ".hidden clipc_demo_" name "_begin\n"                                                                     \
            "clipc_demo_" name "_begin:\n"                                                                            \
            ".incbin \"" path "\"\n"                                                                                  \
            ".globl clipc_demo_" name "_end\n"                                                                        \
            ".hidden clipc_demo_" name "_end\n"                                                                       \
            "clipc_demo_" name "_end:\n"                                                                              \
            ".byte 0\n"                                                                                               \
            ".popsection\n")

EMBED("config", CLIPC_DEMO_DIRECTORY "/config.json");
EMBED("preprocessor", CLIPC_DEMO_DIRECTORY "/preprocessor_config.json");
EMBED("weights", CLIPC_DEMO_DIRECTORY "/model.safetensors");
EMBED("tokenizer", CLIPC_DEMO_TOKENIZER);
