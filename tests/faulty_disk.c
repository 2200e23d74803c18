/* Stands between a program and the disk: calls on files below FAULTY_DIR fail or take long, as the
 * two numbers in FAULTY_CONTROL say: errno of whatever writes (0: none), ms of every sync. With
 * FAULTY_RECORD, all that is done to these files is written down there, in order: kind (write,
 * truncate, sync, unlink), length of the name, offset, length, name, content. */
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *control;
static const char *folder;
static int record_fd = -1;

__attribute__((constructor)) static void begin(void) {
    folder = getenv("FAULTY_DIR");
    const char *to = getenv("FAULTY_RECORD");
    if (to) record_fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const char *path = getenv("FAULTY_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
    control = at == MAP_FAILED ? NULL : at;
    close(fd);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t path_of(int fd, char *path, size_t most) {
    char link[64];
    if (!folder) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, most - 1);
    if (n < 0) return -1;
    path[n] = 0;
    return strncmp(path, folder, strlen(folder)) == 0 ? n : -1;
}

static int is_ours(int fd) {
    char path[4096];
    return control && path_of(fd, path, sizeof path) >= 0;
}

static void record_of(char kind, const char *path, const void *content, size_t length, off64_t at) {
    const char *name = strrchr(path, '/') + 1;
    struct __attribute__((packed)) { char kind; uint8_t name; int64_t at, length; } head = {
        kind, (uint8_t)strlen(name), at, (int64_t)length};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name},
                             {(void *)content, content ? length : 0}};
    if (writev(record_fd, parts, 3) < 0) abort();
}

static void record(char kind, int fd, const void *content, size_t length, off64_t at) {
    char path[4096];
    if (record_fd >= 0 && path_of(fd, path, sizeof path) >= 0)
        record_of(kind, path, content, length, at);
}

static int refused(int fd) {
    if (!control || !control[0] || !is_ours(fd)) return 0;
    errno = control[0];
    return 1;
}

static int slow(int fd) {
    if (!control || !control[1] || !is_ours(fd)) return 0;
    struct timespec span = {control[1] / 1000, control[1] % 1000 * 1000000L};
    nanosleep(&span, NULL);
    return 0;
}

#define PWRITE(name, type)                                              \
    ssize_t name(int fd, const void *content, size_t length, type at) { \
        if (refused(fd)) return -1;                                     \
        record('w', fd, content, length, at);                           \
        return NEXT(name)(fd, content, length, at);                     \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define FTRUNCATE(name, type)                                           \
    int name(int fd, type length) {                                     \
        if (refused(fd)) return -1;                                     \
        record('t', fd, NULL, 0, length);                               \
        return NEXT(name)(fd, length);                                  \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                      \
    int name(int fd) {                                                  \
        if (refused(fd) || slow(fd)) return -1;                         \
        int done = NEXT(name)(fd);                                      \
        record('s', fd, NULL, 0, 0);                                    \
        return done;                                                    \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    int done = NEXT(unlink)(path);
    if (record_fd >= 0 && folder && !done && !strncmp(path, folder, strlen(folder)))
        record_of('u', path, NULL, 0, 0);
    return done;
}

ssize_t write(int fd, const void *content, size_t length) {
    return refused(fd) ? -1 : NEXT(write)(fd, content, length);
}
