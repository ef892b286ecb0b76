#include "comm/process_identity.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace zt::comm {
namespace {

std::string machine() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  file >> boot;
  std::error_code error;
  const auto pid_namespace = std::filesystem::read_symlink("/proc/self/ns/pid", error);
  return boot + "/" + pid_namespace.string();
}

struct ProcessState {
  char state = 'X';        // as in /proc/<pid>/stat; X: no such process
  std::string start_time;  // clock ticks since boot
};

ProcessState state_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) {
    return {};
  }
  std::istringstream fields(text.substr(name_end + 1));
  ProcessState result;
  fields >> result.state;
  // state is field 3, start time field 22.
  for (int field = 4; field <= 22; ++field) {
    fields >> result.start_time;
  }
  return result;
}

}  // namespace

std::string process_identity() {
  const std::string pid = std::to_string(getpid());
  return machine() + " " + pid + " " + state_of(pid).start_time;
}

bool has_ended(const std::string& identity) {
  std::istringstream fields(identity);
  std::string where, pid, start_time;
  fields >> where >> pid >> start_time;
  if (where != machine() || pid.empty()) {
    return false;
  }
  const ProcessState now = state_of(pid);
  return now.state == 'X' || now.state == 'Z' || now.start_time != start_time;
}

std::unique_ptr<PositionReader> open_position(const std::string& identity) {
  std::istringstream fields(identity);
  std::string where, pid, start_time;
  int fd = -1;
  fields >> where >> pid >> start_time >> fd;
  const bool is_here = fields && fd >= 0 && where == machine();
  return is_here && !has_ended(identity) ? PositionReader::open(pid, fd) : nullptr;
}

}  // namespace zt::comm
