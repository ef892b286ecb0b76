#include "launch/rank_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace zt::launch {
namespace {

void write_all(int fd, const char* text, std::size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, text, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // a full disk or a closed terminal must not stop the rank
    text += written;
    size -= static_cast<std::size_t>(written);
  }
}

void copy_until_end(int from, int file) {
  std::array<char, 8192> buffer{};
  while (true) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    write_all(file, buffer.data(), static_cast<std::size_t>(got));
    write_all(STDOUT_FILENO, buffer.data(), static_cast<std::size_t>(got));
  }
  close(from);
  close(file);
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw ConfigError("[launch.log_dir] --log_dir: cannot write " + path + ": " + why +
                    ". Name a folder that can be written.");
}

}  // namespace

RankOutput::RankOutput(std::string folder, std::string stamp, int first_rank, int nproc)
    : folder_(std::move(folder)), stamp_(std::move(stamp)), first_rank_(first_rank) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) refuse(folder_, error.message());
  for (int rank = 0; rank < nproc; ++rank) {
    const int fd = open(path(rank).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) refuse(path(rank), std::strerror(errno));
    files_.push_back(fd);
  }
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw DeviceError("[launch.start] pipe2 failed. Free descriptors of this process.");
  }
  read_end_ = ends[0];
  write_end_ = ends[1];
}

RankOutput::~RankOutput() {
  finish();
  if (write_end_ < 0) return;  // started: the copier closed them
  for (const int fd : files_) close(fd);
  close(read_end_);
  close(write_end_);
}

void RankOutput::finish() {
  if (copier_.joinable()) copier_.join();
}

int RankOutput::fd(int local_rank) const {
  return local_rank == 0 ? write_end_ : files_[static_cast<std::size_t>(local_rank)];
}

void RankOutput::start() {
  close(std::exchange(write_end_, -1));
  for (std::size_t i = 1; i < files_.size(); ++i) close(files_[i]);
  copier_ = std::thread(copy_until_end, read_end_, files_.front());
}

std::string RankOutput::path(int local_rank) const {
  const std::string rank = std::to_string(first_rank_ + local_rank);
  return folder_ + (stamp_.empty() ? "/rank_" + rank : "/" + stamp_ + "_rank" + rank) + ".log";
}

}  // namespace zt::launch
