/* How long a process takes until it could encode, and what memory it then has to itself.
 *
 *     engine_ready MODEL PRECISION BEGIN BATCH
 *
 * BEGIN is CLOCK_MONOTONIC in nanoseconds when the process was asked for. Prints one JSON object: milliseconds from
 * BEGIN to the open model and to the engine (both towers), processor time and page faults of the process until then,
 * milliseconds of the first image after that, and, once BATCH images were encoded, the mebibytes of private memory, of
 * file pages mapped (the page cache is everyone's), of those that another process has mapped too, and of workspace.
 * Then it waits for its input to end, so that others can run beside it. */
#include "base/memory.h"
#include "clipc/clipc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double milliseconds(struct timeval time)
{
    return (double)time.tv_sec * 1e3 + (double)time.tv_usec / 1e3;
}

/* The sum of the lines of the process's memory map that begin with `prefix`, in MiB. */
static double memory_mib(const char *prefix)
{
    char line[256];
    double sum = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            sum += strtod(strchr(line, ':') + 1, NULL) / 1024;
    if (file)
        fclose(file);
    return sum;
}

static clipc_precision parse_precision(const char *name)
{
    clipc_precision precision = CLIPC_PRECISION_AUTO;
    while (strcmp(clipc_precision_name(precision), name) != 0 && precision < CLIPC_PRECISION_FP8)
        precision++;
    return precision;
}

static clipc_status run(const char *path, const char *precision, double begin, size_t batch, clipc_error *error)
{
    clipc_model *model = NULL;
    clipc_engine *engine = NULL;
    float *pixels = NULL;
    float *embedding = NULL;
    clipc_engine_config config;
    clipc_model_info model_info = {.size = sizeof model_info};
    clipc_engine_info info = {.size = sizeof info};
    clipc_engine_config_init(&config);
    config.precision = parse_precision(precision);
    clipc_status status = clipc_model_open(path, NULL, &model, error);
    const double opened = now_ms();
    if (status == CLIPC_OK)
        status = clipc_engine_create(model, &config, &engine, error);
    const double ready = now_ms();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (status == CLIPC_OK)
        status = clipc_model_get_info(model, &model_info, error);
    if (status == CLIPC_OK)
        status = clipc_engine_get_info(engine, &info, error);
    if (status == CLIPC_OK) {
        /* Pages that are only read stay one page of zeros: the input counts for nothing. */
        pixels = clipc_allocate(batch * 3 * model_info.image_height * model_info.image_width, sizeof *pixels);
        embedding = clipc_allocate(batch * model_info.embedding_dimension, sizeof *embedding);
        status = pixels && embedding ? clipc_engine_encode_images(engine, pixels, 1, 0, embedding, error)
                                     : CLIPC_ERROR_MEMORY;
    }
    const double encoded = now_ms();
    if (status == CLIPC_OK)
        status = clipc_engine_encode_images(engine, pixels, batch, 0, embedding, error);
    if (status == CLIPC_OK) {
        printf("{\"opened_ms\": %.2f, \"ready_ms\": %.2f, \"user_ms\": %.1f, \"system_ms\": %.1f, \"faults\": %ld, ",
               opened - begin, ready - begin, milliseconds(usage.ru_utime), milliseconds(usage.ru_stime),
               usage.ru_minflt + usage.ru_majflt);
        printf("\"first_image_ms\": %.2f, \"private_mib\": %.1f, \"mapped_mib\": %.1f, \"shared_mib\": %.1f, "
               "\"workspace_mib\": %.1f, \"packed_mib\": %.1f, \"precision\": \"%s\", \"isa\": \"%s\"}\n",
               encoded - ready, memory_mib("Private_Dirty"), memory_mib("Rss") - memory_mib("Private_Dirty"),
               memory_mib("Shared_Clean"), (double)info.workspace_bytes / (1 << 20),
               (double)info.packed_bytes / (1 << 20), clipc_precision_name(info.precision), info.isa);
        fflush(stdout);
        while (getchar() != EOF)
            continue;
    }
    clipc_free(pixels);
    clipc_free(embedding);
    clipc_engine_destroy(&engine);
    clipc_model_destroy(&model);
    return status;
}

int main(int argc, char **argv)
{
    clipc_error error = {0};
    if (argc != 5) {
        fprintf(stderr, "usage: engine_ready MODEL PRECISION BEGIN BATCH\n");
        return 2;
    }
    if (run(argv[1], argv[2], strtod(argv[3], NULL) / 1e6, strtoul(argv[4], NULL, 10), &error) != CLIPC_OK) {
        fprintf(stderr, "engine_ready: %s\n", error.message);
        return 1;
    }
    return 0;
}
