#include "base/cpu_features.h"
#include "base/cpu_quota.h"

/* What cmocka.h needs before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#include <sys/stat.h>
#include <unistd.h>

static void names_round_trip(void **state)
{
    (void)state;
    for (int level = CLIPC_CPU_C; level < CLIPC_CPU_LEVELS; level++) {
        clipc_cpu_level parsed = CLIPC_CPU_C;
        assert_int_equal(clipc_cpu_level_parse(clipc_cpu_level_name((clipc_cpu_level)level), &parsed, NULL), CLIPC_OK);
        assert_int_equal(parsed, level);
    }
    clipc_error error = {0};
    clipc_cpu_level parsed = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_parse("sse9", &parsed, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "sse9"));
}

static void environment_lowers_the_level(void **state)
{
    (void)state;
    clipc_cpu_level best = CLIPC_CPU_C;
    unsetenv("CLIPC_CPU");
    assert_int_equal(clipc_cpu_level_detect(&best, NULL), CLIPC_OK);
    for (int limit = CLIPC_CPU_C; limit < CLIPC_CPU_LEVELS; limit++) {
        clipc_cpu_level level = CLIPC_CPU_C;
        setenv("CLIPC_CPU", clipc_cpu_level_name((clipc_cpu_level)limit), 1);
        assert_int_equal(clipc_cpu_level_detect(&level, NULL), CLIPC_OK);
        assert_int_equal(level, limit < (int)best ? limit : (int)best);
    }
    clipc_error error = {0};
    setenv("CLIPC_CPU", "fast", 1);
    assert_int_equal(clipc_cpu_level_detect(&best, &error), CLIPC_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "CLIPC_CPU"));
    unsetenv("CLIPC_CPU");
}

static void detected_level_matches_the_kernels_list(void **state)
{
    (void)state;
#if defined(__x86_64__)
    static const char label[] = "flags";
#else
    static const char label[] = "Features";
#endif
    FILE *stream = fopen("/proc/cpuinfo", "r");
    if (!stream)
        skip();
    static char line[65536];
    char *flags = NULL;
    while (!flags && fgets(line, sizeof line, stream))
        if (strncmp(line, label, strlen(label)) == 0)
            flags = line;
    fclose(stream);
    if (!flags) /* an emulator may show the host's list */
        skip();
    flags[strcspn(flags, "\n")] = ' ';
    clipc_cpu_level level = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&level, NULL), CLIPC_OK);
#if defined(__x86_64__)
    assert_int_equal(level >= CLIPC_CPU_AVX2, strstr(flags, " avx2 ") && strstr(flags, " fma "));
    assert_int_equal(level >= CLIPC_CPU_AVX512, strstr(flags, " avx512vl ") && strstr(flags, " avx512bw "));
    assert_int_equal(level >= CLIPC_CPU_AVX512_VNNI, strstr(flags, " avx512_vnni ") != NULL);
    assert_int_equal(level >= CLIPC_CPU_AVX512_BF16, strstr(flags, " avx512_vnni ") && strstr(flags, " avx512_bf16 "));
#elif defined(__aarch64__)
    assert_int_equal(level >= CLIPC_CPU_NEON, strstr(flags, " asimd ") != NULL);
    assert_int_equal(level >= CLIPC_CPU_NEON_DOTPROD, strstr(flags, " asimddp ") != NULL);
    assert_int_equal(level >= CLIPC_CPU_NEON_I8MM, strstr(flags, " asimddp ") && strstr(flags, " i8mm "));
    assert_int_equal(level >= CLIPC_CPU_NEON_BF16,
                     strstr(flags, " asimddp ") && strstr(flags, " i8mm ") && strstr(flags, " bf16 "));
#endif
}

/* The registers that say what an Arm processor has; the kernel, or an emulator, lets programs read them (Arm
 * Architecture Reference Manual, ID_AA64ISAR0_EL1 and ID_AA64ISAR1_EL1). */
static void detected_level_matches_the_processors_registers(void **state)
{
    (void)state;
#if defined(__aarch64__)
    if (!(getauxval(AT_HWCAP) & HWCAP_CPUID))
        skip();
    uint64_t isar0 = 0;
    uint64_t isar1 = 0;
    __asm__("mrs %0, ID_AA64ISAR0_EL1" : "=r"(isar0));
    __asm__("mrs %0, ID_AA64ISAR1_EL1" : "=r"(isar1));
    const bool dotprod = (isar0 >> 44 & 15) != 0;
    const bool i8mm = dotprod && (isar1 >> 52 & 15) != 0;
    const bool bf16 = i8mm && (isar1 >> 44 & 15) != 0;
    clipc_cpu_level level = CLIPC_CPU_C;
    assert_int_equal(clipc_cpu_level_detect(&level, NULL), CLIPC_OK);
    assert_int_equal(level >= CLIPC_CPU_NEON_DOTPROD, dotprod);
    assert_int_equal(level >= CLIPC_CPU_NEON_I8MM, i8mm);
    assert_int_equal(level >= CLIPC_CPU_NEON_BF16, bf16);
#else
    skip();
#endif
}

/* A make-believe /sys/fs/cgroup. */
static char root[] = "/tmp/clipc_cgroup_XXXXXX";

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *stream = fopen(full, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static size_t quota_of(const char *membership)
{
    char full[512];
    put("membership", membership);
    snprintf(full, sizeof full, "%s/membership", root);
    return clipc_cpu_quota(full, root);
}

static void quotas_are_read(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(quota_of("0::/\n"), 0);
    put("cpu.max", "max 100000\n");
    assert_int_equal(quota_of("0::/\n"), 0);
    put("one/two/cpu.max", "250000 100000\n");
    assert_int_equal(quota_of("0::/one/two\n"), 3); /* 2.5 cores, rounded up */
    assert_int_equal(quota_of("0::/one/two/absent\n"), 3);
    assert_int_equal(quota_of("0::/one\n"), 0);
    put("one/cpu.max", "50000 100000\n"); /* a parent binds its children */
    assert_int_equal(quota_of("0::/one/two\n"), 1);
    put("cpu,cpuacct/group/cpu.cfs_quota_us", "400000\n");
    put("cpu,cpuacct/group/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota_of("4:memory:/group\n3:cpu,cpuacct:/group\n"), 4);
    put("cpu,cpuacct/group/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(quota_of("3:cpu,cpuacct:/group\n"), 0);
    assert_int_equal(quota_of("3:cpuset:/one\n"), 0);
    assert_int_equal(quota_of("nonsense\n"), 0);
    char command[600];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_round_trip),
        cmocka_unit_test(environment_lowers_the_level),
        cmocka_unit_test(detected_level_matches_the_kernels_list),
        cmocka_unit_test(detected_level_matches_the_processors_registers),
        cmocka_unit_test(quotas_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
