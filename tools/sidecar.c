#include "sidecar.h"

#include "json_line.h"
#include "message.h"
#include "output.h"
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COPY_BLOCK ((size_t)1 << 16)

/* The list of skipped inputs comes after the rows: it waits in an unnamed file, since it may be long. */
struct sidecar_file {
    output_file *output;
    FILE *skipped;
    size_t rows;
};

sidecar_file *sidecar_open(const char *array_path)
{
    sidecar_file *created = allocate(1, sizeof *created);
    char *path = format_text("%s.json", array_path);
    created->output = output_open(path);
    free(path);
    return created;
}

json_t *sidecar_head(const clipc_model_info *model, const tool_settings *images)
{
    json_t *head = json_object();
    json_put(head, "clipc", json_string(clipc_version()));
    json_put(head, "model", json_name(session_model_label(model)));
    if (images) {
        json_put(head, "alpha", json_string(images->alpha));
        json_put(head, "exif", json_boolean(images->exif));
    }
    return head;
}

void sidecar_start(sidecar_file *sidecar, json_t *head)
{
    char *text = json_to_text(head);
    text[strlen(text) - 1] = '\0'; /* the object stays open */
    output_text(sidecar->output, text);
    output_text(sidecar->output, ",\n\"rows\":[");
    free(text);
}

void sidecar_row(sidecar_file *sidecar, size_t index, const char *input, size_t length)
{
    json_t *row = json_object();
    json_put(row, "row", json_integer((json_int_t)sidecar->rows));
    json_put(row, "index", json_integer((json_int_t)index));
    json_put(row, "input", json_bytes(input, length));
    char *text = json_to_text(row);
    output_text(sidecar->output, sidecar->rows++ ? ",\n" : "\n");
    output_text(sidecar->output, text);
    free(text);
}

static _Noreturn void quit_temporary(void)
{
    quit(STATUS_SYSTEM, "temporary file: %s", strerror(errno));
}

void sidecar_skip(sidecar_file *sidecar, size_t index, const char *input, size_t length, const char *reason)
{
    const char *separator = sidecar->skipped ? ",\n" : "\n";
    if (!sidecar->skipped && !(sidecar->skipped = tmpfile()))
        quit_temporary();
    json_t *entry = json_object();
    json_put(entry, "index", json_integer((json_int_t)index));
    json_put(entry, "input", json_bytes(input, length));
    json_put(entry, "reason", json_name(reason));
    char *text = json_to_text(entry);
    if (fputs(separator, sidecar->skipped) == EOF || fputs(text, sidecar->skipped) == EOF)
        quit_temporary();
    free(text);
}

static void copy_skipped(sidecar_file *sidecar)
{
    if (!sidecar->skipped)
        return;
    char *block = allocate(COPY_BLOCK, 1);
    if (fflush(sidecar->skipped) != 0 || fseeko(sidecar->skipped, 0, SEEK_SET) != 0)
        quit_temporary();
    for (size_t size = 0; (size = fread(block, 1, COPY_BLOCK, sidecar->skipped));)
        output_write(sidecar->output, block, size);
    if (ferror(sidecar->skipped))
        quit_temporary();
    fclose(sidecar->skipped);
    free(block);
}

static void finish(sidecar_file *sidecar)
{
    output_text(sidecar->output, "\n],\n\"skipped\":[");
    copy_skipped(sidecar);
    output_text(sidecar->output, "\n]}\n");
    output_close(sidecar->output);
}

static void publish(sidecar_file **sidecar)
{
    output_publish(&(*sidecar)->output);
    free(*sidecar);
    *sidecar = NULL;
}

static void discard(sidecar_file **sidecar)
{
    if (!*sidecar)
        return;
    output_discard(&(*sidecar)->output);
    free(*sidecar);
    *sidecar = NULL;
}

void outputs_finish(npy_writer **array, sidecar_file **sidecar, bool failed, const char *path)
{
    npy_writer_close(*array);
    if (*sidecar)
        finish(*sidecar);
    if (failed && npy_writer_count(*array) == 0 && npy_writer_replaces(*array)) {
        message_note("%s: left as it was, since there is no row to write", path);
        npy_writer_discard(array);
        discard(sidecar);
        return;
    }
    npy_writer_publish(array);
    if (*sidecar)
        publish(sidecar);
}
