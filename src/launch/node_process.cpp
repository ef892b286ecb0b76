#include "launch/node_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "launch/rank_process.h"

namespace zt::launch {
namespace {

constexpr std::size_t kKeptLines = 8;

using Pipe = std::array<int, 2>;

Pipe make_pipe() {
  Pipe ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw DeviceError("[launch.start] pipe2 failed. Free descriptors of this process.");
  }
  return ends;
}

/// A socket, since a pipe whose reader has died would end this process by a signal.
Pipe make_stdin() {
  Pipe ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw DeviceError("[launch.start] socketpair failed. Free descriptors of this process.");
  }
  return ends;
}

[[noreturn]] void become(const std::vector<std::string>& command, pid_t parent, int in, int out,
                         int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<std::string> words = command;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv.front(), argv.data());
  dprintf(STDERR_FILENO, "cannot run '%s': %s\n", argv.front(), std::strerror(errno));
  _exit(127);
}

void unblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/// Whole lines to a terminal or file; what cannot be written is lost, the run goes on.
void write_all(int fd, const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t written = write(fd, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    at += static_cast<std::size_t>(written);
  }
}

}  // namespace

NodeProcess::NodeProcess(std::string name, std::string token,
                         const std::vector<std::string>& command)
    : name_(std::move(name)), token_(std::move(token)) {
  const Pipe in = make_stdin(), out = make_pipe(), err = make_pipe();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(command, parent, in[0], out[1], err[1]);
  for (const int theirs : {in[0], out[1], err[1]}) close(theirs);
  for (const int ours : {out[0], err[0]}) unblock(ours);
  orders_ = in[1];
  streams_[0] = {out[0], STDOUT_FILENO, ""};
  streams_[1] = {err[0], STDERR_FILENO, ""};
  if (pid_ < 0) {
    throw DeviceError("[launch.start] fork failed. Free processes or memory of this machine.");
  }
  setpgid(pid_, pid_);
}

NodeProcess::NodeProcess(NodeProcess&& other) noexcept
    : name_(std::move(other.name_)),
      token_(std::move(other.token_)),
      pid_(std::exchange(other.pid_, -1)),
      orders_(std::exchange(other.orders_, -1)),
      unsent_(std::move(other.unsent_)),
      lines_(std::move(other.lines_)),
      ready_(std::move(other.ready_)),
      end_(std::move(other.end_)),
      status_(other.status_) {
  for (std::size_t i = 0; i < 2; ++i) {
    streams_[i] = std::exchange(other.streams_[i], Stream{});
  }
}

NodeProcess::~NodeProcess() {
  close_orders();
  for (const Stream& stream : streams_) {
    if (stream.from >= 0) close(stream.from);
  }
  if (pid_ > 0 && !status_) {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

void NodeProcess::send(const std::string& line) { unsent_ += line + "\n"; }

void NodeProcess::close_orders() {
  if (orders_ >= 0) close(std::exchange(orders_, -1));
}

void NodeProcess::kill_process(int signal) const {
  if (pid_ > 0 && !status_) kill(-pid_, signal);
}

std::vector<int> NodeProcess::readable() const {
  std::vector<int> fds;
  for (const Stream& stream : streams_) {
    if (stream.from >= 0) fds.push_back(stream.from);
  }
  return fds;
}

int NodeProcess::writable() const { return unsent_.empty() ? -1 : orders_; }

void NodeProcess::pump() {
  while (!unsent_.empty() && orders_ >= 0) {
    const ssize_t written =
        ::send(orders_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EAGAIN) break;
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      close_orders();
      break;
    }
    unsent_.erase(0, static_cast<std::size_t>(written));
  }
  for (Stream& stream : streams_) pump_stream(stream);
  int status = 0;
  if (!status_ && readable().empty() && waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = shell_status(status);
  }
}

void NodeProcess::pump_stream(Stream& stream) {
  std::array<char, 8192> buffer{};
  while (stream.from >= 0) {
    const ssize_t got = read(stream.from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      if (!stream.pending.empty()) take_line(stream, stream.pending);
      stream.pending.clear();
      close(std::exchange(stream.from, -1));
      break;
    }
    stream.pending.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t end = 0;
    while ((end = stream.pending.find('\n')) != std::string::npos) {
      take_line(stream, stream.pending.substr(0, end));
      stream.pending.erase(0, end + 1);
    }
  }
}

void NodeProcess::take_line(const Stream& stream, const std::string& line) {
  if (const auto answer = decode_answer(token_, line)) {
    if (answer->ready) ready_ = answer->ready;
    if (answer->end) end_ = answer->end;
    return;
  }
  if (stream.to == STDERR_FILENO) {
    lines_.push_back(line.substr(0, line.find_last_not_of("\r ") + 1));
    if (lines_.size() > kKeptLines) lines_.pop_front();
  }
  write_all(stream.to, name_ + ": " + line + "\n");
}

std::vector<std::string> NodeProcess::last_lines() const { return {lines_.begin(), lines_.end()}; }

}  // namespace zt::launch
