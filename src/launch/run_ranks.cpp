#include "launch/run_ranks.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "launch/rank_process.h"

namespace zt::launch {
namespace {

using Clock = std::chrono::steady_clock;

/// Exit code of a rank that ended because another one failed (CommError).
constexpr int kPeerFailed = 4;

/// Blocks the handled signals and turns them into a descriptor.
class SignalInbox {
 public:
  SignalInbox() {
    sigset_t handled;
    sigemptyset(&handled);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) {
      sigaddset(&handled, signal);
    }
    pthread_sigmask(SIG_BLOCK, &handled, &before_);
    fd_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) {
      throw DeviceError("[launch.start] signalfd failed. Free descriptors of this process.");
    }
  }
  ~SignalInbox() {
    close(fd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalInbox(const SignalInbox&) = delete;
  SignalInbox& operator=(const SignalInbox&) = delete;

  /// Waits for a signal; 0 when none came within `timeout`.
  int wait(std::chrono::milliseconds timeout) {
    pollfd entry{fd_, POLLIN, 0};
    poll(&entry, 1, static_cast<int>(timeout.count()));
    signalfd_siginfo info{};
    return read(fd_, &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  int fd_ = -1;
  sigset_t before_{};
};

struct Rank {
  pid_t pid = -1;
  std::optional<int> status;  ///< wait status once ended
};

class Supervisor {
 public:
  explicit Supervisor(const LaunchOptions& options) : options_(options) {}
  ~Supervisor() {
    send_to_all(SIGKILL);
    for (const Rank& rank : ranks_) {
      if (!rank.status) {
        waitpid(rank.pid, nullptr, 0);
      }
    }
  }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  int run() {
    {
      const LoopbackSocket socket;
      for (int rank = 0; rank < options_.nproc; ++rank) {
        ranks_.push_back({start_rank(options_, {rank, socket.port(), socket.fd()}), {}});
      }
    }
    while (!all_ended()) {
      const int signal = inbox_.wait(std::chrono::milliseconds(200));
      if (signal != 0 && signal != SIGCHLD) {
        forward(signal);
      }
      collect_ended();
      escalate();
    }
    return result();
  }

 private:
  [[nodiscard]] bool all_ended() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [](const Rank& rank) { return rank.status.has_value(); });
  }

  void send_to_all(int signal) {
    for (const Rank& rank : ranks_) {
      if (!rank.status) {
        kill(-rank.pid, signal);
      }
    }
  }

  void forward(int signal) {
    log::warning("launch",
                 std::string("got ") + strsignal(signal) + ": passing it on to all ranks");
    send_to_all(interrupted_by_ == 0 ? signal : SIGKILL);
    interrupted_by_ = signal;
    kill_at_ = Clock::now() + options_.term_grace;
  }

  void collect_ended() {
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      siginfo_t info{};
      if (!ranks_[i].status &&
          waitid(P_PID, static_cast<id_t>(ranks_[i].pid), &info, WEXITED | WNOHANG | WNOWAIT) ==
              0 &&
          info.si_pid == ranks_[i].pid) {
        kill(-ranks_[i].pid, SIGKILL);  // what the rank itself started; before the pid is freed
        int status = 0;
        waitpid(ranks_[i].pid, &status, 0);
        ranks_[i].status = status;
        if (status != 0) {
          note_failure(i, status);
        }
      }
    }
  }

  void note_failure(std::size_t index, int status) {
    log::error("launch", "rank " + std::to_string(index) + " (pid " +
                             std::to_string(ranks_[index].pid) + ") ended with " +
                             describe_status(status));
    const bool is_consequence = shell_status(status) == kPeerFailed || sent_term_;
    if (!first_failed_ || (first_is_consequence_ && !is_consequence)) {
      first_failed_ = index;
      first_is_consequence_ = is_consequence;
    }
    if (!term_at_) {
      term_at_ = Clock::now() + options_.report_grace;
    }
  }

  void escalate() {
    const auto now = Clock::now();
    if (term_at_ && now >= *term_at_ && !sent_term_) {
      sent_term_ = true;
      log_still_running("SIGTERM");
      send_to_all(SIGTERM);
      kill_at_ = now + options_.term_grace;
    }
    if (kill_at_ && now >= *kill_at_) {
      kill_at_.reset();
      log_still_running("SIGKILL");
      send_to_all(SIGKILL);
    }
  }

  void log_still_running(const char* signal) const {
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      if (!ranks_[i].status) {
        log::warning("launch", "rank " + std::to_string(i) + " still runs: sending " + signal);
      }
    }
  }

  [[nodiscard]] int result() const {
    if (first_failed_) {
      const int status = *ranks_[*first_failed_].status;
      log::error("launch", "first failure: rank " + std::to_string(*first_failed_) + ", " +
                               describe_status(status));
      return interrupted_by_ != 0 ? 128 + interrupted_by_ : shell_status(status);
    }
    return interrupted_by_ != 0 ? 128 + interrupted_by_ : 0;
  }

  const LaunchOptions& options_;
  SignalInbox inbox_;
  std::vector<Rank> ranks_;
  std::optional<std::size_t> first_failed_;
  bool first_is_consequence_ = false;
  bool sent_term_ = false;
  int interrupted_by_ = 0;
  std::optional<Clock::time_point> term_at_, kill_at_;
};

}  // namespace

int run_ranks(const LaunchOptions& options) {
  ZT_ASSERT(options.nproc >= 1, "a run has at least one rank");
  return Supervisor(options).run();
}

}  // namespace zt::launch
