#include "launch/rank_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "launch/affinity.h"

namespace zt::launch {
namespace {

int omp_threads(const LaunchOptions& options, const RankStart& start) {
  if (!options.places.empty()) {
    const auto& cpus = options.places[static_cast<std::size_t>(start.local_rank)].cpus;
    // Ranks of one NUMA node share its processors.
    const auto sharing = std::count_if(options.places.begin(), options.places.end(),
                                       [&](const RankPlace& other) { return other.cpus == cpus; });
    if (!cpus.empty())
      return std::max(1, static_cast<int>(cpus.size()) / static_cast<int>(sharing));
  }
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return options.omp_threads > 0 ? options.omp_threads : std::max(1, cores / options.nproc);
}

std::string list_of(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

void set(const char* name, int value) { setenv(name, std::to_string(value).c_str(), 1); }

/// The same places under the names of torchrun and of DeepSpeed's launcher.
void set_environment(const LaunchOptions& options, const RankStart& start) {
  set("RANK", global_rank(options, start.local_rank));
  set("LOCAL_RANK", start.local_rank);
  set("WORLD_SIZE", options.world_size > 0 ? options.world_size : options.nnodes * options.nproc);
  for (const char* name : {"LOCAL_WORLD_SIZE", "LOCAL_SIZE"}) set(name, options.nproc);
  for (const char* name : {"NODE_RANK", "GROUP_RANK", "CROSS_RANK"}) set(name, options.node_rank);
  for (const char* name : {"GROUP_WORLD_SIZE", "CROSS_SIZE"}) set(name, options.nnodes);
  setenv("MASTER_ADDR", options.master_addr.c_str(), 1);
  set("MASTER_PORT", start.master_port);
  for (const char* name : {"ZT_LISTEN_FD", "TORCHELASTIC_USE_AGENT_STORE",
                           "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_ERROR_FILE"}) {
    unsetenv(name);
  }
  setenv("OMP_NUM_THREADS", std::to_string(omp_threads(options, start)).c_str(), 0);
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR", 0);
  if (!options.devices.empty()) setenv("CUDA_VISIBLE_DEVICES", list_of(options.devices).c_str(), 1);
  if (!start.interface.empty()) {  // else NCCL may meet on another one
    setenv("NCCL_SOCKET_IFNAME", ("=" + start.interface).c_str(), 0);
  }
}

void pass_on(const char* name, int fd, const std::string& text) {
  if (fd >= 0) {
    fcntl(fd, F_SETFD, 0);
    setenv(name, text.c_str(), 1);
  }
}

/// Runs in the child; returns only when exec failed.
void become_rank(const LaunchOptions& options, const RankStart& start, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    return;  // the parent ended before the line above
  }
  setpgid(0, 0);
  set_environment(options, start);
  if (global_rank(options, start.local_rank) == 0) {
    pass_on("ZT_LISTEN_FD", start.listen_fd, std::to_string(start.listen_fd));
  }
  pass_on("TORCHELASTIC_ERROR_FILE", start.report_fd,
          "/proc/self/fd/" + std::to_string(start.report_fd));
  if (start.no_input) {
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  }
  if (start.output_fd >= 0) {
    dup2(start.output_fd, STDOUT_FILENO);
    dup2(start.output_fd, STDERR_FILENO);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!options.places.empty()) {
    settle(options.places[static_cast<std::size_t>(start.local_rank)]);
  }
  std::vector<std::string> words = options.arguments;
  if (options.local_rank_at >= 0) {
    words.insert(words.begin() + options.local_rank_at,
                 "--local_rank=" + std::to_string(start.local_rank));
  }
  words.insert(words.begin(), options.program);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(options.executable.c_str(), argv.data());
  dprintf(STDERR_FILENO, "[launch.start] cannot run '%s': %s. Give a program that exists.\n",
          options.program.c_str(), std::strerror(errno));
}

}  // namespace

pid_t start_rank(const LaunchOptions& options, const RankStart& start) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    throw DeviceError(std::string("[launch.start] fork failed: ") + std::strerror(errno) +
                      ". Free processes or memory of this machine.");
  }
  if (pid == 0) {
    become_rank(options, start, parent);
    _exit(127);
  }
  setpgid(pid, pid);  // also here: a signal may be forwarded before the child ran
  return pid;
}

std::string describe_status(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return "signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  }
  return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

int shell_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace zt::launch
