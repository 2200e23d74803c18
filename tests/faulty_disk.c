/* Stands between a program and the disk: calls on files below FAULTY_DIR fail or take long, as the
 * three numbers in FAULTY_CONTROL say: errno of whatever writes (0: none), ms of every sync, errno
 * of every sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *control;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("FAULTY_DIR");
    const char *path = getenv("FAULTY_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, 12, PROT_READ, MAP_SHARED, fd, 0);
    control = at == MAP_FAILED ? NULL : at;
    close(fd);
}

static int is_ours(int fd) {
    char link[64], path[4096];
    if (!control || !folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int refused(int fd) {
    if (!control || !control[0] || !is_ours(fd)) return 0;
    errno = control[0];
    return 1;
}

static int slow(int fd) {
    if (!is_ours(fd)) return 0;
    struct timespec span = {control[1] / 1000, control[1] % 1000 * 1000000L};
    if (control[1]) nanosleep(&span, NULL);
    if (!control[2]) return 0;
    errno = control[2];
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) {
    return refused(fd) ? -1 : NEXT(pwrite)(fd, b, n, at);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t at) {
    return refused(fd) ? -1 : NEXT(pwrite64)(fd, b, n, at);
}
ssize_t write(int fd, const void *b, size_t n) {
    return refused(fd) ? -1 : NEXT(write)(fd, b, n);
}
int ftruncate(int fd, off_t n) { return refused(fd) ? -1 : NEXT(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return refused(fd) ? -1 : NEXT(ftruncate64)(fd, n); }
int fsync(int fd) { return refused(fd) || slow(fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return refused(fd) || slow(fd) ? -1 : NEXT(fdatasync)(fd); }
