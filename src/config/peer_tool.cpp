#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "config/flags_table.h"
#include "config/resolve.h"
#include "config/tools.h"

// For tests/peers: `flags` lists every flag, `rows` what docs/config.md says of it, `train
// FLAGS...` prints the resolved tree for two ranks and hidden size 64 (no folder is required), or
// the problems with exit code 2.

namespace {

/// One line of `many`: ranks, hidden size, then arguments, separated by tabs.
void answer(const std::string& line) {
  std::vector<std::string> parts;
  std::istringstream stream(line);
  for (std::string part; std::getline(stream, part, '\t');) parts.push_back(part);
  try {
    zt::config::Facts facts;
    facts.world_size = std::stoll(parts.at(0));
    if (parts.at(1) != "-") facts.hidden_size = std::stoll(parts.at(1));
    facts.reads_data = false;
    facts.reads_model = false;
    const std::vector<std::string> args(parts.begin() + 2, parts.end());
    const bool alone = !args.empty() && args.front() == "from_deepspeed";
    const auto config =
        alone ? zt::config::from_deepspeed(args.at(1), facts) : zt::config::resolve(args, facts);
    std::cout << "ok\n" << describe(config);
  } catch (const zt::ConfigError& error) {
    std::cout << "refused\n" << error.what() << "\n";
  }
  std::cout << "\x1e" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) return 64;
  if (args.front() == "flags") {
    for (const auto& flag : zt::config::flag_table()) std::cout << flag.name << "\n";
    for (const auto& alias : zt::config::flag_aliases()) std::cout << alias.alias << "\n";
    return 0;
  }
  if (args.front() == "many") {
    for (std::string line; std::getline(std::cin, line);) answer(line);
    return 0;
  }
  if (args.front() == "rows") {  // for tests/config/update_docs.py
    for (const auto& flag : zt::config::flag_table()) {
      std::cout << flag.name << "\t" << zt::config::documented(flag) << "\n";
    }
    for (const auto& alias : zt::config::flag_aliases()) {
      std::cout << alias.alias << " = " << alias.name << "\n";
    }
    for (const auto& effect : zt::config::effects()) {
      std::cout << "# " << documented(effect) << "\n";
    }
    return 0;
  }
  try {
    zt::config::Facts facts{.world_size = 2, .hidden_size = 64};
    facts.reads_data = false;
    facts.reads_model = false;
    std::cout << describe(zt::config::resolve({args.begin() + 1, args.end()}, facts));
    return 0;
  } catch (const zt::ConfigError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
