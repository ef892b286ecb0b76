#include "comm/inproc/inproc_communicator.h"

#include <c10/util/Half.h>

#include <bit>
#include <cstring>

#include "comm/checks.h"
#include "comm/inproc/meeting_point.h"

namespace zt::comm {
namespace {

struct Bf16 {
  std::uint16_t bits = 0;
};

float widen(Bf16 value) { return std::bit_cast<float>(std::uint32_t{value.bits} << 16); }
float widen(c10::Half value) { return value; }
float widen(float value) { return value; }
std::int64_t widen(std::int64_t value) { return value; }
std::int32_t widen(std::int32_t value) { return value; }

void narrow(float value, float& to) { to = value; }
void narrow(float value, c10::Half& to) { to = value; }
void narrow(std::int64_t value, std::int64_t& to) { to = value; }
void narrow(std::int32_t value, std::int32_t& to) { to = value; }
void narrow(float value, Bf16& to) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const bool is_nan = value != value;
  to.bits =
      is_nan ? 0x7fffU : static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

template <typename T>
void sum_part(const std::vector<Offer>& offers, std::int64_t begin, const View& recv) {
  for (std::int64_t i = 0; i < recv.numel; ++i) {
    auto sum = widen(offers[0].send.as<T>()[begin + i]);
    for (std::size_t rank = 1; rank < offers.size(); ++rank) {
      sum += widen(offers[rank].send.as<T>()[begin + i]);
    }
    narrow(sum, recv.as<T>()[i]);
  }
}

void copy(const View& from, const View& to) {
  if (from.numel > 0 && from.data != to.data) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(from.bytes().value));
  }
}

class InprocCommunicator final : public Communicator {
 public:
  // shared_ptr: the communicators of all ranks own the meeting point together.
  InprocCommunicator(std::shared_ptr<MeetingPoint> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world() const override { return meeting_->world(); }
  [[nodiscard]] Device device() const override { return Device::cpu; }

  void all_gather(const View& send, const View& recv, const Launch&) override {
    check_all_gather(*this, send, recv);
    const auto& offers = meeting_->meet(rank_, {"all_gather", send, recv});
    for (int peer = 0; peer < world(); ++peer) {
      copy(offers[static_cast<std::size_t>(peer)].send, recv.slice(peer * send.numel, send.numel));
    }
    meeting_->finish(rank_, "all_gather");
  }

  void all_to_all(const View& send, const View& recv, const Launch&) override {
    check_all_to_all(*this, send, recv);
    const std::int64_t part = send.numel / world();
    const auto& offers = meeting_->meet(rank_, {"all_to_all", send, recv});
    for (int peer = 0; peer < world(); ++peer) {
      copy(offers[static_cast<std::size_t>(peer)].send.slice(rank_ * part, part),
           recv.slice(peer * part, part));
    }
    meeting_->finish(rank_, "all_to_all");
  }

  void reduce_scatter_sum(const View& send, const View& recv, const Launch&) override {
    check_reduce_scatter(*this, send, recv);
    const auto& offers = meeting_->meet(rank_, {"reduce_scatter_sum", send, recv});
    const std::int64_t begin = rank_ * recv.numel;
    switch (recv.dtype) {
      case DType::f32:
        sum_part<float>(offers, begin, recv);
        break;
      case DType::bf16:
        sum_part<Bf16>(offers, begin, recv);
        break;
      case DType::f16:
        sum_part<c10::Half>(offers, begin, recv);
        break;
      case DType::i64:
        sum_part<std::int64_t>(offers, begin, recv);
        break;
      case DType::i32:
        sum_part<std::int32_t>(offers, begin, recv);
        break;
      default:
        ZT_ASSERT(false, "reduce_scatter_sum between threads takes floats, int64, int32");
    }
    meeting_->finish(rank_, "reduce_scatter_sum");
  }

  void broadcast(const View& data, int root, const Launch&) override {
    check_root(*this, root);
    const auto& offers = meeting_->meet(rank_, {"broadcast", data, data, root});
    copy(offers[static_cast<std::size_t>(root)].send, data);
    meeting_->finish(rank_, "broadcast");
  }

  void barrier() override {
    meeting_->meet(rank_, {"barrier", {}, {}});
    meeting_->finish(rank_, "barrier");
  }

  void abort(const std::string& reason) override { meeting_->abort(rank_, reason); }

 private:
  std::shared_ptr<MeetingPoint> meeting_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_inproc(int world,
                                                       std::chrono::milliseconds timeout) {
  ZT_ASSERT(world >= 1, "a world has at least one rank");
  auto meeting = std::make_shared<MeetingPoint>(world, timeout);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < world; ++rank) {
    ranks.push_back(std::make_unique<InprocCommunicator>(meeting, rank));
  }
  return ranks;
}

}  // namespace zt::comm
