#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/sockets.h"
#include "testing/rank_launcher.h"

namespace zt::testing {
namespace {

using Clock = std::chrono::steady_clock;

/// A forked rank: its process and the pipe on which it tells why it failed.
struct Child {
  pid_t pid = -1;
  int pipe = -1;
  bool running = true;
};

void write_text(int fd, const std::string& text) {
  const ssize_t written = ::write(fd, text.data(), text.size());
  static_cast<void>(written);
}

/// Runs in the child; returns its exit code.
int run_rank(const comm::RendezvousOptions& options, Device device,
             const std::function<void(comm::RankGroup&)>& body, int pipe) {
  try {
    const auto group = comm::rendezvous(options, device);
    try {
      body(*group);
      group->leave();
    } catch (const CommError&) {
      throw;
    } catch (const std::exception& error) {
      group->report_failure(error.what());
      throw;
    }
  } catch (const std::exception& error) {
    write_text(pipe, error.what());
    return 1;
  }
  if (::testing::Test::HasFailure()) {
    write_text(pipe, "failed expectations, see the output above");
    return 1;
  }
  return 0;
}

Child fork_rank(const comm::RendezvousOptions& options, Device device,
                const std::function<void(comm::RankGroup&)>& body) {
  int ends[2] = {};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe2 failed");
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
      _exit(1);
    }
    const int code = run_rank(options, device, body, ends[1]);
    fflush(nullptr);
    _exit(code);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

std::string read_all(int fd) {
  std::string text;
  char block[4096];
  for (ssize_t n = 0; (n = read(fd, block, sizeof(block))) > 0;) {
    text.append(block, static_cast<std::size_t>(n));
  }
  close(fd);
  return text;
}

RankResult collect(int rank, Child& child, int status, Clock::time_point start) {
  child.running = false;
  RankResult result;
  result.rank = rank;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result.succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  result.message = read_all(child.pipe);
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return result;
}

}  // namespace

std::vector<RankResult> run_processes(int world, const std::function<void(comm::RankGroup&)>& body,
                                      const ProcessOptions& options) {
  const auto start = Clock::now();
  net::BoundSocket socket = net::bind_socket("127.0.0.1", 0);
  comm::RendezvousOptions rank_options;
  rank_options.world = world;
  rank_options.master_port = socket.port();
  rank_options.timeout = options.operation_timeout;
  rank_options.connect_timeout = std::chrono::seconds(30);
  rank_options.monitor = options.monitor;
  rank_options.local_world = world;
  std::vector<Child> children;
  std::vector<pid_t> pids;
  for (int rank = 0; rank < world; ++rank) {
    rank_options.rank = rank_options.local_rank = rank;
    rank_options.listen_fd = rank == 0 ? std::optional(socket.fd()) : std::nullopt;
    children.push_back(fork_rank(rank_options, options.device, body));
    pids.push_back(children.back().pid);
  }
  close(socket.release());
  if (options.interfere) {
    options.interfere(pids);
  }
  std::vector<RankResult> results(children.size());
  std::size_t ended = 0;
  bool killed = false;
  while (ended < children.size()) {
    for (std::size_t rank = 0; rank < children.size(); ++rank) {
      int status = 0;
      if (children[rank].running && waitpid(children[rank].pid, &status, WNOHANG) > 0) {
        results[rank] = collect(static_cast<int>(rank), children[rank], status, start);
        ++ended;
      }
    }
    if (!killed && Clock::now() - start > options.timeout) {
      killed = true;
      for (std::size_t rank = 0; rank < children.size(); ++rank) {
        if (children[rank].running) {
          ADD_FAILURE() << "rank " << rank << " still ran after " << options.timeout.count()
                        << " s";
          kill(children[rank].pid, SIGKILL);
        }
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const RankResult& result : results) {
    if (options.expect_success && !result.succeeded) {
      ADD_FAILURE() << "rank " << result.rank << " of " << world << ": exit code "
                    << result.exit_code << ", signal " << result.signal << ": " << result.message;
    }
  }
  return results;
}

}  // namespace zt::testing
