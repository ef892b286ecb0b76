#include "launch/rank_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"

namespace zt::launch {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw DeviceError(std::string("[launch.start] ") + what + " failed: " + std::strerror(errno) +
                    ". Free processes, memory or descriptors of this machine.");
}

int omp_threads(const LaunchOptions& options) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return options.omp_threads > 0 ? options.omp_threads : std::max(1, cores / options.nproc);
}

void set(const char* name, int value) { setenv(name, std::to_string(value).c_str(), 1); }

/// Runs in the child; returns only when exec failed.
void become_rank(const LaunchOptions& options, const RankStart& start, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    return;  // the parent ended before the line above
  }
  setpgid(0, 0);
  set("RANK", start.rank);
  set("LOCAL_RANK", start.rank);
  set("WORLD_SIZE", options.nproc);
  set("LOCAL_WORLD_SIZE", options.nproc);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  set("MASTER_PORT", start.master_port);
  setenv("OMP_NUM_THREADS", std::to_string(omp_threads(options)).c_str(), 0);
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR", 0);
  if (start.rank == 0) {
    fcntl(start.listen_fd, F_SETFD, 0);
    set("ZT_LISTEN_FD", start.listen_fd);
  } else {
    unsetenv("ZT_LISTEN_FD");
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(options.executable.c_str()));
  for (const std::string& argument : options.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execv(options.executable.c_str(), argv.data());
}

}  // namespace

pid_t start_rank(const LaunchOptions& options, const RankStart& start) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    throw_errno("fork");
  }
  if (pid == 0) {
    become_rank(options, start, parent);
    _exit(127);
  }
  setpgid(pid, pid);  // also here: a signal may be forwarded before the child ran
  return pid;
}

LoopbackSocket::LoopbackSocket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (fd_ < 0 || bind(fd_, generic, length) != 0 || getsockname(fd_, generic, &length) != 0) {
    throw_errno("binding a loopback port");
  }
  port_ = ntohs(address.sin_port);
}

LoopbackSocket::~LoopbackSocket() { close(fd_); }

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
