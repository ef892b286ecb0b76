#include "comm/watched_communicator.h"

#include "base/error.h"

namespace zt::comm {
namespace {

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, Monitor& monitor)
      : inner_(std::move(inner)), monitor_(monitor) {
    monitor_.set_abort_hook([this](const std::string& reason) { inner_->abort(reason); });
  }
  ~WatchedCommunicator() override { monitor_.set_abort_hook({}); }

  [[nodiscard]] int rank() const override { return inner_->rank(); }
  [[nodiscard]] int world() const override { return inner_->world(); }
  [[nodiscard]] Device device() const override { return inner_->device(); }

  void all_gather(const View& send, const View& recv, const Launch& launch) override {
    explain([&] { inner_->all_gather(send, recv, launch); });
  }
  void all_to_all(const View& send, const View& recv, const Launch& launch) override {
    explain([&] { inner_->all_to_all(send, recv, launch); });
  }
  void reduce_scatter_sum(const View& send, const View& recv, const Launch& launch) override {
    explain([&] { inner_->reduce_scatter_sum(send, recv, launch); });
  }
  void broadcast(const View& data, int root, const Launch& launch) override {
    explain([&] { inner_->broadcast(data, root, launch); });
  }
  bool share_memory(const View& memory) override {
    bool shared = false;
    explain([&] { shared = inner_->share_memory(memory); });
    return shared;
  }
  void unshare_memory() override {
    explain([&] { inner_->unshare_memory(); });
  }
  void barrier() override {
    explain([&] { inner_->barrier(); });
  }
  void check() override {
    explain([&] { inner_->check(); });
  }
  void abort(const std::string& reason) override { inner_->abort(reason); }

 private:
  template <typename Call>
  void explain(const Call& call) {
    try {
      call();
    } catch (const CommError& error) {
      std::optional<Failure> first = monitor_.wait_first_failure(monitor_.notice_time());
      if (!first) {
        first = monitor_.report(error.what());
      }
      const std::string text = error.what(), cause = describe(*first);
      throw CommError(text.find(cause) == std::string::npos ? text + " " + cause : text);
    }
  }

  std::unique_ptr<Communicator> inner_;
  Monitor& monitor_;
};

}  // namespace

std::unique_ptr<Communicator> watch(std::unique_ptr<Communicator> inner, Monitor& monitor) {
  return std::make_unique<WatchedCommunicator>(std::move(inner), monitor);
}

}  // namespace zt::comm
