#include "launch/run_ranks.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/sockets.h"
#include "launch/keeper.h"
#include "launch/order_reader.h"
#include "launch/rank_output.h"
#include "launch/rank_process.h"
#include "launch/rank_report.h"
#include "launch/signal_inbox.h"

namespace zt::launch {
namespace {

using Clock = std::chrono::steady_clock;

/// Exit code of a rank that ended because another one failed (CommError).
constexpr int kPeerFailed = 4;
/// `timeout` and some schedulers send one signal twice; only a later one is a second wish.
constexpr auto kSameSignal = std::chrono::seconds(2);

struct Rank {
  pid_t pid = -1;
  RankReport report;
  std::optional<int> status = std::nullopt;  ///< wait status once ended
};

std::string name_of(int signal) {
  return "signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
}

class Supervisor {
 public:
  Supervisor(const LaunchOptions& options, Supervision supervision)
      : options_(options), orders_(supervision.orders), socket_(std::move(supervision.socket)) {
    if (!options.log_dir.empty()) {
      output_.emplace(options.log_dir, options.log_stamp, global_rank(options, 0), options.nproc);
    }
  }
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

  RanksEnd run() {
    start_all();
    while (!all_ended()) {
      const int signal = inbox_.wait(std::chrono::milliseconds(200));
      if (signal != 0 && signal != SIGCHLD) {
        forward(signal);
      }
      take_orders();
      collect_ended();
      escalate();
    }
    if (output_) output_->finish();  // all is shown before the last line
    return result();
  }

 private:
  /// Why the run ends, and what is still to be done about it.
  struct Ending {
    std::optional<std::size_t> first_failed;
    bool first_is_consequence = false;
    bool stopped = false;    ///< a rank saved its state and ended early
    int interrupted_by = 0;  ///< signal
    Clock::time_point interrupted_at;
    bool sent_term = false;
    std::optional<Clock::time_point> term_at, kill_at;
  };

  void start_all() {
    // Free again after this scope, unless rank 0 inherited it.
    std::optional<net::BoundSocket> socket = std::move(socket_);
    int port = options_.master_port;
    if (options_.node_rank == 0) {
      if (!socket) {
        socket.emplace(net::listen_socket(options_.master_addr, options_.master_port));
      }
      port = socket->port();
      if (!options_.pass_socket) socket.reset();
    }
    const std::string interface =
        net::interface_of(net::local_address_towards(options_.master_addr, port));
    for (int local = 0; local < options_.nproc; ++local) {
      RankReport report;
      const RankStart start = {.local_rank = local,
                               .master_port = port,
                               .listen_fd = socket ? socket->fd() : -1,
                               .report_fd = report.fd(),
                               .interface = interface,
                               .output_fd = output_ ? output_->fd(local) : -1,
                               .no_input = orders_ != nullptr};
      const pid_t pid = start_rank(options_, start);
      ranks_.push_back({pid, std::move(report)});
      keeper_.watch(pid);
    }
    if (output_) output_->start();
  }

  [[nodiscard]] bool all_ended() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [](const Rank& rank) { return rank.status.has_value(); });
  }

  [[nodiscard]] std::string name(std::size_t index) const {
    return "rank " + std::to_string(global_rank(options_, static_cast<int>(index)));
  }

  void send_to_all(int signal) {
    for (const Rank& rank : ranks_) {
      if (!rank.status) {
        kill(-rank.pid, signal);
      }
    }
  }

  void forward(int signal) {
    if (signal == SIGUSR1) {  // a wish, not an end
      send_to_all(signal);
      return;
    }
    const auto now = Clock::now();
    if (ending_.interrupted_by == 0) {
      ending_.interrupted_by = signal;
      ending_.interrupted_at = now;
      ending_.kill_at = now + options_.stop_grace;
      const auto seconds = std::chrono::duration<double>(options_.stop_grace).count();
      log::warning("launch", "got " + name_of(signal) + ": passed on to all ranks, which have " +
                                 std::to_string(static_cast<int>(seconds)) + " s to end");
      send_to_all(signal);
    } else if (now - ending_.interrupted_at >= kSameSignal) {
      ending_.kill_at = now;
    }
  }

  /// What the launcher of the whole run wants; it ended when its line is cut.
  void take_orders() {
    if (orders_ == nullptr) return;
    for (const NodeOrder& order : orders_->take()) {
      if (order.signal != 0) forward(order.signal);
    }
    if (orders_->has_ended() && ending_.interrupted_by != SIGKILL) {
      log::error("launch", "the launcher of the run is gone: ending the ranks of this machine");
      ending_.interrupted_by = SIGKILL;
      send_to_all(SIGKILL);
    }
  }

  void collect_ended() {
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      siginfo_t info{};
      if (!ranks_[i].status &&
          waitid(P_PID, static_cast<id_t>(ranks_[i].pid), &info, WEXITED | WNOHANG | WNOWAIT) ==
              0 &&
          info.si_pid == ranks_[i].pid) {
        kill(-ranks_[i].pid, SIGKILL);  // what the rank itself started; before the pid is freed
        keeper_.forget(ranks_[i].pid);
        int status = 0;
        waitpid(ranks_[i].pid, &status, 0);
        ranks_[i].status = status;
        if (shell_status(status) == kStoppedExitCode) {
          ending_.stopped = true;
        } else if (status != 0) {
          note_failure(i, status);
        }
      }
    }
  }

  void note_failure(std::size_t index, int status) {
    log::error("launch", name(index) + " (pid " + std::to_string(ranks_[index].pid) +
                             ") ended with " + describe_status(status));
    if (ending_.interrupted_by != 0) {
      return;  // it did as told
    }
    const bool is_consequence = shell_status(status) == kPeerFailed || ending_.sent_term;
    if (!ending_.first_failed || (ending_.first_is_consequence && !is_consequence)) {
      ending_.first_failed = index;
      ending_.first_is_consequence = is_consequence;
    }
    if (!ending_.term_at) {
      ending_.term_at = Clock::now() + options_.report_grace;
    }
  }

  void escalate() {
    const auto now = Clock::now();
    if (ending_.term_at && now >= *ending_.term_at && !ending_.sent_term &&
        ending_.interrupted_by == 0) {
      ending_.sent_term = true;
      log_still_running("SIGTERM");
      send_to_all(SIGTERM);
      ending_.kill_at = now + options_.term_grace;
    }
    if (ending_.kill_at && now >= *ending_.kill_at) {
      ending_.kill_at.reset();
      log_still_running("SIGKILL");
      send_to_all(SIGKILL);
    }
  }

  void log_still_running(const char* signal) const {
    for (std::size_t i = 0; i < ranks_.size(); ++i) {
      if (!ranks_[i].status) {
        log::warning("launch", name(i) + " still runs: sending " + signal);
      }
    }
  }

  [[nodiscard]] std::string cause(std::size_t index, int status) const {
    const std::string message = ranks_[index].report.message();
    const std::string log = output_ ? output_->path(static_cast<int>(index)) : std::string();
    if (!message.empty()) return ": " + message + (log.empty() ? "" : " (log: " + log + ")");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
      return ". Nobody here sent it: see the kernel's log for a lack of memory" +
             (log.empty() ? "." : ", and " + log + ".");
    }
    return log.empty() ? ", its messages are above" : ", see " + log;
  }

  [[nodiscard]] RanksEnd result() const {
    RanksEnd end;
    if (ending_.first_failed) {
      const int status = *ranks_[*ending_.first_failed].status;
      const std::string how = ending_.first_is_consequence && shell_status(status) == kPeerFailed
                                  ? "exit code 4 (another rank failed)"
                                  : describe_status(status);
      end.rank = global_rank(options_, static_cast<int>(*ending_.first_failed));
      end.consequence = ending_.first_is_consequence;
      end.failure = name(*ending_.first_failed) + ", " + how + cause(*ending_.first_failed, status);
      end.status =
          ending_.interrupted_by != 0 ? 128 + ending_.interrupted_by : shell_status(status);
      log::error("launch", "first failure: " + end.failure);
    } else if (ending_.stopped) {
      end.status = kStoppedExitCode;
    } else if (ending_.interrupted_by != 0) {
      log::warning("launch", "stopped by " + name_of(ending_.interrupted_by));
      end.status = 128 + ending_.interrupted_by;
    }
    return end;
  }

  const LaunchOptions& options_;
  OrderReader* orders_;
  std::optional<net::BoundSocket> socket_;
  SignalInbox inbox_;
  Keeper keeper_;
  std::optional<RankOutput> output_;
  std::vector<Rank> ranks_;
  Ending ending_;
};

}  // namespace

RanksEnd supervise_ranks(const LaunchOptions& options, Supervision supervision) {
  ZT_ASSERT(options.nproc >= 1 && options.nnodes >= 1, "a run has at least one rank");
  ZT_ASSERT(options.node_rank >= 0 && options.node_rank < options.nnodes, "node outside the run");
  return Supervisor(options, std::move(supervision)).run();
}

int run_ranks(const LaunchOptions& options) { return supervise_ranks(options, {}).status; }

}  // namespace zt::launch
