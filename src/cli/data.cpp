#include <fmt/format.h>

#include <iostream>
#include <string_view>

#include "base/error.h"
#include "cli/commands.h"
#include "data/tokenize_command.h"

namespace zt::cli {
namespace {

constexpr const char* kUsage = "zt data tokenize --tokenizer DIR FILE";
constexpr const char* kHelp =
    "usage: zt data tokenize --tokenizer DIR FILE\n\n"
    "Prints the token ids of a text file (UTF-8) in one line.\n\n"
    "  --tokenizer DIR  folder with tokenizer.json, or vocab.json and merges.txt\n";

[[noreturn]] void refuse(const std::string& what) {
  throw ConfigError(fmt::format("[cli.data] {}. Use: {}", what, kUsage));
}

}  // namespace

int run_data(const Arguments& arguments) {
  if (asks_for_help(arguments)) {
    std::cout << kHelp;
    return 0;
  }
  if (arguments.empty() || arguments.front() != "tokenize") refuse("expected the word `tokenize`");
  std::string tokenizer, file;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    constexpr std::string_view kWithValue = "--tokenizer=";
    if (argument == "--tokenizer") {
      if (++i == arguments.size()) refuse("--tokenizer needs a folder");
      tokenizer = arguments[i];
    } else if (argument.starts_with(kWithValue)) {
      tokenizer = argument.substr(kWithValue.size());
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

std::string data_help() { return kHelp; }

}  // namespace zt::cli
