/* Whether engines in one process fight over the cores: `two_engines [ARCHITECTURE [THREADS [SECONDS [ROUNDS]]]]` times
 * one engine alone, then two at once, each with THREADS threads and images one by one, and prints what the two do
 * together as a share of what one does, and the processor time an image takes, where spinning for nothing would show
 * even on a machine that has other work. Rounds alternate, so that a noisy machine is noisy for both; the median is
 * what counts. */
#include "clipc/clipc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ENGINES     2
#define ROUNDS_MOST 99

/* An engine with the thread that drives it. */
typedef struct driver {
    clipc_engine *engine;
    float *pixels;
    float *embedding;
    double seconds;
    size_t images;
    double images_per_second;
    pthread_t thread;
} driver;

static double read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void stop(const char *sentence)
{
    fprintf(stderr, "two_engines: %s\n", sentence);
    exit(3);
}

static void *drive(void *argument)
{
    driver *it = argument;
    const double begin = read_clock(CLOCK_MONOTONIC);
    double end = begin;
    size_t images = 0;
    for (; end < begin + it->seconds; end = read_clock(CLOCK_MONOTONIC), images++) {
        clipc_error error;
        if (clipc_engine_encode_images(it->engine, it->pixels, 1, 0, it->embedding, &error) != CLIPC_OK)
            stop(error.message);
    }
    it->images = images;
    it->images_per_second = (double)images / (end - begin);
    return NULL;
}

struct result {
    double images_per_second;
    double processor_ms; /* an image */
};

/* The first `count` engines together. */
static struct result measure(driver *drivers, size_t count)
{
    double sum = 0;
    size_t images = 0;
    const double begin = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]) != 0)
            stop("cannot start a thread");
    for (size_t i = 0; i < count; i++) {
        pthread_join(drivers[i].thread, NULL);
        sum += drivers[i].images_per_second;
        images += drivers[i].images;
    }
    return (struct result){sum, 1e3 * (read_clock(CLOCK_PROCESS_CPUTIME_ID) - begin) / (double)images};
}

static void make_driver(const char *architecture, size_t threads, double seconds, driver *out)
{
    clipc_error error;
    clipc_model *model = NULL;
    clipc_engine_config config;
    clipc_engine_config_init(&config);
    config.threads = threads;
    config.max_batch = 1;
    config.text_tower = 0;
    if (clipc_model_create_random(architecture, 1, NULL, &model, &error) != CLIPC_OK ||
        clipc_engine_create(model, &config, &out->engine, &error) != CLIPC_OK)
        stop(error.message);
    clipc_model_info info = {.size = sizeof info};
    clipc_model_get_info(model, &info, NULL);
    const size_t values = 3 * info.image_height * info.image_width;
    out->pixels = malloc(values * sizeof *out->pixels);
    out->embedding = malloc(info.embedding_dimension * sizeof *out->embedding);
    if (!out->pixels || !out->embedding)
        stop("out of memory");
    for (size_t i = 0; i < values; i++)
        out->pixels[i] = (float)(i % 251) / 125.0f - 1.0f;
    out->seconds = seconds;
    clipc_model_destroy(&model);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_ratios(const char *what, double *ratios, size_t count)
{
    qsort(ratios, count, sizeof *ratios, by_size);
    printf("%s median %.2f, least %.2f, most %.2f\n", what, ratios[count / 2], ratios[0], ratios[count - 1]);
}

int main(int argc, char **argv)
{
    const char *architecture = argc > 1 ? argv[1] : "ViT-B-32";
    const size_t threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const double seconds = argc > 3 ? strtod(argv[3], NULL) : 1;
    const size_t rounds = argc > 4 ? strtoul(argv[4], NULL, 10) : 9;
    if (argc > 5 || !(seconds > 0) || rounds < 1 || rounds > ROUNDS_MOST) {
        fprintf(stderr, "usage: two_engines [ARCHITECTURE [THREADS [SECONDS [ROUNDS]]]]\n");
        return 2;
    }
    driver drivers[ENGINES] = {{0}};
    for (size_t i = 0; i < ENGINES; i++)
        make_driver(architecture, threads, seconds, &drivers[i]);
    double shares[ROUNDS_MOST];
    double costs[ROUNDS_MOST];
    measure(drivers, ENGINES); /* warm */
    for (size_t round = 0; round < rounds; round++) {
        const struct result one = measure(drivers, 1);
        const struct result two = measure(drivers, ENGINES);
        shares[round] = two.images_per_second / one.images_per_second;
        costs[round] = two.processor_ms / one.processor_ms;
        printf("one engine %6.1f images/s, %6.1f processor ms an image; two together %6.1f, %6.1f\n",
               one.images_per_second, one.processor_ms, two.images_per_second, two.processor_ms);
    }
    print_ratios("images/s, two over one:", shares, rounds);
    print_ratios("processor time an image, two over one:", costs, rounds);
    for (size_t i = 0; i < ENGINES; i++) {
        clipc_engine_destroy(&drivers[i].engine);
        free(drivers[i].pixels);
        free(drivers[i].embedding);
    }
    return 0;
}
