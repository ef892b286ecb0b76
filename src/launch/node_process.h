#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launch/node_messages.h"

namespace zt::launch {

/// The launcher of one machine as a local process (ssh): what it writes goes to our stdout and
/// stderr line by line with the machine's name in front; its answers are taken out.
class NodeProcess {
 public:
  /// Starts `command` in a process group of its own, which dies with this process.
  /// Errors: DeviceError.
  NodeProcess(std::string name, std::string token, const std::vector<std::string>& command);
  ~NodeProcess();
  NodeProcess(NodeProcess&& other) noexcept;
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

  /// Queues a line for its stdin; `pump` writes it.
  void send(const std::string& line);
  /// Its launcher reads the end of its orders, and ends its ranks.
  void close_orders();
  void kill_process(int signal) const;

  /// Descriptors to wait for: readable ones, and the writable one or -1.
  [[nodiscard]] std::vector<int> readable() const;
  [[nodiscard]] int writable() const;
  /// Moves what can be moved without waiting. Errors: CommError for a damaged answer.
  void pump();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::optional<NodeReady>& ready() const { return ready_; }
  [[nodiscard]] const std::optional<NodeEnd>& end() const { return end_; }
  /// Exit status as a shell has it, once it and its output have ended.
  [[nodiscard]] std::optional<int> status() const { return status_; }
  /// The last lines of its stderr.
  [[nodiscard]] std::vector<std::string> last_lines() const;

 private:
  /// One of its two streams.
  struct Stream {
    int from = -1, to = -1;
    std::string pending;
  };
  void pump_stream(Stream& stream);
  void take_line(const Stream& stream, const std::string& line);

  std::string name_, token_;
  pid_t pid_ = -1;
  int orders_ = -1;
  std::string unsent_;
  Stream streams_[2];
  std::deque<std::string> lines_;
  std::optional<NodeReady> ready_;
  std::optional<NodeEnd> end_;
  std::optional<int> status_;
};

}  // namespace zt::launch
