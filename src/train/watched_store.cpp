#include "train/watched_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/error.h"

namespace zt::train {
namespace {

class WatchedStore final : public comm::Store {
 public:
  WatchedStore(comm::RankGroup& group, std::unique_ptr<comm::Store> inner)
      : group_(group), inner_(std::move(inner)) {}

  void set(const std::string& key, const std::string& value) override { inner_->set(key, value); }
  std::optional<std::string> try_get(const std::string& key) override {
    return inner_->try_get(key);
  }
  std::string get(const std::string& key, std::chrono::milliseconds timeout) override {
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + timeout;
    auto pause = std::chrono::milliseconds(1);
    for (;;) {
      if (auto value = inner_->try_get(key)) return *value;
      if (const auto failure = group_.first_failure()) throw CommError(comm::describe(*failure));
      if (Clock::now() >= until) {
        throw CommError(fmt::format(
            "[train.store] no answer of another rank: key {} is not there after {} s. Look at the "
            "log of the other ranks.",
            key, std::chrono::duration_cast<std::chrono::seconds>(timeout).count()));
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::milliseconds(20));
    }
  }
  std::string set_once(const std::string& key, const std::string& value) override {
    return inner_->set_once(key, value);
  }
  std::int64_t add(const std::string& key, std::int64_t delta) override {
    return inner_->add(key, delta);
  }
  std::unique_ptr<comm::Store> clone() override {
    return std::make_unique<WatchedStore>(group_, inner_->clone());
  }

 private:
  comm::RankGroup& group_;
  std::unique_ptr<comm::Store> inner_;
};

}  // namespace

std::unique_ptr<comm::Store> watched_store(comm::RankGroup& group) {
  return std::make_unique<WatchedStore>(group, group.store().clone());
}

}  // namespace zt::train
