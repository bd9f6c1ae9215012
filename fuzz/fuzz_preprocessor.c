/* Any bytes as a preprocessor_config.json, and as a processor_config.json: a rule that is accepted can be told in
 * words, and is the same again, bit for bit, once it has been written and read. */
#include "base/memory.h"
#include "image/preprocess.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Writing a rule twice gives the same text when what was read in between is the same rule. */
static void check_rule(const clipc_preprocess_rule *rule)
{
    clipc_error error;
    clipc_preprocess_rule again;
    char *first = NULL;
    char *second = NULL;
    char words[160];
    for (size_t i = 0; clipc_preprocess_rule_step(rule, i, words); i++)
        if (strlen(words) >= sizeof words || i > 100)
            abort();
    clipc_preprocess_rule_check(rule, 224, 224, "fuzz", &error);
    if (clipc_preprocess_rule_write(rule, &first, &error) != CLIPC_OK ||
        clipc_preprocess_rule_parse(first, strlen(first), "again", &again, &error) != CLIPC_OK ||
        clipc_preprocess_rule_write(&again, &second, &error) != CLIPC_OK || strcmp(first, second) != 0)
        abort();
    clipc_free(first);
    clipc_free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    clipc_preprocess_rule rule;
    clipc_error error;
    bool found = false;
    if (clipc_preprocess_rule_parse(bytes, size, "fuzz", &rule, &error) == CLIPC_OK)
        check_rule(&rule);
    if (clipc_preprocess_rule_parse_nested(bytes, size, "fuzz", &found, &rule, &error) == CLIPC_OK && found)
        check_rule(&rule);
    return 0;
}
