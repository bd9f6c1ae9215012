/* From token ids to a text tower's rows. */
#include "api/text_rows.h"
#include "model/token_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define VOCABULARY 10
#define CONTEXT    5
#define MOST       (CONTEXT + 2)
#define END        9

static clipc_config config_of(bool class_token, bool causal, clipc_text_pooling pooling)
{
    clipc_config config = clipc_config_clip();
    config.vocabulary_size = VOCABULARY;
    config.max_positions = CONTEXT + (class_token ? 1 : 0);
    config.text_class_token = class_token;
    config.causal = causal;
    config.pooling = pooling;
    config.eot_token = END;
    return config;
}

/* `expected` holds pairs of id and position. */
static void check_places(const clipc_config *config, const int32_t *ids, size_t length, const size_t (*expected)[2],
                         size_t count)
{
    int32_t rows[MOST];
    assert_int_equal(clipc_text_rows(config, ids, length, CONTEXT, rows), count);
    assert_true(count <= clipc_config_text_rows(config));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(clipc_token_place_id(VOCABULARY, rows[i]), expected[i][0]);
        assert_int_equal(clipc_token_place_position(VOCABULARY, rows[i]), expected[i][1]);
    }
}

static void cuts_where_attention_is_causal(void **state)
{
    (void)state;
    static const struct {
        clipc_text_pooling pooling;
        size_t kept;
    } cases[] = {{CLIPC_POOL_FIRST_EOT, 3}, {CLIPC_POOL_LARGEST_ID, 3}, {CLIPC_POOL_LAST, 4}, {CLIPC_POOL_FIRST, 1}};
    const int32_t ids[] = {8, 1, END, 0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const clipc_config config = config_of(false, true, cases[i].pooling);
        int32_t rows[MOST];
        assert_int_equal(clipc_text_rows(&config, ids, 4, CONTEXT, rows), cases[i].kept);
        assert_memory_equal(rows, ids, cases[i].kept * sizeof *ids);
    }
}

/* The row after a pad token is not seen, that of the pad token is. */
static void masks_as_coca_does(void **state)
{
    (void)state;
    const clipc_config config = config_of(true, true, CLIPC_POOL_LAST);
    const size_t padded[][2] = {{8, 0}, {END, 1}, {0, 2}, {VOCABULARY, CONTEXT}};
    check_places(&config, (const int32_t[]){8, END}, 2, padded, 4);
    const size_t inner[][2] = {{8, 0}, {0, 1}, {END, 3}, {0, 4}, {VOCABULARY, CONTEXT}};
    check_places(&config, (const int32_t[]){8, 0, 2, END}, 4, inner, 5);
    const size_t full[][2] = {{8, 0}, {1, 1}, {2, 2}, {3, 3}, {END, 4}, {VOCABULARY, CONTEXT}, {VOCABULARY, CONTEXT}};
    check_places(&config, (const int32_t[]){8, 1, 2, 3, END}, 5, full, 7);
}

static void puts_the_pooled_row_last(void **state)
{
    (void)state;
    const clipc_config largest = config_of(false, false, CLIPC_POOL_LARGEST_ID);
    const size_t rows[][2] = {{8, 0}, {2, 1}, {0, 3}, {0, 4}, {END, 2}};
    check_places(&largest, (const int32_t[]){8, 2, END}, 3, rows, 5);
    const clipc_config first = config_of(false, false, CLIPC_POOL_FIRST);
    const size_t turned[][2] = {{2, 1}, {END, 2}, {0, 3}, {0, 4}, {8, 0}};
    check_places(&first, (const int32_t[]){8, 2, END}, 3, turned, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_where_attention_is_causal),
        cmocka_unit_test(masks_as_coca_does),
        cmocka_unit_test(puts_the_pooled_row_last),
    };
    return cmocka_run_group_tests_name("text_rows", tests, NULL, NULL);
}
