#include "launch/ssh_command.h"

#include <algorithm>
#include <cctype>

namespace zt::launch {
namespace {

/// What ssh or the remote shell says, and what helps.
struct Cause {
  const char* text;
  const char* remedy;
};
constexpr Cause kCauses[] = {
    {"REMOTE HOST IDENTIFICATION HAS CHANGED",
     "Its key is not the one that is known here. Make sure it is the right machine, then "
     "ssh-keygen "
     "-R its name"},
    {"Host key verification failed", "Log in once by hand, or add its key to known_hosts"},
    {"Permission denied", "Allow login with a key, without a password, from this machine to it"},
    {"Could not resolve hostname", "Correct the name in the hostfile"},
    {"Connection refused", "Start its ssh server, or give --ssh_port"},
    {"timed out", "Is it up, and can it be reached from here?"},
    {"No route to host", "Is it up, and can it be reached from here?"},
    {"Network is unreachable", "Is it up, and can it be reached from here?"},
    {"not found", "Install zerotrain under the same path on every machine"},
    {"No such file or directory", "Install zerotrain under the same path on every machine"},
};

}  // namespace

std::string shell_quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string("_@%+=:,./-").find(static_cast<char>(c)) != std::string::npos;
  });
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::vector<std::string> ssh_command(const MachineFlags& flags, const std::string& host,
                                     const std::string& zt) {
  const auto seconds = std::to_string(flags.connect_timeout.count());
  std::vector<std::string> words = {"ssh", "-T", "-x", "-a"};
  for (const std::string& option :
       {std::string("BatchMode=yes"), std::string("ServerAliveInterval=5"),
        std::string("ServerAliveCountMax=3"), "ConnectTimeout=" + seconds,
        std::string("ControlMaster=no"), std::string("ControlPath=none"),
        std::string("ClearAllForwardings=yes")}) {
    words.insert(words.end(), {"-o", option});
  }
  if (flags.ssh_port > 0) words.insert(words.end(), {"-p", std::to_string(flags.ssh_port)});
  words.insert(words.end(), flags.launcher_args.begin(), flags.launcher_args.end());
  words.insert(words.end(), {"--", host, "exec " + shell_quoted(zt) + " launch --node_stdin"});
  return words;
}

std::string explain_ssh(int exit_code, const std::vector<std::string>& lines,
                        const std::string& host) {
  for (const Cause& cause : kCauses) {
    for (const std::string& line : lines) {
      if (line.find(cause.text) == std::string::npos) continue;
      return host + ": " + line + ". " + cause.remedy + ".";
    }
  }
  return host + ": ended with exit code " + std::to_string(exit_code) + " before it could start" +
         (lines.empty() ? std::string(".") : ": " + lines.back());
}

}  // namespace zt::launch
