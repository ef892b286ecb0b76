#include <iostream>

#include "config/flags_table.h"
#include "config/resolve.h"

// For tests/peers: `flags` lists every flag, `rows` what docs/config.md says of it, `train
// FLAGS...` prints the resolved tree for two ranks and hidden size 64 (no folder is required), or
// the problems with exit code 2.

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty()) return 64;
  if (args.front() == "flags") {
    for (const auto& flag : zt::config::flag_table()) std::cout << flag.name << "\n";
    for (const auto& alias : zt::config::flag_aliases()) std::cout << alias.alias << "\n";
    return 0;
  }
  if (args.front() == "rows") {  // for tests/config/update_docs.py
    for (const auto& flag : zt::config::flag_table()) {
      std::cout << flag.name << "\t" << zt::config::documented(flag) << "\n";
    }
    for (const auto& alias : zt::config::flag_aliases()) {
      std::cout << alias.alias << " = " << alias.name << "\n";
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
