// Preloaded: counts the calls that change files in one folder, and makes one of them fail, or the process end there.
//
// Armed from within the process (tests/faults/injection.py). Calls on other files, and before arming, pass through.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, WRITE, SYNC, RENAME, CREATE, TRUNCATE, KINDS };

static char folder[PATH_MAX];
static int armed_kind, armed_error;
static long armed_number;
static atomic_long counts[KINDS];
static atomic_long clock_calls;
static long clock_after = -1, clock_back;

void faults_arm(const char *where, int kind, long number, int error) {
  if (realpath(where, folder) == NULL) abort();
  armed_kind = kind;
  armed_number = number;
  armed_error = error;
  for (int i = 0; i < KINDS; ++i) atomic_store(&counts[i], 0);
}

long faults_count(int kind) { return atomic_load(&counts[kind]); }

void faults_clock(long after, long back) {
  clock_after = after;
  clock_back = back;
}

static int inside(const char *path) {
  char whole[PATH_MAX];
  if (folder[0] == 0) return 0;
  if (path[0] != '/') {
    if (getcwd(whole, sizeof whole) == NULL) return 0;
    return strncmp(whole, folder, strlen(folder)) == 0;
  }
  return strncmp(path, folder, strlen(folder)) == 0;
}

static int inside_descriptor(int descriptor) {
  char link[64], target[PATH_MAX];
  if (folder[0] == 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, target, sizeof target - 1);
  if (length < 0) return 0;
  target[length] = 0;
  return inside(target);
}

// 1 where the call has to fail; a kill does not come back.
static int hit(int kind) {
  long number = atomic_fetch_add(&counts[kind], 1) + 1;
  if (kind != armed_kind || number != armed_number) return 0;
  if (armed_error == 0) {
    kill(getpid(), SIGKILL);
    pause();
  }
  errno = armed_error;
  return 1;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int descriptor, const void *data, size_t size) {
  REAL(write);
  if (inside_descriptor(descriptor) && hit(WRITE)) {
    // As a disk that runs full in the middle: half of it is there.
    int error = errno;
    if (size > 1) (void)!real(descriptor, data, size / 2);
    errno = error;
    return -1;
  }
  return real(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
  REAL(pwrite);
  return inside_descriptor(descriptor) && hit(WRITE) ? -1 : real(descriptor, data, size, at);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t at) {
  REAL(pwrite64);
  return inside_descriptor(descriptor) && hit(WRITE) ? -1 : real(descriptor, data, size, at);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  REAL(writev);
  return inside_descriptor(descriptor) && hit(WRITE) ? -1 : real(descriptor, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  REAL(fwrite);
  return inside_descriptor(fileno(file)) && hit(WRITE) ? 0 : real(data, size, count, file);
}

int fsync(int descriptor) {
  REAL(fsync);
  return inside_descriptor(descriptor) && hit(SYNC) ? -1 : real(descriptor);
}

int fdatasync(int descriptor) {
  REAL(fdatasync);
  return inside_descriptor(descriptor) && hit(SYNC) ? -1 : real(descriptor);
}

int ftruncate(int descriptor, off_t size) {
  REAL(ftruncate);
  return inside_descriptor(descriptor) && hit(TRUNCATE) ? -1 : real(descriptor, size);
}

int ftruncate64(int descriptor, off_t size) {
  REAL(ftruncate64);
  return inside_descriptor(descriptor) && hit(TRUNCATE) ? -1 : real(descriptor, size);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  return inside(to) && hit(RENAME) ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  REAL(renameat);
  return inside(to) && hit(RENAME) ? -1 : real(from_folder, from, to_folder, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return inside(path) && hit(CREATE) ? -1 : real(path, mode);
}

#define OPENING(name, ...) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  } \
  REAL(name); \
  if ((flags & O_CREAT) && inside(path) && hit(CREATE)) return -1; \
  return real(__VA_ARGS__, mode)

int open(const char *path, int flags, ...) { OPENING(open, path, flags); }
int open64(const char *path, int flags, ...) { OPENING(open64, path, flags); }
int openat(int at, const char *path, int flags, ...) { OPENING(openat, at, path, flags); }
int openat64(int at, const char *path, int flags, ...) { OPENING(openat64, at, path, flags); }

// The wall clock is set back by some seconds after so many times that it was asked.
int clock_gettime(clockid_t which, struct timespec *now) {
  REAL(clock_gettime);
  int found = real(which, now);
  if (which == CLOCK_REALTIME && clock_after >= 0 && atomic_fetch_add(&clock_calls, 1) >= clock_after) {
    now->tv_sec -= clock_back;
  }
  return found;
}
