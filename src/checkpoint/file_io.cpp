#include "checkpoint/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestCall = 1U << 30;  ///< Linux moves less than 2 GiB in one call

[[noreturn]] void fail_at(const std::string& path, const char* what, int number) {
  throw CheckpointError(
      fmt::format("[checkpoint.file] {}: {}: {}.", path, what, error_text(number)));
}

}  // namespace

std::string error_text(int number) { return std::generic_category().message(number); }

File::File(std::string path, Mode mode) : path_(std::move(path)) {
  // Not blocking: a pipe in place of a file is refused below instead of waited for.
  int flags = O_CLOEXEC | (mode == Mode::read ? O_RDONLY | O_NONBLOCK : O_RDWR);
  if (mode == Mode::create) flags |= O_CREAT | O_EXCL;
  file_ = ::open(path_.c_str(), flags, 0644);
  if (file_ < 0) fail(mode == Mode::create ? "cannot be created" : "cannot be opened");
  struct stat status {};
  if (fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(std::exchange(file_, -1));
    throw CheckpointError(fmt::format("[checkpoint.file] {}: is not a regular file.", path_));
  }
}

File::~File() {
  if (file_ >= 0) ::close(file_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  return *this;
}

void File::fail(const char* what) const { fail_at(path_, what, errno); }

std::int64_t File::size() const {
  struct stat status {};
  if (fstat(file_, &status) != 0) fail("cannot be looked at");
  return status.st_size;
}

void File::read(std::int64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto done = pread(file_, bytes.data(), std::min(bytes.size(), kLargestCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot be read");
    if (done == 0) {
      throw CheckpointError(
          fmt::format("[checkpoint.file] {}: ends at byte {}, expected {} more: it is cut short.",
                      path_, offset, bytes.size()));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += done;
  }
}

void File::write(std::int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto done = pwrite(file_, bytes.data(), std::min(bytes.size(), kLargestCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("cannot be written");
    if (done == 0) fail_at(path_, "cannot be written", EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += done;
  }
}

void File::reserve(std::int64_t size) const {
  int result = 0;
  do {
    result = size == 0 ? 0 : fallocate(file_, 0, 0, size);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) result = ftruncate(file_, size);
  if (result != 0) fail(fmt::format("cannot be given {} bytes", size).c_str());
}

File File::reopen_direct() const {
  File file;
  file.path_ = path_;
  file.file_ = ::open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
  if (file.file_ < 0 && errno != EINVAL && errno != EOPNOTSUPP) fail("cannot be opened");
  return file;
}

bool File::write_direct(std::int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto done = pwrite(file_, bytes.data(), std::min(bytes.size(), kLargestCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EINVAL) return false;
    if (done < 0) fail("cannot be written");
    if (done == 0) fail_at(path_, "cannot be written", EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += done;
    if (offset % kDirectAlignment != 0 && !bytes.empty()) return false;  // cut short: not direct
  }
  return true;
}

void File::sync() const {
  if (fsync(file_) != 0) fail("cannot be synced to the disk");
}

void File::close() {
  if (file_ >= 0 && ::close(std::exchange(file_, -1)) != 0) fail("cannot be closed");
}

std::string read_text(const std::string& path, std::int64_t limit) {
  const File file(path, File::Mode::read);
  const auto size = file.size();
  if (size > limit) {
    throw CheckpointError(
        fmt::format("[checkpoint.file] {}: got {} bytes, expected at most {}.", path, size, limit));
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  file.read(0, std::as_writable_bytes(std::span<char>(text)));
  return text;
}

void write_text(const std::string& path, const std::string& text) {
  File file(path, File::Mode::create);
  file.write(0, std::as_bytes(std::span<const char>(text)));
  file.sync();
  file.close();
}

void sync_folder(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail_at(path, "cannot be opened", errno);
  const int result = fsync(folder);
  const int number = errno;
  ::close(folder);
  // Some network file systems cannot sync a folder; they need not.
  if (result != 0 && number != EINVAL) fail_at(path, "cannot be synced to the disk", number);
}

void publish_folder(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) fail_at(to, "cannot be published", errno);
  // An earlier save of the same step, e.g. a damaged one that was passed over: swapped at once.
  std::string old = from;
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) fail_at(to, "cannot be published", errno);
    old = from + ".old";
    if (rename(to.c_str(), old.c_str()) != 0 || rename(from.c_str(), to.c_str()) != 0) {
      fail_at(to, "cannot be published", errno);
    }
  }
  std::error_code ignored;  // what stays is removed when the next run starts
  fs::remove_all(old, ignored);
}

std::int64_t free_bytes(const std::string& path) {
  struct statvfs status {};
  if (statvfs(path.c_str(), &status) != 0) fail_at(path, "cannot be looked at", errno);
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

std::uint64_t hash_bytes(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t hash_text(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace zt::checkpoint
