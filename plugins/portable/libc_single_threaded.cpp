// libstdc++ counts references without atomics where this says that the process has one thread. It came with glibc 2.32;
// a host of ours has threads, so that the answer is always no.
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>

extern "C" {
char __libc_single_threaded = 0;
}
#endif
