/* How well the steps of a tower split over many threads, computed without running them: pieces are handed out one
 * after another to whichever thread is free, as the pool does. */
#include "backend/cpu/encoder.h"
#include "backend/cpu/work_split.h"

/* What cmocka.h needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MOST_THREADS 64
#define MOST_ITEMS   32

/* The longest load over the mean of a step in which every thread has at least four pieces. Equal pieces can do no
 * worse than 5 : 4; attention's are unequal, and the longest captions may come last. */
#define STEP_BOUND      1.25
#define ATTENTION_BOUND 1.40

/* The same of all steps of a layer together, from MANY_ROWS rows on. */
#define LAYER_BOUND 1.10
#define MANY_ROWS   250

struct shape {
    const char *name;
    const char *architecture;
    bool text;
    size_t items;
    size_t least_tokens; /* of a caption; lengths go evenly up to most_tokens */
    size_t most_tokens;
};

static const struct shape shapes[] = {
    {"ViT-B/32, 1 image", "ViT-B-32", false, 1, 0, 0},
    {"ViT-B/32, 8 images", "ViT-B-32", false, 8, 0, 0},
    {"ViT-B/32, 32 images", "ViT-B-32", false, 32, 0, 0},
    {"ViT-L/14, 1 image", "ViT-L-14", false, 1, 0, 0},
    {"ViT-L/14, 8 images", "ViT-L-14", false, 8, 0, 0},
    {"ViT-L/14, 32 images", "ViT-L-14", false, 32, 0, 0},
    {"ViT-B/32, 1 caption of 12", "ViT-B-32", true, 1, 12, 12},
    {"ViT-B/32, 8 captions of 12", "ViT-B-32", true, 8, 12, 12},
    {"ViT-B/32, 32 captions of 12", "ViT-B-32", true, 32, 12, 12},
    {"ViT-B/32, 32 captions of 5 to 40", "ViT-B-32", true, 32, 5, 40},
};

/* The time of one or more steps that follow one another, and the time it would be if the threads were always busy. */
struct balance {
    double longest;
    double mean;
};

struct machine {
    size_t threads;
    double load[MOST_THREADS];
};

static void hand_out(struct machine *machine, double cost)
{
    size_t free_first = 0;
    for (size_t thread = 1; thread < machine->threads; thread++)
        if (machine->load[thread] < machine->load[free_first])
            free_first = thread;
    machine->load[free_first] += cost;
}

/* Adds a finished step to the sum of its layer. */
static void finish_step(struct machine *machine, size_t pieces, double bound, struct balance *layer)
{
    struct balance step = {0, 0};
    for (size_t thread = 0; thread < machine->threads; thread++) {
        step.mean += machine->load[thread] / (double)machine->threads;
        step.longest = machine->load[thread] > step.longest ? machine->load[thread] : step.longest;
        machine->load[thread] = 0;
    }
    if (pieces >= 4 * machine->threads && step.longest > bound * step.mean)
        fail_msg("%zu pieces on %zu threads: %.2f times the mean", pieces, machine->threads, step.longest / step.mean);
    layer->longest += step.longest;
    layer->mean += step.mean;
}

static void add_product(struct machine *machine, clipc_row_tiles tiles, size_t tile_rows, size_t tile_columns,
                        size_t inner, size_t outputs, struct balance *layer)
{
    const clipc_gemm_split split =
        clipc_gemm_split_make(tiles, outputs / tile_columns, tile_rows * inner * sizeof(float), 0, machine->threads);
    size_t rows = 0;
    for (size_t piece = 0; piece < clipc_gemm_pieces(&split); piece++) {
        const clipc_gemm_piece it = clipc_gemm_piece_at(&split, piece);
        assert_true(it.first_tile < it.end_tile);
        rows += clipc_row_tiles_begin(tiles, it.end_tile) - clipc_row_tiles_begin(tiles, it.first_tile);
        hand_out(machine, (double)(clipc_gemm_piece_cost(&split, piece) * inner * tile_columns));
    }
    assert_int_equal(rows, tiles.rows * split.panels); /* every row meets every panel, once */
    finish_step(machine, clipc_gemm_pieces(&split), STEP_BOUND, layer);
}

static void add_attention(struct machine *machine, const clipc_attention_split *split, size_t head_width,
                          struct balance *layer)
{
    size_t queries = 0;
    for (size_t piece = 0; piece < clipc_attention_pieces(split); piece++) {
        const clipc_attention_piece it = clipc_attention_piece_at(split, piece);
        queries += clipc_row_tiles_begin(it.tiles, it.end_tile) - clipc_row_tiles_begin(it.tiles, it.first_tile);
        hand_out(machine, (double)(2 * clipc_attention_piece_cost(split, piece) * head_width));
    }
    assert_int_equal(queries, split->offsets[split->items] * split->heads);
    finish_step(machine, clipc_attention_pieces(split), ATTENTION_BOUND, layer);
}

/* Four passes over a row, as much as four multiply-adds a value. */
static void add_rows(struct machine *machine, size_t rows, size_t width, struct balance *layer)
{
    const size_t grain = clipc_row_grain(rows, machine->threads);
    for (size_t row = 0; row < rows; row += grain)
        hand_out(machine, (double)(4 * clipc_min(grain, rows - row) * width));
    finish_step(machine, (rows - 1) / grain + 1, STEP_BOUND, layer);
}

/* The first micro-batch: as many items as the workspace takes. */
static size_t place_items(const struct shape *shape, const clipc_config *config, size_t offsets[MOST_ITEMS + 1])
{
    const clipc_tower_config *tower = shape->text ? &config->text : &config->image;
    const size_t row_bytes = (2 * tower->width + clipc_max(3 * tower->width, tower->mlp_width)) * sizeof(float);
    size_t items = 0;
    offsets[0] = 0;
    while (items < shape->items) {
        const size_t tokens = shape->text ? shape->least_tokens + (shape->most_tokens - shape->least_tokens) * items /
                                                                      clipc_max(shape->items - 1, 1)
                                          : config->image_tokens;
        if (items > 0 && (offsets[items] + tokens) * row_bytes > CLIPC_ACTIVATION_BUDGET)
            break;
        offsets[items + 1] = offsets[items] + tokens;
        items++;
    }
    return items;
}

/* One layer; all but the last are alike. */
static struct balance simulate(const struct shape *shape, size_t tile_rows, size_t tile_columns, size_t threads,
                               size_t *rows)
{
    clipc_config config;
    assert_true(clipc_architecture_find(shape->architecture, &config));
    const clipc_tower_config *tower = shape->text ? &config.text : &config.image;
    const size_t width = tower->width;
    size_t offsets[MOST_ITEMS + 1];
    const size_t items = place_items(shape, &config, offsets);
    *rows = offsets[items];
    struct machine machine = {.threads = threads};
    const clipc_row_tiles tiles = clipc_row_tiles_for_threads(*rows, tile_rows, width / tile_columns, threads);
    const clipc_attention_split attention =
        clipc_attention_split_make(items, tower->heads, offsets, tile_rows, shape->text, false, threads);
    struct balance sum = {0, 0};
    add_rows(&machine, *rows, width, &sum);
    add_product(&machine, tiles, tile_rows, tile_columns, width, 3 * width, &sum);
    add_attention(&machine, &attention, width / tower->heads, &sum);
    add_product(&machine, tiles, tile_rows, tile_columns, width, width, &sum);
    add_rows(&machine, *rows, width, &sum);
    add_product(&machine, tiles, tile_rows, tile_columns, width, tower->mlp_width, &sum);
    add_product(&machine, tiles, tile_rows, tile_columns, tower->mlp_width, width, &sum);
    return sum;
}

static void check_tile(size_t tile_rows, size_t tile_columns)
{
    printf(
        "Longest load over the mean, all steps of a layer, tile of %zu x %zu; speed-up over one thread in brackets\n"
        "%-33s",
        tile_rows, tile_columns, "threads");
    const size_t shown[] = {2, 4, 8, 16, 32, 48, 64};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        printf(" %11zu", shown[i]);
    printf("\n");
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        printf("%-33s", shapes[s].name);
        size_t rows = 0;
        const double alone = simulate(&shapes[s], tile_rows, tile_columns, 1, &rows).longest;
        size_t next = 0;
        for (size_t threads = 1; threads <= MOST_THREADS; threads++) {
            const struct balance it = simulate(&shapes[s], tile_rows, tile_columns, threads, &rows);
            if (rows >= MANY_ROWS && it.longest > LAYER_BOUND * it.mean)
                fail_msg("%s on %zu threads: %.2f times the mean", shapes[s].name, threads, it.longest / it.mean);
            if (threads == shown[next]) {
                printf("  %4.2f (%4.1f)", it.longest / it.mean, alone / it.longest);
                next++;
            }
        }
        printf("\n");
    }
}

static void loads_are_even(void **state)
{
    (void)state;
    check_tile(CLIPC_GEMM_ROWS__avx512, CLIPC_GEMM_COLUMNS__avx512);
    check_tile(CLIPC_GEMM_ROWS__avx2, CLIPC_GEMM_COLUMNS__avx2);
}

/* Odd shapes: nothing is left out or done twice. */
static void every_piece_is_handed_out_once(void **state)
{
    (void)state;
    for (size_t rows = 1; rows < 200; rows += 7)
        for (size_t threads = 1; threads <= MOST_THREADS; threads += 9) {
            const clipc_row_tiles tiles = clipc_row_tiles_for_threads(rows, 14, 3, threads);
            assert_true(tiles.tiles >= 1 && tiles.tiles <= rows);
            for (size_t panels = 1; panels < 5; panels++) {
                const clipc_gemm_split split = clipc_gemm_split_make(tiles, panels, 1 << 16, 0, threads);
                size_t done = 0;
                for (size_t piece = 0; piece < clipc_gemm_pieces(&split); piece++) {
                    const clipc_gemm_piece it = clipc_gemm_piece_at(&split, piece);
                    done += it.end_tile - it.first_tile;
                }
                assert_int_equal(done, tiles.tiles * panels);
            }
            const size_t offsets[] = {0, rows, rows + 1, 2 * rows + 1};
            for (int causal = 0; causal < 2; causal++) {
                const clipc_attention_split split =
                    clipc_attention_split_make(3, 2, offsets, 14, causal != 0, false, threads);
                size_t queries = 0;
                for (size_t piece = 0; piece < clipc_attention_pieces(&split); piece++) {
                    const clipc_attention_piece it = clipc_attention_piece_at(&split, piece);
                    queries +=
                        clipc_row_tiles_begin(it.tiles, it.end_tile) - clipc_row_tiles_begin(it.tiles, it.first_tile);
                }
                assert_int_equal(queries, 2 * offsets[3]);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_are_even),
        cmocka_unit_test(every_piece_is_handed_out_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
