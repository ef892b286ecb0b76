#pragma once

#include <string>
#include <vector>

#include "launch/launch_flags.h"

namespace zt::launch {

/// `ssh ... HOST exec <zt> launch --node_stdin`: never asks for a password, and ends within 15 s of
/// losing the other machine. Everything else travels over stdin. `zt`: path of the program, the
/// same on every machine.
[[nodiscard]] std::vector<std::string> ssh_command(const MachineFlags& flags,
                                                   const std::string& host, const std::string& zt);

/// Why a machine did not start, and what to do: from ssh's exit code and the last lines that it or
/// the machine wrote.
[[nodiscard]] std::string explain_ssh(int exit_code, const std::vector<std::string>& lines,
                                      const std::string& host);

/// For a POSIX shell: unchanged when plain, else in single quotes.
[[nodiscard]] std::string shell_quoted(const std::string& word);

}  // namespace zt::launch
