#include "testing/fault_communicator.h"

#include <thread>
#include <vector>

#include "base/error.h"

namespace zt::testing {
namespace {

class FaultCommunicator final : public comm::Communicator {
 public:
  FaultCommunicator(comm::Communicator& inner, const Fault& fault) : inner_(inner), fault_(fault) {}

  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int world() const override { return inner_.world(); }
  [[nodiscard]] Device device() const override { return inner_.device(); }

  void all_gather(const View& send, const View& recv, const Launch& launch) override {
    if (fault_.kind == Fault::Kind::cut_short && calls_ == fault_.at_call) {
      std::vector<std::byte> other(static_cast<std::size_t>(send.bytes().value), std::byte{0xee});
      inner_.all_gather({other.data(), send.numel, send.dtype}, recv, launch);
      fail();
    }
    call([&] { inner_.all_gather(send, recv, launch); });
  }
  void all_to_all(const View& send, const View& recv, const Launch& launch) override {
    call([&] { inner_.all_to_all(send, recv, launch); });
  }
  void reduce_scatter_sum(const View& send, const View& recv, const Launch& launch) override {
    call([&] { inner_.reduce_scatter_sum(send, recv, launch); });
  }
  void broadcast(const View& data, int root, const Launch& launch) override {
    call([&] { inner_.broadcast(data, root, launch); });
  }
  void barrier() override {
    call([&] { inner_.barrier(); });
  }
  void check() override { inner_.check(); }
  void abort(const std::string& reason) override { inner_.abort(reason); }

 private:
  [[noreturn]] void fail() const {
    throw CommError("[comm.fault] injected failure (rank " + std::to_string(rank()) + ").");
  }

  template <typename Call>
  void call(const Call& operation) {
    if (calls_++ == fault_.at_call) {
      switch (fault_.kind) {
        case Fault::Kind::delay:
          std::this_thread::sleep_for(fault_.duration);
          break;
        case Fault::Kind::fail:
        case Fault::Kind::cut_short:
          fail();
        case Fault::Kind::drop:
          return;
      }
    }
    operation();
  }

  comm::Communicator& inner_;
  const Fault fault_;
  int calls_ = 0;
};

}  // namespace

std::unique_ptr<comm::Communicator> inject(comm::Communicator& inner, const Fault& fault) {
  return std::make_unique<FaultCommunicator>(inner, fault);
}

}  // namespace zt::testing
