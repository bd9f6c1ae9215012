/* Stands in for NVIDIA's driver library where there is none, as far as a program asks it before it finds that there is
 * no device, or that the driver is too old: FAKE_CUDA_VERSION in the environment (12020 is CUDA 12.2). */
#include <stdlib.h>

#define SUCCESS   0
#define NO_DEVICE 100 /* CUDA_ERROR_NO_DEVICE */

typedef void (*entry)(void); /* any function, as a pointer */

int cuDriverGetVersion(int *version);
int cuInit(unsigned flags);
int cuGetProcAddress_v2(const char *name, entry *address, int version, unsigned long long flags, void *found);
int cuGetProcAddress(const char *name, entry *address, int version, unsigned long long flags);

int cuDriverGetVersion(int *version)
{
    const char *text = getenv("FAKE_CUDA_VERSION");
    *version = text ? (int)strtol(text, NULL, 10) : 13000;
    return SUCCESS;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return NO_DEVICE;
}

static int no_device(void)
{
    return NO_DEVICE;
}

static int is(const char *name, const char *wanted)
{
    while (*name && *name == *wanted)
        name++, wanted++;
    return *name == *wanted;
}

int cuGetProcAddress_v2(const char *name, entry *address, int version, unsigned long long flags, void *found)
{
    (void)version, (void)flags, (void)found;
    *address = is(name, "cuDriverGetVersion") ? (entry)cuDriverGetVersion
               : is(name, "cuGetProcAddress") ? (entry)cuGetProcAddress_v2
                                              : (entry)no_device;
    return SUCCESS;
}

int cuGetProcAddress(const char *name, entry *address, int version, unsigned long long flags)
{
    return cuGetProcAddress_v2(name, address, version, flags, NULL);
}
