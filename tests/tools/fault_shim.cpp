// Test only, preloaded into zt: lets one file operation of one rank fail, or ends the rank in the
// middle of it. The program itself knows nothing of it.
//
//   FAULT_MATCH  operations on paths that contain this text count; the others pass
//   FAULT_RANK   the rank (variable RANK) it happens to
//   FAULT_AT     the operation's number, from 1
//   FAULT_KIND   kill (before it), tear (writes half of it, then kill), enospc, eio
//   FAULT_LOG    a file that every counted operation of every rank is appended to: `rank number
//   call`
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

namespace {

struct Plan {
  const char* match = getenv("FAULT_MATCH");
  const char* kind = getenv("FAULT_KIND");
  const char* log = getenv("FAULT_LOG");
  const char* rank = getenv("RANK");
  long at = 0;
  Plan() {
    const char* victim = getenv("FAULT_RANK");
    const char* number = getenv("FAULT_AT");
    const bool is_victim = rank != nullptr && victim != nullptr && std::strcmp(rank, victim) == 0;
    if (is_victim && number != nullptr) at = std::atol(number);
  }
};

std::atomic<long> counted{0};

const Plan& plan() {
  static const Plan the_plan;
  return the_plan;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

/// What happens to an operation: 0 nothing, -1 it is torn, else an errno.
int happens(const char* call, const char* path) {
  const Plan& p = plan();
  if (p.match == nullptr || p.rank == nullptr || path == nullptr ||
      std::strstr(path, p.match) == nullptr) {
    return 0;
  }
  const long number = ++counted;
  if (p.log != nullptr) {
    char line[128];
    const int length = snprintf(line, sizeof(line), "%s %ld %s\n", p.rank, number, call);
    const long file = syscall(SYS_open, p.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    syscall(SYS_write, file, line, static_cast<std::size_t>(length));
    syscall(SYS_close, file);
  }
  if (number != p.at || p.kind == nullptr) return 0;
  if (std::strcmp(p.kind, "enospc") == 0) return ENOSPC;
  if (std::strcmp(p.kind, "eio") == 0) return EIO;
  const bool is_write = std::strstr(call, "write") != nullptr;
  if (std::strcmp(p.kind, "tear") == 0 && is_write) return -1;
  raise(SIGKILL);
  return 0;
}

int happens_to(const char* call, int file) {
  if (plan().match == nullptr) return 0;
  char name[64], path[4096];
  snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
  const ssize_t length = readlink(name, path, sizeof(path) - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  return happens(call, path);
}

template <typename Result>
bool fails(int what, Result& result) {
  if (what <= 0) return false;
  errno = what;
  result = -1;
  return true;
}

bool opens_for_writing(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0; }

int open_any(const char* name, const char* path, int flags, mode_t mode) {
  int result = 0;
  if (opens_for_writing(flags) && fails(happens("open", path), result)) return result;
  return next<int (*)(const char*, int, ...)>(name)(path, flags, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_any("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_any("open64", path, flags, mode);
}

ssize_t write(int file, const void* data, size_t size) {
  const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  const int what = happens_to("write", file);
  ssize_t result = 0;
  if (fails(what, result)) return result;
  if (what < 0) {
    (void)real(file, data, size / 2);
    raise(SIGKILL);
  }
  return real(file, data, size);
}

ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  const int what = happens_to("pwrite", file);
  ssize_t result = 0;
  if (fails(what, result)) return result;
  if (what < 0) {
    (void)real(file, data, size / 2, offset);
    raise(SIGKILL);
  }
  return real(file, data, size, offset);
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  return pwrite(file, data, size, offset);
}

int fsync(int file) {
  int result = 0;
  if (fails(happens_to("fsync", file), result)) return result;
  return next<int (*)(int)>("fsync")(file);
}

int fdatasync(int file) {
  int result = 0;
  if (fails(happens_to("fdatasync", file), result)) return result;
  return next<int (*)(int)>("fdatasync")(file);
}

int fallocate(int file, int mode, off_t offset, off_t size) {
  int result = 0;
  if (fails(happens_to("fallocate", file), result)) return result;
  return next<int (*)(int, int, off_t, off_t)>("fallocate")(file, mode, offset, size);
}

int fallocate64(int file, int mode, off64_t offset, off64_t size) {
  return fallocate(file, mode, offset, size);
}

int ftruncate(int file, off_t size) noexcept {
  int result = 0;
  if (fails(happens_to("ftruncate", file), result)) return result;
  return next<int (*)(int, off_t)>("ftruncate")(file, size);
}

/// A close that fails has closed all the same, as on Linux.
int close(int file) {
  const int flags = fcntl(file, F_GETFL);
  const bool was_written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
  const int what = was_written ? happens_to("close", file) : 0;
  int result = next<int (*)(int)>("close")(file);
  (void)fails(what, result);
  return result;
}

int rename(const char* from, const char* to) noexcept {
  int result = 0;
  if (fails(happens("rename", from), result)) return result;
  return next<int (*)(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) noexcept {
  int result = 0;
  if (fails(happens("renameat2", from), result)) return result;
  return next<int (*)(int, const char*, int, const char*, unsigned int)>("renameat2")(
      from_folder, from, to_folder, to, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  int result = 0;
  if (fails(happens("mkdir", path), result)) return result;
  return next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  int result = 0;
  const int what = folder == AT_FDCWD ? happens("unlink", path) : happens_to("unlink", folder);
  if (fails(what, result)) return result;
  return next<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags);
}

}  // extern "C"
