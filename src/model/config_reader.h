#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace zt::model {

/// `folder`/config.json. Errors: FileError when it is missing or not a JSON object.
[[nodiscard]] nlohmann::json load_model_config(const std::string& folder);
/// Its path, for messages.
[[nodiscard]] std::string model_config_path(const std::string& folder);

/// Reads keys of config.json and collects what is wrong with them.
class ConfigReader {
 public:
  /// `root` outlives the reader. `expected`: what refuse() says a value should belong to.
  ConfigReader(const nlohmann::json& root, std::string path, std::string expected);

  /// An integer from 1 to `limit`, which keeps products of sizes far from overflow. Without the
  /// key: `fallback`, or a problem when that is 0.
  std::int64_t positive(const char* key, std::int64_t fallback = 0, std::int64_t limit = 1 << 24);
  double positive_number(const char* key, double fallback);
  double positive_number(const nlohmann::json& object, const char* key, double fallback);
  bool boolean(const char* key, bool fallback);
  void refuse(bool condition, const char* key, const std::string& why);
  void problem(const char* key, const std::string& what, const std::string& expected);
  /// Nothing for a key that is absent or null.
  [[nodiscard]] const nlohmann::json* find(const char* key) const;
  /// Errors: ConfigError listing every problem.
  void finish() const;

 private:
  const nlohmann::json& root_;
  std::string path_;
  std::string expected_;
  std::string problems_;
};

}  // namespace zt::model
