/* Makes every sync take 10 ms longer, as on a disk without a fast flush. Preloaded into the process that is measured. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

static void wait_for_disk(void) { usleep(10000); }

int fsync(int file) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  wait_for_disk();
  return next(file);
}

int fdatasync(int file) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  wait_for_disk();
  return next(file);
}
