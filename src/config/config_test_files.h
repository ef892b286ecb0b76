#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/test_folder.h"
#include "config/resolve.h"

namespace zt::config {

/// A folder with a model and a data folder, for configurations.
class TestFiles : public TestFolder {
 public:
  TestFiles() {
    std::filesystem::create_directory(path("model"));
    std::filesystem::create_directory(path("data"));
  }

  /// The flags that every run needs, then `more`.
  [[nodiscard]] std::vector<std::string> args(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all = {"--model_name_or_path", path("model"),  "--train_file_dir",
                                    path("data"),           "--output_dir", path("out")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

/// The message of the ConfigError that `call` throws; empty when it throws none.
template <typename Call>
std::string config_error(const Call& call) {
  try {
    call();
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// True when one of the notices contains `part`.
inline bool has_notice(const Config& config, const std::string& part) {
  for (const std::string& notice : config.notices) {
    if (contains(notice, part)) return true;
  }
  return false;
}

/// Flags behind those that every run needs, resolved.
class FlagsTest : public testing::Test {
 protected:
  Config resolved(const std::vector<std::string>& more) const { return resolve(files_.args(more)); }
  std::string error_of(const std::vector<std::string>& more) const {
    return config_error([&] { (void)resolved(more); });
  }
  void expect_error(const std::vector<std::string>& more, const std::string& part) const {
    const std::string error = error_of(more);
    EXPECT_TRUE(contains(error, part)) << "expected: " << part << "\ngot: " << error;
  }
  TestFiles files_;
};

}  // namespace zt::config
