#include "base/cpu_features.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#define LEVEL_NAMES "c, avx2, avx512, avx512_vnni or avx512_bf16"
#elif defined(__aarch64__)
#include <sys/auxv.h>
#define LEVEL_NAMES "c, neon, neon_dotprod, neon_i8mm or neon_bf16"
#else
#define LEVEL_NAMES "c"
#endif

static const char *const level_names[CLIPC_CPU_LEVELS] = {
    [CLIPC_CPU_C] = "c",
#if defined(__x86_64__)
    [CLIPC_CPU_AVX2] = "avx2",
    [CLIPC_CPU_AVX512] = "avx512",
    [CLIPC_CPU_AVX512_VNNI] = "avx512_vnni",
    [CLIPC_CPU_AVX512_BF16] = "avx512_bf16",
#elif defined(__aarch64__)
    [CLIPC_CPU_NEON] = "neon",
    [CLIPC_CPU_NEON_DOTPROD] = "neon_dotprod",
    [CLIPC_CPU_NEON_I8MM] = "neon_i8mm",
    [CLIPC_CPU_NEON_BF16] = "neon_bf16",
#endif
};

#if defined(__x86_64__)
#define BIT(index) (1u << (index))

/* Register state that the operating system saves (Intel SDM volume 1, section 13.3). */
#define STATE_AVX    0x06u /* SSE and YMM */
#define STATE_AVX512 0xE6u /* + opmask, upper halves of ZMM0–15, ZMM16–31 */

static uint64_t read_xcr0(void)
{
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static clipc_cpu_level processor_level(void)
{
    const uint32_t avx2_leaf1 = BIT(12) | BIT(27) | BIT(28) | BIT(29);             /* FMA, OSXSAVE, AVX, F16C */
    const uint32_t avx2_leaf7 = BIT(5) | BIT(8);                                   /* AVX2, BMI2 */
    const uint32_t avx512_leaf7 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31); /* F, DQ, CD, BW, VL */
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & avx2_leaf1) != avx2_leaf1)
        return CLIPC_CPU_C;
    const uint64_t state = read_xcr0();
    if ((state & STATE_AVX) != STATE_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & avx2_leaf7) != avx2_leaf7)
        return CLIPC_CPU_C;
    if ((state & STATE_AVX512) != STATE_AVX512 || (b & avx512_leaf7) != avx512_leaf7)
        return CLIPC_CPU_AVX2;
    if (!(c & BIT(11)))
        return CLIPC_CPU_AVX512;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & BIT(5)))
        return CLIPC_CPU_AVX512_VNNI;
    return CLIPC_CPU_AVX512_BF16;
}
#elif defined(__aarch64__)
static clipc_cpu_level processor_level(void)
{
    const unsigned long has = getauxval(AT_HWCAP);
    const unsigned long has_more = getauxval(AT_HWCAP2);
    if (!(has & HWCAP_ASIMD))
        return CLIPC_CPU_C;
    if (!(has & HWCAP_ASIMDDP))
        return CLIPC_CPU_NEON;
    if (!(has_more & HWCAP2_I8MM))
        return CLIPC_CPU_NEON_DOTPROD;
    return has_more & HWCAP2_BF16 ? CLIPC_CPU_NEON_BF16 : CLIPC_CPU_NEON_I8MM;
}
#else
static clipc_cpu_level processor_level(void)
{
    return CLIPC_CPU_C;
}
#endif

clipc_status clipc_cpu_level_detect(clipc_cpu_level *out, clipc_error *error)
{
    clipc_cpu_level level = processor_level();
    const char *limit_name = getenv("CLIPC_CPU");
    if (limit_name && *limit_name) {
        clipc_cpu_level limit = CLIPC_CPU_C;
        if (clipc_cpu_level_parse(limit_name, &limit, error) != CLIPC_OK)
            return clipc_fail_within(error, CLIPC_ERROR_ARGUMENT, "environment variable CLIPC_CPU");
        if (limit < level)
            level = limit;
    }
    *out = level;
    return CLIPC_OK;
}

const char *clipc_cpu_level_name(clipc_cpu_level level)
{
    return (unsigned)level < CLIPC_CPU_LEVELS ? level_names[level] : "unknown";
}

clipc_status clipc_cpu_level_parse(const char *name, clipc_cpu_level *out, clipc_error *error)
{
    for (size_t i = 0; i < CLIPC_CPU_LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (clipc_cpu_level)i;
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_ARGUMENT, "unknown instruction set '%s': expected " LEVEL_NAMES, name);
}

#if defined(__x86_64__)
/* The brand string: leaves 0x80000002 to 0x80000004, sixteen characters each (Intel SDM volume 2, CPUID). */
static void read_brand(char brand[49])
{
    for (unsigned leaf = 0; leaf < 3; leaf++) {
        uint32_t words[4] = {0};
        if (!__get_cpuid(0x80000002u + leaf, &words[0], &words[1], &words[2], &words[3]))
            return;
        memcpy(brand + leaf * sizeof words, words, sizeof words);
    }
}
#else
static void read_brand(char brand[49])
{
    brand[0] = '\0';
}
#endif

void clipc_cpu_name(char *name, size_t size)
{
    char brand[49] = "";
    read_brand(brand);
    const char *from = brand + strspn(brand, " ");
    size_t length = strlen(from);
    while (length && from[length - 1] == ' ')
        length--;
    if (length == 0) {
        from = "processor";
        length = strlen(from);
    }
    snprintf(name, size, "%.*s", (int)length, from);
}
