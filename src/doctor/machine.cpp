#include "doctor/machine.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/sockets.h"
#include "launch/affinity.h"

namespace zt::doctor {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

double meminfo(const std::string& key) {
  std::ifstream in("/proc/meminfo");
  for (std::string name, unit; in >> name;) {
    double kib = 0;
    in >> kib;
    std::getline(in, unit);
    if (name == key + ":") return kib * 1024;
  }
  return 0;
}

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), value < 10 ? "%.2f" : "%.0f", value);
  return text;
}

/// Each thread copies its own buffer a few times; the slowest decides.
double copy_rate(std::size_t threads, std::size_t bytes_each) {
  constexpr int kRounds = 4;
  std::vector<std::vector<char>> from(threads), to(threads);
  const auto fill = [&](std::size_t i) {  // by its own thread: memory of its NUMA node
    from[i].assign(bytes_each, 'x');
    to[i].assign(bytes_each, 'y');
  };
  const auto copy = [&](std::size_t i) {
    for (int round = 0; round < kRounds; ++round) {
      std::memcpy(to[i].data(), from[i].data(), bytes_each);
      from[i][static_cast<std::size_t>(round)] = to[i].back();
    }
  };
  const auto on_all = [&](const auto& work) {
    std::vector<std::thread> workers;
    for (std::size_t i = 0; i < threads; ++i) workers.emplace_back(work, i);
    for (std::thread& worker : workers) worker.join();
  };
  on_all(fill);
  const auto begun = std::chrono::steady_clock::now();
  on_all(copy);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begun;
  return 2.0 * kRounds * static_cast<double>(threads * bytes_each) / time.count();
}

}  // namespace

Verdict check_system() {
  utsname system{};
  uname(&system);
  const launch::Topology topology = launch::read_topology();
  return {.check = "system",
          .text = std::string(system.sysname) + " " + system.release + ", " + processor_name() +
                  ", " + std::to_string(topology.cpus.size()) + " processors on " +
                  std::to_string(topology.cores.size()) + " cores and " +
                  std::to_string(std::max<std::size_t>(1, topology.nodes.size())) +
                  " NUMA nodes may be used"};
}

Verdict check_host_memory() {
  const double total = meminfo("MemTotal"), free = meminfo("MemAvailable");
  Verdict verdict{.check = "host memory",
                  .text = size_text(free) + " of " + size_text(total) + " available",
                  .remedy = "",
                  .value = free,
                  .unit = "bytes"};
  if (free < 2 * kGiB) {
    verdict.level = Level::bad;
    verdict.remedy = "End other programs: the first rank alone needs about 1 GiB";
  } else if (free < total / 4) {
    verdict.level = Level::notice;
    verdict.remedy = "Most of it is in use by other programs; offload would find little";
  }
  return verdict;
}

Verdict check_memory_bandwidth() {
  const std::size_t threads = std::clamp<std::size_t>(launch::read_topology().cores.size(), 1, 64);
  const double room = meminfo("MemAvailable") / 8 / 2 / static_cast<double>(threads);
  const auto bytes = static_cast<std::size_t>(std::clamp(room, 1.0e6, 64.0e6));
  const double rate = std::max(copy_rate(threads, bytes), copy_rate(threads, bytes)) / 1e9;
  return {
      .check = "host memory bandwidth",
      .text = rounded(rate) + " GB/s read and written by " + std::to_string(threads) + " threads",
      .remedy = "",
      .value = rate,
      .unit = "GB/s"};
}

Verdict check_locked_memory() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) {
    return {.check = "locked memory", .text = "no limit"};
  }
  const auto bytes = static_cast<double>(limit.rlim_cur);
  return {
      .level = bytes < kGiB ? Level::notice : Level::good,
      .check = "locked memory",
      .text = "limit " + size_text(bytes) + " (CUDA's page-locked memory does not count)",
      .remedy = bytes < kGiB ? "InfiniBand and io_uring may need more: ulimit -l unlimited" : "",
      .value = bytes,
      .unit = "bytes"};
}

Verdict check_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const bool few = limit.rlim_cur < 1024;
  return {.level = few ? Level::notice : Level::good,
          .check = "open files",
          .text = "limit " + std::to_string(limit.rlim_cur),
          .remedy = few ? "Many ranks need more: ulimit -n 4096" : "",
          .value = static_cast<double>(limit.rlim_cur),
          .unit = "files"};
}

Verdict check_shared_memory(const std::string& folder) {
  struct statvfs state {};
  if (statvfs(folder.c_str(), &state) != 0) {
    return {.level = Level::bad,
            .check = folder,
            .text = "is not there",
            .remedy = "Mount a tmpfs there: NCCL's ranks of one machine may talk through it"};
  }
  const double free = static_cast<double>(state.f_bavail) * static_cast<double>(state.f_frsize);
  const bool little = free < 512.0 * 1024 * 1024;
  return {.level = little ? Level::notice : Level::good,
          .check = folder,
          .text = size_text(free) + " free",
          .remedy = little ? "NCCL may need more; containers: --shm-size=1g or --ipc=host" : "",
          .value = free,
          .unit = "bytes"};
}

Verdicts check_ports() {
  Verdicts verdicts;
  try {
    const int port = net::listen_socket("127.0.0.1", 0).port();
    verdicts.push_back(
        {.check = "loopback", .text = "127.0.0.1 gives ports, such as " + std::to_string(port)});
  } catch (const Error& error) {
    verdicts.push_back({.level = Level::bad,
                        .check = "loopback",
                        .text = error.what(),
                        .remedy = "Bring the interface lo up"});
  }
  try {
    static_cast<void>(net::listen_socket("127.0.0.1", 29500));
    verdicts.push_back({.check = "port 29500", .text = "free"});
  } catch (const Error&) {
    verdicts.push_back({.level = Level::notice,
                        .check = "port 29500",
                        .text = "taken by another program",
                        .remedy = "Runs on several machines need another --master_port"});
  }
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  try {
    const std::string address = net::local_address_towards(name, 29500);
    verdicts.push_back({.check = "host name", .text = std::string(name) + " is " + address});
  } catch (const Error&) {
    verdicts.push_back({.level = Level::notice,
                        .check = "host name",
                        .text = std::string(name) + " does not resolve",
                        .remedy = "torchrun's c10d rendezvous needs it; add it to /etc/hosts"});
  }
  return verdicts;
}

Verdict check_clock() {
  timex state{};
  const bool known = adjtimex(&state) >= 0;
  const bool synchronised = known && (state.status & STA_UNSYNC) == 0;
  return {.level = synchronised ? Level::good : Level::notice,
          .check = "system clock",
          .text = synchronised ? "synchronised" : "not known to be synchronised",
          .remedy = synchronised ? "" : "Run an NTP client, so that logs of machines compare"};
}

}  // namespace zt::doctor
