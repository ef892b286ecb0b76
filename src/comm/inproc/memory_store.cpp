#include "comm/inproc/memory_store.h"

#include <condition_variable>
#include <map>
#include <mutex>

#include "base/error.h"

namespace zt::comm {
namespace {

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::string> values;  // guarded by mutex
};

class MemoryStore final : public Store {
 public:
  // shared_ptr: every clone owns the keys together with the others.
  explicit MemoryStore(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  void set(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->values[key] = value;
    shared_->changed.notify_all();
  }

  std::optional<std::string> try_get(const std::string& key) override {
    const std::lock_guard lock(shared_->mutex);
    const auto found = shared_->values.find(key);
    return found == shared_->values.end() ? std::nullopt : std::optional(found->second);
  }

  std::string get(const std::string& key, std::chrono::milliseconds timeout) override {
    std::unique_lock lock(shared_->mutex);
    if (!shared_->changed.wait_for(lock, timeout, [&] { return shared_->values.count(key) > 0; })) {
      throw CommError("[comm.store] key '" + key + "' was not set within " +
                      std::to_string(timeout.count()) + " ms. Look for the rank that sets it.");
    }
    return shared_->values[key];
  }

  std::string set_once(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->changed.notify_all();
    return shared_->values.emplace(key, value).first->second;
  }

  std::int64_t add(const std::string& key, std::int64_t delta) override {
    const std::lock_guard lock(shared_->mutex);
    std::string& text = shared_->values[key];
    const std::int64_t sum = (text.empty() ? 0 : std::stoll(text)) + delta;
    text = std::to_string(sum);
    shared_->changed.notify_all();
    return sum;
  }

  std::unique_ptr<Store> clone() override { return std::make_unique<MemoryStore>(shared_); }

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace

std::unique_ptr<Store> make_memory_store() {
  return std::make_unique<MemoryStore>(std::make_shared<Shared>());
}

}  // namespace zt::comm
