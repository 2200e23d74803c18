/* Lets a program have a clock of its own: LD_PRELOAD it, and name a file in SOLOSENSE_TEST_CLOCK.
 * The file holds two 64-bit numbers: nanoseconds added to CLOCK_REALTIME, and what ntp_adjtime says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timex.h>
#include <time.h>

static const volatile int64_t *set(void)
{
    static const volatile int64_t *found;
    const char *name = getenv("SOLOSENSE_TEST_CLOCK");
    if (!found && name) {
        int file = open(name, O_RDONLY);
        void *there = mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
        found = there == MAP_FAILED ? 0 : there;
    }
    return found;
}

int clock_gettime(clockid_t id, struct timespec *at)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int said = real(id, at);
    if (said == 0 && id == CLOCK_REALTIME && set()) {
        int64_t ns = at->tv_sec * INT64_C(1000000000) + at->tv_nsec + set()[0];
        at->tv_sec = ns / INT64_C(1000000000);
        at->tv_nsec = ns % INT64_C(1000000000);
    }
    return said;
}

int ntp_adjtime(struct timex *unused)
{
    (void)unused;
    return set() ? (int)set()[1] : TIME_ERROR;
}
