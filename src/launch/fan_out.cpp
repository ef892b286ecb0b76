#include "launch/fan_out.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <random>

#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "launch/keeper.h"
#include "launch/node_process.h"
#include "launch/signal_inbox.h"
#include "launch/ssh_command.h"

namespace zt::launch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLostNode = 4;  ///< exit code of CommError
constexpr int kSshFailed = 255;
constexpr auto kTick = std::chrono::milliseconds(200);

std::string seconds(std::chrono::milliseconds time) {
  return std::to_string(time.count() / 1000) + " s";
}

class FanOut {
 public:
  explicit FanOut(const FanOutOptions& options) : options_(options) { start_nodes(); }

  int run() {
    if (!wait_until_ready()) return refuse();
    if (interrupted_by_ != 0) return 128 + interrupted_by_;
    start_ranks();
    while (!all_ended()) {
      wait_for_news();
      note_failures();
      escalate();
    }
    note_failures();
    return result();
  }

 private:
  void start_nodes() {
    int first_rank = 0;
    for (std::size_t i = 0; i < options_.hosts.size(); ++i) {
      const Host& host = options_.hosts[i];
      nodes_.emplace_back(host.name, options_.job.token, options_.commands[i]);
      keeper_.watch(nodes_.back().pid());
      NodeJob job = options_.job;
      job.node_rank = static_cast<int>(i);
      job.first_rank = first_rank;
      job.slots = host.slots;
      job.second_host = options_.hosts[options_.hosts.size() > 1 ? (i == 0 ? 1 : 0) : 0].name;
      nodes_.back().send(encode(job));
      first_rank += static_cast<int>(host.slots.size());
    }
  }

  /// Output, answers and signals, for a moment.
  void wait_for_news() {
    std::vector<pollfd> entries = {{inbox_.fd(), POLLIN, 0}};
    for (const NodeProcess& node : nodes_) {
      for (const int fd : node.readable()) entries.push_back({fd, POLLIN, 0});
      if (node.writable() >= 0) entries.push_back({node.writable(), POLLOUT, 0});
    }
    poll(entries.data(), entries.size(), static_cast<int>(kTick.count()));
    for (NodeProcess& node : nodes_) {
      node.pump();
      if (node.status()) keeper_.forget(node.pid());
    }
    const int signal = inbox_.wait(std::chrono::milliseconds(0));
    if (signal != 0 && signal != SIGCHLD) take_signal(signal);
  }

  void take_signal(int signal) {
    if (signal != SIGUSR1) {
      if (interrupted_by_ != 0 && Clock::now() - interrupted_at_ < std::chrono::seconds(2)) return;
      if (interrupted_by_ == 0) end_at_ = Clock::now() + options_.stop_grace + options_.term_grace;
      interrupted_by_ = interrupted_by_ == 0 ? signal : interrupted_by_;
      interrupted_at_ = Clock::now();
      log::warning("launch", "got signal " + std::to_string(signal) + " (" + strsignal(signal) +
                                 "): passed on to all machines");
    }
    send_signal(signal);
  }

  void send_signal(int signal) {
    for (NodeProcess& node : nodes_) {
      if (!node.end()) node.send(encode(NodeOrder{.signal = signal}));
    }
  }

  /// True when every machine can start its ranks.
  bool wait_until_ready() {
    const auto until = Clock::now() + options_.connect_timeout;
    while (interrupted_by_ == 0) {
      wait_for_news();
      const bool all = std::all_of(nodes_.begin(), nodes_.end(), [](const NodeProcess& node) {
        return node.ready() || node.end() || node.status();
      });
      if (all || Clock::now() >= until) break;
    }
    return interrupted_by_ != 0 ||
           std::all_of(nodes_.begin(), nodes_.end(), [](const NodeProcess& node) {
             return node.ready() && !node.end() && !node.status();
           });
  }

  /// Names every machine that is not ready. The others read the end of their orders and leave.
  int refuse() {
    std::vector<std::pair<std::string, std::string>> reasons;  // reason, machines
    int status = 0;
    for (const NodeProcess& node : nodes_) {
      if (node.ready() && !node.end() && !node.status()) continue;
      std::string reason;
      if (node.end()) {
        reason = node.end()->failure;
        status = status == 0 ? node.end()->status : status;
      } else if (node.status()) {
        reason = explain_ssh(*node.status(), node.last_lines(), node.name());
      } else {
        reason = node.name() + ": no answer within " + seconds(options_.connect_timeout) +
                 ". Is it up, and does `ssh " + node.name() + " true` end quickly?";
      }
      const auto same = std::find_if(reasons.begin(), reasons.end(),
                                     [&](const auto& known) { return known.first == reason; });
      if (same == reasons.end()) {
        reasons.emplace_back(reason, node.name());
      } else {
        same->second += ", " + node.name();
      }
    }
    for (const auto& [reason, machines] : reasons) {
      log::error("launch", "cannot start on " + machines + ": " + reason);
    }
    for (NodeProcess& node : nodes_) node.close_orders();
    return status == 0 ? kLostNode : status;
  }

  void start_ranks() {
    const NodeReady& first = *nodes_.front().ready();
    log::info("launch", "all machines have answered; the store listens on " + first.master_addr +
                            " port " + std::to_string(first.master_port));
    for (NodeProcess& node : nodes_) {
      node.send(encode(NodeOrder{
          .start = true, .master_addr = first.master_addr, .master_port = first.master_port}));
    }
  }

  [[nodiscard]] bool all_ended() const {
    return std::all_of(nodes_.begin(), nodes_.end(),
                       [](const NodeProcess& node) { return node.status().has_value(); });
  }

  struct Failure {
    int status;
    bool consequence;
    std::string text;
  };

  /// What this side has done about a machine.
  struct Seen {
    bool noted = false;    ///< its failure counts already
    bool cut_off = false;  ///< it did not end in time
  };

  [[nodiscard]] bool is_cut_off(std::size_t index) const {
    const auto seen = seen_.find(index);
    return seen != seen_.end() && seen->second.cut_off;
  }

  /// How a machine failed; nothing while it runs and after success.
  [[nodiscard]] std::optional<Failure> failure_of(std::size_t index) const {
    const NodeProcess& node = nodes_[index];
    if (node.end()) {
      const NodeEnd& end = *node.end();
      if (end.failure.empty()) return std::nullopt;
      return Failure{end.status, end.consequence, end.failure + " (on " + node.name() + ")"};
    }
    if (!node.status()) return std::nullopt;
    const std::string ranks = node.name() + " (" + ranks_of(index) + ")";
    const auto lines = node.last_lines();
    const std::string last = lines.empty() ? "" : ": " + lines.back();
    if (*node.status() == kSshFailed || is_cut_off(index)) {
      return Failure{kLostNode, false,
                     ranks + ": the machine or the connection to it was lost" + last};
    }
    return Failure{kLostNode, false, ranks + ": its launcher was killed" + last};
  }

  [[nodiscard]] std::string ranks_of(std::size_t index) const {
    int first = 0;
    for (std::size_t i = 0; i < index; ++i) {
      first += static_cast<int>(options_.hosts[i].slots.size());
    }
    const int last = first + static_cast<int>(options_.hosts[index].slots.size()) - 1;
    return first == last ? "rank " + std::to_string(first)
                         : "ranks " + std::to_string(first) + " to " + std::to_string(last);
  }

  void note_failures() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto failure = seen_[i].noted ? std::nullopt : failure_of(i);
      if (!failure) continue;
      seen_[i].noted = true;
      if (interrupted_by_ != 0 && !first_) continue;  // it did as told
      if (!first_ || (first_->consequence && !failure->consequence && !sent_term_)) {
        first_ = failure;
      }
      if (!end_at_) end_at_ = Clock::now() + options_.report_grace;
    }
  }

  /// After a failure or a signal: time to end alone, SIGTERM, time again, the end.
  void escalate() {
    if (!end_at_ || Clock::now() < *end_at_) return;
    if (!sent_term_ && interrupted_by_ == 0) {
      sent_term_ = true;
      send_signal(SIGTERM);
      end_at_ = Clock::now() + options_.term_grace;
      return;
    }
    end_at_.reset();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].status()) continue;
      log::warning("launch", nodes_[i].name() + " still runs: cutting the connection");
      if (!nodes_[i].end()) seen_[i].cut_off = true;
      nodes_[i].kill_process(SIGKILL);
    }
    sent_term_ = false;  // a machine that never answered again is a cause, no consequence
  }

  [[nodiscard]] int result() const {
    if (first_) {
      log::error("launch", "first failure: " + first_->text);
      return interrupted_by_ != 0 ? 128 + interrupted_by_ : first_->status;
    }
    int status = 0;
    for (const NodeProcess& node : nodes_) status = std::max(status, node.status().value_or(0));
    if (status != 0 && status != kStoppedExitCode && interrupted_by_ != 0) {
      log::warning("launch", std::string("stopped by signal ") + std::to_string(interrupted_by_));
      return 128 + interrupted_by_;
    }
    return status;
  }

  const FanOutOptions& options_;
  SignalInbox inbox_;
  Keeper keeper_;
  std::vector<NodeProcess> nodes_;
  std::map<std::size_t, Seen> seen_;
  std::optional<Failure> first_;
  bool sent_term_ = false;
  int interrupted_by_ = 0;
  Clock::time_point interrupted_at_;
  std::optional<Clock::time_point> end_at_;
};

}  // namespace

int fan_out(const FanOutOptions& options) {
  ZT_ASSERT(!options.hosts.empty() && options.hosts.size() == options.commands.size(),
            "one command per machine");
  return FanOut(options).run();
}

std::string random_token() {
  std::random_device device;
  std::string token = "zt-node-";
  for (int i = 0; i < 4; ++i) token += std::to_string(device());
  return token;
}

}  // namespace zt::launch
