#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace zt::comm {

/// Small key-value store shared by the ranks of a run: rendezvous, failure board, heartbeats,
/// comparing the ranks' view of a step. One object is one connection; its calls are serialised, so
/// a thread that must not wait behind another one takes a `clone`. Errors: CommError when the store
/// cannot be reached.
class Store {
 public:
  virtual ~Store() = default;
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  virtual void set(const std::string& key, const std::string& value) = 0;
  /// The value, or nothing when the key does not exist. Does not wait.
  [[nodiscard]] virtual std::optional<std::string> try_get(const std::string& key) = 0;
  /// Waits until the key exists. Errors: CommError naming the key after `timeout`.
  [[nodiscard]] virtual std::string get(const std::string& key,
                                        std::chrono::milliseconds timeout) = 0;
  /// Sets the key if it does not exist yet. Returns the value it has afterwards.
  virtual std::string set_once(const std::string& key, const std::string& value) = 0;
  /// Adds to a counter that starts at 0 and returns the sum.
  virtual std::int64_t add(const std::string& key, std::int64_t delta) = 0;
  /// A further connection to the same store.
  [[nodiscard]] virtual std::unique_ptr<Store> clone() = 0;
};

}  // namespace zt::comm
