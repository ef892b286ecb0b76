#include "launch/exported_variables.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/problems.h"
#include "config/text_values.h"

namespace zt::launch {
namespace {

constexpr const char* kPrefixes[] = {"NCCL",
                                     "PYTHON",
                                     "UCX",
                                     "MV2",
                                     "MLFLOW",
                                     "OMP_",
                                     "HF_",
                                     "TORCH_",
                                     "CUDA_DEVICE_MAX",
                                     "ZT_",
                                     config::kTimeoutName};

bool is_variable_name(const std::string& name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

void read_file(const std::filesystem::path& path, config::Variables& variables) {
  std::ifstream in(path);
  if (!in) return;
  std::stringstream text;
  text << in.rdbuf();
  for (const auto& [name, value] : parse_env_file(text.str(), path.string())) {
    variables[name] = value;
  }
}

}  // namespace

config::Variables parse_env_file(const std::string& text, const std::string& path) {
  config::Problems problems("launch.env_file");
  config::Variables variables;
  std::stringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::string content = config::trimmed(line);
    if (content.empty() || content.front() == '#') continue;
    const std::size_t equals = content.find('=');
    const std::string name = config::trimmed(content.substr(0, equals));
    if (equals == std::string::npos || !is_variable_name(name)) {
      problems.add(path + ":" + std::to_string(number),
                   "got '" + config::shown(content) + "', expected NAME=VALUE");
      continue;
    }
    variables[name] = content.substr(equals + 1);
  }
  problems.throw_if_any();
  return variables;
}

config::Variables exported_variables(const config::Variables& environment,
                                     const std::string& folder) {
  config::Variables exported;
  for (const auto& [name, value] : environment) {
    for (const char* prefix : kPrefixes) {
      if (name.rfind(prefix, 0) == 0) exported[name] = value;
    }
  }
  exported.erase("ZT_LISTEN_FD");
  const auto path = exported.find("PYTHONPATH");
  exported["PYTHONPATH"] = folder + (path == exported.end() ? "" : ":" + path->second);
  const auto other_name = environment.find("DS_ENV_FILE");
  const std::filesystem::path file =
      other_name == environment.end() ? ".deepspeed_env" : other_name->second;
  if (file.is_absolute()) {
    read_file(file, exported);
    return exported;
  }
  if (const auto home = environment.find("HOME"); home != environment.end()) {
    read_file(std::filesystem::path(home->second) / file, exported);
  }
  read_file(std::filesystem::path(folder) / file, exported);
  return exported;
}

}  // namespace zt::launch
