/* A management library with one GPU, at 0000:4f:00.0, whose figures never change. */
#include <string.h>

#define NOT_FOUND 6

static int device;

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out);
int nvmlDeviceGetClockInfo(void *of, int type, unsigned *megahertz);
int nvmlDeviceGetPowerUsage(void *of, unsigned *milliwatts);
int nvmlDeviceGetTemperature(void *of, int sensor, unsigned *celsius);
int nvmlDeviceGetCurrentClocksThrottleReasons(void *of, unsigned long long *reasons);

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out)
{
    *out = &device;
    return strcmp(bus, "0000:4f:00.0") == 0 ? 0 : NOT_FOUND;
}

int nvmlDeviceGetClockInfo(void *of, int type, unsigned *megahertz)
{
    *megahertz = type == 1 ? 1980 : 2619;
    return of == &device && (type == 1 || type == 2) ? 0 : NOT_FOUND;
}

int nvmlDeviceGetPowerUsage(void *of, unsigned *milliwatts)
{
    *milliwatts = 690500;
    return of == &device ? 0 : NOT_FOUND;
}

int nvmlDeviceGetTemperature(void *of, int sensor, unsigned *celsius)
{
    *celsius = 61;
    return of == &device && sensor == 0 ? 0 : NOT_FOUND;
}

/* The power cap, and idleness, which is no reason to tell. */
int nvmlDeviceGetCurrentClocksThrottleReasons(void *of, unsigned long long *reasons)
{
    *reasons = 0x5;
    return of == &device ? 0 : NOT_FOUND;
}
