#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "config/problems.h"
#include "config/text_distance.h"
#include "config/text_values.h"
#include "config/tools.h"

namespace zt::cli {
namespace {

constexpr const char* kHelp =
    "usage: zt config check FILE [--world_size N]   is it valid? exit code 0 or 2\n"
    "       zt config explain KEY [FILE]            meaning, valid values, effect, value and "
    "origin\n"
    "       zt config migrate FILE                  what each line becomes here\n"
    "       zt config init [--output FILE]          asks what accelerate config asks\n"
    "\n"
    "FILE is DeepSpeed JSON, accelerate's default_config.yaml, a task file (YAML), a preset, or a\n"
    "file of flags (JSON, YAML). KEY is a flag, a key of such a file, or a field of the resolved\n"
    "configuration.\n"
    "\n"
    "  --world_size N  ranks that share the batch, so that the batch triple can be checked\n"
    "  --output FILE   what init writes (zt_config.yaml); it asks when standard input is a "
    "terminal\n"
    "                  and takes every default otherwise\n"
    "  --overwrite     init may replace the file\n";

/// Words and flags of one `zt config` command.
struct ConfigArguments {
  std::string command;
  std::vector<std::string> words;
  std::string output = "zt_config.yaml";
  bool overwrite = false;
  config::Facts facts;
};

void take_world_size(const std::string& text, ConfigArguments& result, config::Problems& problems) {
  const auto world = config::parse_integer(text);
  if (!world || *world < 1 || *world > (1 << 20)) {
    problems.add("command line", "--world_size: got '" + config::shown(text) +
                                     "', expected a whole number >= 1 and <= 1048576");
    return;
  }
  result.facts.world_size = *world;
}

ConfigArguments parse(const Arguments& arguments) {
  ConfigArguments result;
  config::Problems problems("cli.config");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::size_t equals = argument.find('=');
    std::string name = argument.substr(0, equals);
    const bool is_explained = result.command == "explain" && result.words.empty();
    if (name.rfind("--", 0) != 0 || is_explained) {
      if (result.command.empty()) {
        result.command = argument;
      } else {
        result.words.push_back(argument);
      }
      continue;
    }
    std::replace(name.begin() + 2, name.end(), '-', '_');
    const auto value = [&]() -> std::string {
      if (equals != std::string::npos) return argument.substr(equals + 1);
      if (i + 1 < arguments.size()) return arguments[++i];
      problems.add("command line", name + " has no value", "Give one");
      return "";
    };
    if (name == "--world_size") {
      take_world_size(value(), result, problems);
    } else if (name == "--output") {
      result.output = value();
    } else if (name == "--overwrite") {
      result.overwrite = true;
    } else {
      problems.add("command line",
                   "unknown flag " + config::shown(name) + ", the nearest valid flag is " +
                       config::nearest(name, {"--world_size", "--output", "--overwrite"}).name);
    }
  }
  problems.throw_if_any();
  result.facts.environment = config::all_variables();
  return result;
}

void expect_words(const ConfigArguments& arguments, std::size_t least, std::size_t most) {
  const std::size_t got = arguments.words.size();
  if (got >= least && got <= most) return;
  throw ConfigError(
      fmt::format("[cli.config] zt config {}: got {} arguments (command line), "
                  "expected {}. See zt config --help.",
                  arguments.command, got,
                  most == least ? fmt::format("{}", least) : fmt::format("{} or {}", least, most)));
}

int migrate(const ConfigArguments& arguments) {
  using Fate = config::Migration::Fate;
  bool refused = false;
  for (const config::Migration& line : config::migrate_file(arguments.words[0], arguments.facts)) {
    const char* fate = line.fate == Fate::maps      ? "maps"
                       : line.fate == Fate::ignored ? "ignored"
                                                    : "REFUSED";
    refused = refused || line.fate == Fate::refused;
    const std::string what = line.key.empty() ? "" : line.key + " = " + line.value + " -> ";
    std::cout << fmt::format("{}: {:<8}{}{}\n", line.place, fate, what, line.text);
  }
  return refused ? 2 : 0;
}

std::string ask_terminal(const std::string& question, const std::vector<std::string>& choices,
                         const std::string& default_answer) {
  std::cout << question;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    std::cout << (i == 0 ? " (" : ", ") << choices[i];
  }
  std::cout << (choices.empty() ? "" : ")") << " [" << default_answer << "]: " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  return line;
}

int init(const ConfigArguments& arguments) {
  if (std::filesystem::exists(arguments.output) && !arguments.overwrite) {
    throw ConfigError("[cli.config] --output: the file exists: got '" + arguments.output +
                      "' (command line), expected a new name. Give another or pass --overwrite.");
  }
  const bool asks = isatty(STDIN_FILENO) != 0;
  const std::string text = config::ask_configuration([&](const std::string& question,
                                                         const std::vector<std::string>& choices,
                                                         const std::string& default_answer) {
    return asks ? ask_terminal(question, choices, default_answer) : std::string();
  });
  std::ofstream file(arguments.output, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    throw FileError("[cli.config] the file cannot be written: got '" + arguments.output +
                    "', expected a place that takes files. Give another --output.");
  }
  std::cout << text << "written: " << arguments.output << "\nuse it: zt train --config_file "
            << arguments.output << " ...\n";
  return 0;
}

}  // namespace

int run_config(const Arguments& arguments) {
  if (arguments.empty() || asks_for_help(arguments)) {
    std::cout << kHelp;
    return arguments.empty() ? 2 : 0;
  }
  const ConfigArguments parsed = parse(arguments);
  if (parsed.command == "check") {
    expect_words(parsed, 1, 1);
    std::cout << config::check_file(parsed.words[0], parsed.facts);
    return 0;
  }
  if (parsed.command == "explain") {
    expect_words(parsed, 1, 2);
    std::cout << config::explain(parsed.words[0], parsed.words.size() > 1 ? parsed.words[1] : "",
                                 parsed.facts);
    return 0;
  }
  if (parsed.command == "migrate") {
    expect_words(parsed, 1, 1);
    return migrate(parsed);
  }
  if (parsed.command == "init") {
    expect_words(parsed, 0, 0);
    return init(parsed);
  }
  throw ConfigError("[cli.config] unknown command: got '" + parsed.command +
                    "' (command line), expected check, explain, migrate or init. Did you mean '" +
                    config::nearest(parsed.command, {"check", "explain", "migrate", "init"}).name +
                    "'?");
}

std::string config_help() { return kHelp; }

}  // namespace zt::cli
