#include "launch/order_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace zt::launch {

OrderReader::OrderReader(int fd) : fd_(fd) {
  if (fd_ >= 0) fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
}

void OrderReader::read_available() {
  std::array<char, 8192> buffer{};
  while (fd_ >= 0 && !ended_) {
    const ssize_t got = read(fd_, buffer.data(), buffer.size());
    if (got > 0) {
      pending_.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      ended_ = true;
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

std::optional<std::string> OrderReader::next_line() {
  const std::size_t end = pending_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  return line;
}

std::optional<std::string> OrderReader::wait_line(std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (true) {
    read_available();
    if (auto line = next_line()) return line;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (ended_ || left.count() <= 0) return std::nullopt;
    pollfd entry{fd_, POLLIN, 0};
    poll(&entry, 1, static_cast<int>(left.count()));
  }
}

std::vector<NodeOrder> OrderReader::take() {
  read_available();
  std::vector<NodeOrder> orders;
  while (const auto line = next_line()) orders.push_back(decode_order(*line));
  return orders;
}

}  // namespace zt::launch
