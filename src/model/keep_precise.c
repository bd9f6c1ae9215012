#include "model/keep_precise.h"

#include "base/checked.h"

#include <string.h>

/* One pattern of a list. */
struct item {
    const char *pattern;
    size_t length;
    const char *precision; /* the word after =; NULL: none */
    size_t precision_length;
};

/* The item that begins at *list, which moves behind it; false at the end. */
static bool next_item(const char **list, struct item *out)
{
    const char *begin = *list;
    if (!begin || !*begin)
        return false;
    const char *end = begin + strcspn(begin, ",");
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    const char *stop = equals ? equals : end;
    *out = (struct item){.pattern = begin, .length = (size_t)(stop - begin)};
    if (equals) {
        out->precision = equals + 1;
        out->precision_length = (size_t)(end - equals - 1);
    }
    *list = *end ? end + 1 : end;
    return true;
}

/* Whether the whole of `text` is what the pattern says: one star at a time is tried longer and longer. */
static bool matches(const char *pattern, size_t length, const char *text)
{
    const char *star = NULL;
    const char *retry = NULL;
    const char *end = pattern + length;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (pattern < end && *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

/* "image.layers.3.fc2" as "image.3.fc2"; false when the name has no such part. */
static bool shorten(const char *name, char out[CLIPC_LINEAR_NAME])
{
    static const char part[] = ".layers.";
    const char *found = strstr(name, part);
    if (!found || strlen(name) >= CLIPC_LINEAR_NAME)
        return false;
    const size_t head = (size_t)(found - name) + 1;
    memcpy(out, name, head);
    memcpy(out + head, found + sizeof part - 1, strlen(found + sizeof part - 1) + 1);
    return true;
}

static bool names(const struct item *item, const char *name)
{
    char brief[CLIPC_LINEAR_NAME];
    return matches(item->pattern, item->length, name) ||
           (shorten(name, brief) && matches(item->pattern, item->length, brief));
}

static bool is_word(const struct item *item, const char *word)
{
    return item->precision_length == strlen(word) && memcmp(item->precision, word, item->precision_length) == 0;
}

/* AUTO when the word after = is none of the two. */
static clipc_precision precision_of(const struct item *item, clipc_precision engine)
{
    if (!item->precision)
        return engine == CLIPC_PRECISION_INT8 ? CLIPC_PRECISION_BF16 : CLIPC_PRECISION_FP32;
    return is_word(item, "fp32")   ? CLIPC_PRECISION_FP32
           : is_word(item, "bf16") ? CLIPC_PRECISION_BF16
                                   : CLIPC_PRECISION_AUTO;
}

/* fp32 above bf16 above int8. */
static int rank(clipc_precision precision)
{
    return precision == CLIPC_PRECISION_FP32 ? 3 : precision == CLIPC_PRECISION_BF16 ? 2 : precision ? 1 : 0;
}

clipc_precision clipc_keep_precise_of(const char *list, const char *name, clipc_precision precision)
{
    clipc_precision found = CLIPC_PRECISION_AUTO;
    for (struct item item; next_item(&list, &item);) {
        const clipc_precision wanted = precision_of(&item, precision);
        if (rank(wanted) > rank(found) && names(&item, name))
            found = wanted;
    }
    return found;
}

static bool names_any(const struct item *item, const clipc_config *config, const clipc_weights *weights)
{
    for (int image = 0; image < 2; image++)
        for (size_t i = 0; i < clipc_linear_count(config, image); i++) {
            const clipc_linear linear = clipc_linear_at(config, weights, image, i);
            if (names(item, linear.name))
                return true;
        }
    return false;
}

bool clipc_keep_precise_names(const char *list, const char *name)
{
    for (struct item item; next_item(&list, &item);)
        if (names(&item, name))
            return true;
    return false;
}

clipc_status clipc_keep_precise_check_halves(const char *list, const clipc_config *config,
                                             const clipc_weights *weights, clipc_precision precision,
                                             clipc_error *error)
{
    CLIPC_FAIL_IF(list && *list && precision != CLIPC_PRECISION_FP8 && precision != CLIPC_PRECISION_INT8, error,
                  CLIPC_ERROR_ARGUMENT,
                  "keep_precise: on a device layers are kept in fp16, in engines of fp8 and int8, and this one is %s",
                  clipc_precision_name(precision));
    for (struct item item; next_item(&list, &item);) {
        const int length = (int)clipc_min(item.length, 64);
        CLIPC_FAIL_IF(item.precision && !is_word(&item, "fp16"), error, CLIPC_ERROR_ARGUMENT,
                      "keep_precise: '%.*s' is to be kept in '%.*s', and on a device layers are kept in fp16", length,
                      item.pattern, (int)clipc_min(item.precision_length, 16), item.precision);
        CLIPC_FAIL_IF(!names_any(&item, config, weights), error, CLIPC_ERROR_ARGUMENT,
                      "keep_precise: '%.*s' names no linear layer of the model (such as image.0.fc2 or "
                      "text.*.query_key_value)",
                      length, item.pattern);
    }
    return CLIPC_OK;
}

static bool has_star(const struct item *item)
{
    return memchr(item->pattern, '*', item->length) != NULL;
}

/* Whether two names without stars, which say it with and without "layers.", mean one layer. */
static bool name_one(const struct item *a, const struct item *b, const clipc_config *config,
                     const clipc_weights *weights)
{
    for (int image = 0; image < 2; image++)
        for (size_t i = 0; i < clipc_linear_count(config, image); i++) {
            const clipc_linear linear = clipc_linear_at(config, weights, image, i);
            if (names(a, linear.name) && names(b, linear.name))
                return true;
        }
    return false;
}

/* Of patterns the more precise counts; a layer that is named twice must be told the same. */
static clipc_status check_agreement(const char *list, const clipc_config *config, const clipc_weights *weights,
                                    clipc_precision precision, clipc_error *error)
{
    for (struct item item; next_item(&list, &item);) {
        const char *rest = list;
        for (struct item other; !has_star(&item) && next_item(&rest, &other);)
            CLIPC_FAIL_IF(!has_star(&other) && precision_of(&item, precision) != precision_of(&other, precision) &&
                              name_one(&item, &other, config, weights),
                          error, CLIPC_ERROR_ARGUMENT,
                          "keep_precise: '%.*s' and '%.*s' are one layer, and are to be kept in %s and %s",
                          (int)clipc_min(item.length, 64), item.pattern, (int)clipc_min(other.length, 64),
                          other.pattern, clipc_precision_name(precision_of(&item, precision)),
                          clipc_precision_name(precision_of(&other, precision)));
    }
    return CLIPC_OK;
}

clipc_status clipc_keep_precise_check(const char *list, const clipc_config *config, const clipc_weights *weights,
                                      clipc_precision precision, clipc_error *error)
{
    const char *begin = list;
    CLIPC_FAIL_IF(list && *list && precision == CLIPC_PRECISION_FP32, error, CLIPC_ERROR_ARGUMENT,
                  "keep_precise: nothing is more precise than fp32, which the whole engine has");
    for (struct item item; next_item(&list, &item);) {
        const int length = (int)clipc_min(item.length, 64);
        const clipc_precision wanted = precision_of(&item, precision);
        CLIPC_FAIL_IF(wanted == CLIPC_PRECISION_AUTO, error, CLIPC_ERROR_ARGUMENT,
                      "keep_precise: '%.*s' is to be kept in '%.*s', which is neither fp32 nor bf16", length,
                      item.pattern, (int)clipc_min(item.precision_length, 16), item.precision);
        CLIPC_FAIL_IF(rank(wanted) <= rank(precision), error, CLIPC_ERROR_ARGUMENT,
                      "keep_precise: '%.*s' is to be kept in %s, which is not above the engine's %s", length,
                      item.pattern, clipc_precision_name(wanted), clipc_precision_name(precision));
        CLIPC_FAIL_IF(!names_any(&item, config, weights), error, CLIPC_ERROR_ARGUMENT,
                      "keep_precise: '%.*s' names no linear layer of the model (such as image.0.fc2 or "
                      "text.*.query_key_value)",
                      length, item.pattern);
    }
    return check_agreement(begin, config, weights, precision, error);
}
