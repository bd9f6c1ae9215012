#include "bench_files.h"

#include "inputs.h"
#include "message.h"
#include "session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNIFF_BYTES  32
#define MOST_THREADS 64

/* A directory may hold files of other kinds; what was named by itself must be an image. */
static bool is_image(const char *path)
{
    char start[SNIFF_BYTES];
    FILE *file = fopen(path, "rbe");
    const size_t size = file ? fread(start, 1, sizeof start, file) : 0;
    if (file)
        fclose(file);
    return size && clipc_image_format(start, size);
}

static void list_images(bench_files *files, const string_list *operands)
{
    input found = {0};
    input_stream *inputs = inputs_create(operands);
    while (inputs_next(inputs, &found)) {
        if (found.failure && !found.skipped)
            quit(STATUS_SYSTEM, "%s: %s", found.path, found.failure);
        if (found.failure || (found.walked && !is_image(found.path))) {
            free(found.path);
            free(found.failure);
            continue;
        }
        files->images = reallocate(files->images, files->image_count + 1, sizeof *files->images);
        files->images[files->image_count++] = found.path;
    }
    inputs_destroy(&inputs);
    if (!files->image_count)
        quit(STATUS_SYSTEM, "bench: there is no image among what --image names");
}

void bench_files_create(bench_files *files, const tool_settings *settings, const clipc_model *model,
                        const clipc_model_info *info, bool text)
{
    *files = (bench_files){.model = model,
                           .options = session_image_options(settings),
                           .threads = session_threads(settings),
                           .context_length = info->context_length};
    if (text) {
        text_list_read(&files->texts, &settings->texts, &settings->text_files);
        if (!files->texts.count)
            quit(STATUS_SYSTEM, "bench: there is no text in the files named");
        return;
    }
    files->as_bytes = session_takes_bytes(settings, model);
    files->image_bytes = 3 * info->image_height * info->image_width * (files->as_bytes ? 1 : sizeof(float));
    list_images(files, &settings->images);
}

void bench_files_free(bench_files *files)
{
    for (size_t i = 0; i < files->image_count; i++)
        free(files->images[i]);
    free(files->images);
    text_list_free(&files->texts);
    *files = (bench_files){0};
}

/* ---- images ---- */

typedef struct preprocess_job {
    const bench_files *files;
    size_t first;
    size_t count;
    uint8_t *pixels;
    atomic_size_t next;
} preprocess_job;

static void *preprocess_images(void *context)
{
    preprocess_job *job = context;
    const bench_files *files = job->files;
    for (size_t i = 0; (i = atomic_fetch_add(&job->next, 1)) < job->count;) {
        const char *path = files->images[(job->first + i) % files->image_count];
        void *pixels = job->pixels + i * files->image_bytes;
        clipc_error error = {0};
        const clipc_status status =
            files->as_bytes ? clipc_model_preprocess_file_bytes(files->model, path, &files->options, pixels, &error)
                            : clipc_model_preprocess_file(files->model, path, &files->options, pixels, &error);
        if (status != CLIPC_OK)
            quit_failed(&error);
    }
    return NULL;
}

void bench_files_preprocess(const bench_files *files, size_t first, size_t count, void *pixels)
{
    pthread_t threads[MOST_THREADS];
    preprocess_job job = {.files = files, .first = first, .count = count, .pixels = pixels};
    size_t started = 0;
    while (started + 1 < files->threads && started + 1 < count && started < MOST_THREADS) {
        if (pthread_create(&threads[started], NULL, preprocess_images, &job) != 0)
            break; /* those that there are do it all */
        started++;
    }
    preprocess_images(&job);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

/* ---- texts ---- */

void bench_files_tokenize(const bench_files *files, size_t first, size_t count, int32_t *ids, size_t *offsets)
{
    offsets[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const text_line *text = &files->texts.items[(first + i) % files->texts.count];
        size_t length = 0;
        clipc_error error = {0};
        if (clipc_model_tokenize(files->model, text->bytes, text->length, ids + offsets[i], &length, &error) !=
            CLIPC_OK)
            quit_failed(&error);
        offsets[i + 1] = offsets[i] + length;
    }
}
