#pragma once

#include <string>
#include <vector>

namespace zt::launch {

/// One machine of a run and the slots (GPUs) of it that are used, ascending.
struct Host {
  std::string name;
  std::vector<int> slots;

  bool operator==(const Host&) const = default;
};

/// Reads lines `<host> slots=<n>`; blank lines and lines that begin with # are skipped. A name is a
/// host name, an address or `user@` one: anything that ssh could take for a flag or a shell for a
/// command is refused. `path` is only for messages. Errors: ConfigError listing every bad line, a
/// host that is there twice, and a file without hosts.
[[nodiscard]] std::vector<Host> parse_hostfile(const std::string& text, const std::string& path);

/// As above, from a file. Errors: ConfigError, also when it cannot be read.
[[nodiscard]] std::vector<Host> read_hostfile(const std::string& path);

/// What `--include` or `--exclude` leaves, in the order of `hosts`. Grammar:
/// `HOST[:SLOT[,SLOT...]]` joined by `@`; a host without slots means all of them; repeated hosts
/// merge. At most one of the two is given. `any_slot`: included slots need not be offered (a
/// machine without hostfile, whose slots are device numbers). Errors: ConfigError naming each host
/// and slot that is not there.
[[nodiscard]] std::vector<Host> filter_hosts(const std::vector<Host>& hosts,
                                             const std::string& include, const std::string& exclude,
                                             bool any_slot = false);

/// Ranks of all machines together.
[[nodiscard]] int num_slots(const std::vector<Host>& hosts);
/// `0,2` and `n1:0,1 n2:0`.
[[nodiscard]] std::string slot_list(const Host& host);
[[nodiscard]] std::string describe(const std::vector<Host>& hosts);

}  // namespace zt::launch
