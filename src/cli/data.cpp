#include <fmt/format.h>

#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "data/tokenize_command.h"

namespace zt::cli {
namespace {

constexpr const char* kUsage = "zt data tokenize --tokenizer DIR FILE";

[[noreturn]] void refuse(const std::string& what) {
  throw ConfigError(fmt::format("[cli.data] {}. Use: {}", what, kUsage));
}

}  // namespace

int run_data(const Arguments& arguments) {
  if (arguments.empty() || arguments.front() != "tokenize") refuse("expected the word `tokenize`");
  std::string tokenizer, file;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    if (argument == "--tokenizer") {
      if (++i == arguments.size()) refuse("--tokenizer needs a folder");
      tokenizer = arguments[i];
    } else if (argument.starts_with("--")) {
      refuse(fmt::format("unknown flag {}", argument));
    } else if (file.empty()) {
      file = argument;
    } else {
      refuse(fmt::format("one file at a time: got {} and {}", file, argument));
    }
  }
  if (tokenizer.empty()) refuse("--tokenizer is missing");
  if (file.empty()) refuse("the file is missing");
  return data::run_tokenize(tokenizer, file, std::cout);
}

}  // namespace zt::cli
