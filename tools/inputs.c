#include "inputs.h"

#include "interrupt.h"
#include "lines.h"
#include "message.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A directory being walked: its entries, sorted, those that are directories with a '/' at their end. */
typedef struct level {
    char *path;
    char **names;
    size_t count;
    size_t next;
} level;

/* Directories already entered, an open-addressing table that is never more than half full. */
typedef struct visited_set {
    struct visited {
        dev_t device;
        ino_t inode;
        bool used;
    } * slots;
    size_t capacity;
    size_t count;
} visited_set;

struct input_stream {
    const string_list *operands;
    size_t next_operand;
    level *levels;
    size_t depth;
    size_t level_capacity;
    visited_set visited;
    FILE *list; /* the @LIST or standard input being read */
    bool list_started;
    const char *list_name;
    line_buffer line;
};

input_stream *inputs_create(const string_list *operands)
{
    input_stream *created = allocate(1, sizeof *created);
    created->operands = operands;
    return created;
}

static void close_list(input_stream *inputs)
{
    if (inputs->list && inputs->list != stdin)
        fclose(inputs->list);
    inputs->list = NULL;
    inputs->list_started = false;
}

static void leave_directory(input_stream *inputs)
{
    level *top = &inputs->levels[--inputs->depth];
    for (size_t i = 0; i < top->count; i++)
        free(top->names[i]);
    free(top->names);
    free(top->path);
}

void inputs_destroy(input_stream **inputs)
{
    if (!*inputs)
        return;
    close_list(*inputs);
    while ((*inputs)->depth)
        leave_directory(*inputs);
    free((*inputs)->levels);
    free((*inputs)->visited.slots);
    free((*inputs)->line.bytes);
    free(*inputs);
    *inputs = NULL;
}

/* ---- directories ---- */

static struct visited *visited_slot(visited_set *set, dev_t device, ino_t inode)
{
    size_t at = (size_t)(((uint64_t)inode ^ ((uint64_t)device << 32)) * UINT64_C(0x9E3779B97F4A7C15) >> 20);
    for (;; at++) {
        struct visited *slot = &set->slots[at & (set->capacity - 1)];
        if (!slot->used || (slot->device == device && slot->inode == inode))
            return slot;
    }
}

/* False when the directory has been entered before. */
static bool visit(visited_set *set, dev_t device, ino_t inode)
{
    if (2 * set->count >= set->capacity) {
        visited_set larger = {.capacity = set->capacity ? 2 * set->capacity : 64};
        larger.slots = allocate(larger.capacity, sizeof *larger.slots);
        for (size_t i = 0; i < set->capacity; i++)
            if (set->slots[i].used)
                *visited_slot(&larger, set->slots[i].device, set->slots[i].inode) = set->slots[i];
        larger.count = set->count;
        free(set->slots);
        *set = larger;
    }
    struct visited *slot = visited_slot(set, device, inode);
    if (slot->used)
        return false;
    *slot = (struct visited){.device = device, .inode = inode, .used = true};
    set->count++;
    return true;
}

static char *join(const char *directory, const char *name)
{
    const size_t length = strlen(directory);
    const bool slash = length == 0 || directory[length - 1] != '/';
    return format_text("%s%s%s", directory, slash ? "/" : "", name);
}

static bool is_directory(const char *directory, const struct dirent *entry)
{
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    char *path = join(directory, entry->d_name);
    struct stat info;
    const bool result = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    free(path);
    return result;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct dirent *next_entry(DIR *stream)
{
    errno = 0; /* what tells an error from the end */
    return readdir(stream);
}

/* Returns 0, or the errno that ended the list. The '/' sorts a directory where its paths belong among all paths. */
static int read_entries(DIR *stream, level *out)
{
    size_t capacity = 0;
    for (struct dirent *entry = next_entry(stream); entry; entry = next_entry(stream)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || temporary_is_ours(entry->d_name))
            continue;
        if (out->count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            out->names = reallocate(out->names, capacity, sizeof *out->names);
        }
        out->names[out->count++] = format_text("%s%s", entry->d_name, is_directory(out->path, entry) ? "/" : "");
    }
    const int number = errno;
    if (out->count)
        qsort(out->names, out->count, sizeof *out->names, compare_names);
    return number;
}

static void yield_skipped(input *out, char *path, const char *reason)
{
    *out = (input){.path = path, .failure = duplicate(reason), .skipped = true};
}

static void yield_errno(input *out, char *path, const char *action, int number)
{
    *out = (input){.path = path, .failure = format_text("cannot %s: %s", action, strerror(number))};
}

/* Takes over `path`. Returns true when there is something to tell: the directory cannot be read or was read before. */
static bool enter_directory(input_stream *inputs, char *path, input *out)
{
    DIR *stream = opendir(path);
    struct stat info;
    if (!stream || fstat(dirfd(stream), &info) != 0) {
        const int number = errno;
        if (stream)
            closedir(stream);
        yield_errno(out, path, "open", number);
        return true;
    }
    if (!visit(&inputs->visited, info.st_dev, info.st_ino)) {
        closedir(stream);
        yield_skipped(out, path, "the directory was read already");
        return true;
    }
    if (inputs->depth == inputs->level_capacity) {
        inputs->level_capacity = inputs->level_capacity ? 2 * inputs->level_capacity : 8;
        inputs->levels = reallocate(inputs->levels, inputs->level_capacity, sizeof *inputs->levels);
    }
    level *top = &inputs->levels[inputs->depth++];
    *top = (level){.path = path};
    const int number = read_entries(stream, top);
    closedir(stream);
    if (number)
        yield_errno(out, duplicate(path), "read all of", number); /* and goes on with what was read */
    return number != 0;
}

/* Returns true when it yielded an entry of the innermost directory. */
static bool walk(input_stream *inputs, input *out)
{
    level *top = &inputs->levels[inputs->depth - 1];
    if (top->next == top->count) {
        leave_directory(inputs);
        return false;
    }
    char *name = top->names[top->next++];
    const size_t length = strlen(name);
    if (name[length - 1] == '/') {
        name[length - 1] = '\0';
        return enter_directory(inputs, join(top->path, name), out);
    }
    char *path = join(top->path, name);
    struct stat info;
    if (stat(path, &info) != 0)
        yield_errno(out, path, "open", errno);
    else if (!S_ISREG(info.st_mode)) /* opening a pipe would wait for ever */
        yield_skipped(out, path, "not a regular file");
    else
        *out = (input){.path = path, .walked = true};
    return true;
}

/* ---- lists and operands ---- */

/* A byte order mark before the first line is dropped; empty lines are passed over. */
static bool read_list(input_stream *inputs, input *out)
{
    const line_result result = line_read(inputs->list, &inputs->line);
    if (result != LINE_READ) {
        char *reason = result == LINE_END ? NULL : format_text("cannot read: %s", line_reason(result));
        close_list(inputs);
        if (reason)
            *out = (input){.path = duplicate(inputs->list_name), .failure = reason};
        return reason != NULL;
    }
    const line_buffer *line = &inputs->line;
    const bool marked = !inputs->list_started && strncmp(line->bytes, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;
    const char *path = line->bytes + (marked ? strlen(BYTE_ORDER_MARK) : 0);
    inputs->list_started = true;
    if (path == line->bytes + line->length)
        return false;
    *out = (input){.path = duplicate(path)};
    if (strlen(line->bytes) != line->length)
        out->failure = duplicate("a path cannot hold a NUL byte");
    return true;
}

static bool open_operand(input_stream *inputs, const char *operand, input *out)
{
    if (strcmp(operand, "-") == 0) {
        inputs->list = stdin;
        inputs->list_name = "standard input";
        return false;
    }
    struct stat info;
    if (operand[0] == '@') {
        inputs->list_name = operand + 1;
        inputs->list = fopen(operand + 1, "re");
        if (inputs->list)
            return false;
        yield_errno(out, duplicate(operand + 1), "open", errno);
        return true;
    }
    if (stat(operand, &info) == 0 && S_ISDIR(info.st_mode)) {
        free(inputs->visited.slots); /* what is named twice is wanted twice */
        inputs->visited = (visited_set){0};
        return enter_directory(inputs, duplicate(operand), out);
    }
    *out = (input){.path = duplicate(operand)};
    return true;
}

bool inputs_next(input_stream *inputs, input *out)
{
    for (;;) {
        if (inputs->depth) {
            if (walk(inputs, out))
                return true;
        } else if (inputs->list) {
            if (read_list(inputs, out))
                return true;
        } else if (inputs->next_operand < inputs->operands->count) {
            if (open_operand(inputs, inputs->operands->items[inputs->next_operand++], out))
                return true;
        } else {
            return false;
        }
    }
}

size_t inputs_count(const string_list *operands)
{
    for (size_t i = 0; i < operands->count; i++) {
        const char *operand = operands->items[i];
        struct stat info;
        if (strcmp(operand, "-") == 0 ||
            (operand[0] == '@' && (stat(operand + 1, &info) != 0 || !S_ISREG(info.st_mode))))
            return 0;
    }
    input_stream *walker = inputs_create(operands);
    size_t count = 0;
    for (input found = {0}; inputs_next(walker, &found); count++) {
        free(found.path);
        free(found.failure);
    }
    inputs_destroy(&walker);
    return count;
}
