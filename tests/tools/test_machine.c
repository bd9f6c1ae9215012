/* Clocks, energy and waiting as /proc and /sys tell them, in a folder that stands for /, and a GPU's figures as NVML
 * does, by a library that stands for it. */
#include "gpu_state.h"
#include "message.h"
#include "processor_state.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* What the two files need of message.c. */
void *allocate(size_t count, size_t size)
{
    void *block = calloc(count, size);
    assert_non_null(block);
    return block;
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    assert_true(length >= 0);
    return text;
}

static char root[] = "/tmp/clipc-machine-XXXXXX";

static int make_root(void **state)
{
    (void)state;
    memcpy(root + strlen(root) - 6, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

/* A file below the root, with the folders on the way. */
static void put(const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s", root, path);
    for (char *at = strchr(name + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(name, 0777);
        *at = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int first_core(void)
{
    cpu_set_t usable;
    CPU_ZERO(&usable);
    assert_int_equal(sched_getaffinity(0, sizeof usable, &usable), 0);
    int core = 0;
    while (!CPU_ISSET((size_t)core, &usable))
        core++;
    return core;
}

static void nothing_is_known(void **state)
{
    (void)state;
    const char *source = NULL;
    assert_true(processor_clock(root, &source) == 0);
    assert_true(processor_energy(root) < 0);
    assert_true(processor_waited(root) < 0);
}

static void clocks(void **state)
{
    (void)state;
    const char *source = NULL;
    char text[512];
    char path[128];
    const int core = first_core();
    snprintf(text, sizeof text,
             "processor\t: 100000\ncpu MHz\t\t: 9999.000\n\nprocessor\t: %d\nmodel name\t: x\ncpu MHz\t\t: 2596.152\n",
             core);
    put("/proc/cpuinfo", text);
    assert_true(processor_clock(root, &source) == 2596.152); /* of the usable core alone */
    assert_string_equal(source, "/proc/cpuinfo");
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", core);
    put(path, "3700000\n");
    assert_true(processor_clock(root, &source) == 3700);
    assert_string_equal(source, "cpufreq");
}

static void energy(void **state)
{
    (void)state;
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "5000000\n");
    put("/sys/class/powercap/intel-rapl:1/energy_uj", "250000\n");
    put("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "20000000\n");
    put("/sys/class/powercap/intel-rapl:1/max_energy_range_uj", "20000000\n");
    assert_true(processor_energy(root) == 5.25);
    assert_true(processor_energy_between(root, 5.25, 7.25) == 2);
    assert_true(processor_energy_between(root, 39, 1) == 2); /* started over at 40 */
}

static void waiting(void **state)
{
    (void)state;
    put("/proc/self/task/10/schedstat", "900000000 250000000 12\n");
    put("/proc/self/task/11/schedstat", "100000000 500000000 7\n");
    put("/proc/self/task/12/schedstat", "");
    assert_true(processor_waited(root) == 0.75);
}

static void gpu(void **state)
{
    (void)state;
    assert_null(gpu_state_open(""));
    assert_null(gpu_state_open("0000:50:00.0"));
    gpu_state *gpu = gpu_state_open("0000:4f:00.0");
    gpu_reading reading;
    assert_non_null(gpu);
    gpu_state_read(gpu, &reading);
    assert_true(reading.clock == 1980 && reading.memory_clock == 2619);
    assert_true(reading.power == 690.5 && reading.temperature == 61);
    assert_string_equal(reading.slowed, "power cap");
    gpu_state_close(&gpu);
    assert_null(gpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_known, make_root, remove_root),
        cmocka_unit_test_setup_teardown(clocks, make_root, remove_root),
        cmocka_unit_test_setup_teardown(energy, make_root, remove_root),
        cmocka_unit_test_setup_teardown(waiting, make_root, remove_root),
        cmocka_unit_test(gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
