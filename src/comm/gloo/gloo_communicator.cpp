#include "comm/gloo/gloo_communicator.h"

#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <vector>

#include "base/error.h"
#include "comm/checks.h"
#include "comm/gloo/c10d_store.h"
#include "memory/torch_dtype.h"

namespace zt::comm {
namespace {

using Clock = std::chrono::steady_clock;
using Work = c10::intrusive_ptr<c10d::Work>;
using Group = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
using std::chrono::milliseconds;

std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

at::Tensor bytes_of(const View& view) {
  return at::from_blob(view.data, {view.bytes().value}, at::TensorOptions().dtype(at::kByte));
}

at::Tensor typed(const View& view) {
  return at::from_blob(view.data, {view.numel},
                       at::TensorOptions().dtype(memory::scalar_type(view.dtype)));
}

/// One transfer in flight; `peer` is the other side.
struct Transfer {
  Work work;
  int peer = 0;
};

/// The operation under way.
struct Operation {
  const char* name = "";
  Clock::time_point deadline;
  int tag = 0;  ///< of its transfers
};

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(Group group, const GlooOptions& options)
      : group_(std::move(group)),
        rank_(options.rank),
        world_(options.world),
        timeout_(options.timeout),
        position_(options.position) {}

  ~GlooCommunicator() override {
    if (!abort_reason_.empty()) {
      // Its threads may wait for dead peers until the timeout; the process is on its way out.
      static_cast<void>(group_.release());
    }
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world() const override { return world_; }
  [[nodiscard]] Device device() const override { return Device::cpu; }

  void all_gather(const View& send, const View& recv, const Launch&) override {
    check_all_gather(*this, send, recv);
    begin("all_gather");
    for (int step = 1; step < world_; ++step) {
      const int from = (rank_ + world_ - step) % world_;
      start_recv(recv.slice(from * send.numel, send.numel), from);
    }
    for (int step = 1; step < world_; ++step) {
      start_send(send, (rank_ + step) % world_);
    }
    copy(send, recv.slice(rank_ * send.numel, send.numel));
    finish();
  }

  void all_to_all(const View& send, const View& recv, const Launch&) override {
    check_all_to_all(*this, send, recv);
    begin("all_to_all");
    const std::int64_t part = send.numel / world_;
    for (int step = 1; step < world_; ++step) {
      const int from = (rank_ + world_ - step) % world_;
      start_recv(recv.slice(from * part, part), from);
    }
    for (int step = 1; step < world_; ++step) {
      const int to = (rank_ + step) % world_;
      start_send(send.slice(to * part, part), to);
    }
    copy(send.slice(rank_ * part, part), recv.slice(rank_ * part, part));
    finish();
  }

  void reduce_scatter_sum(const View& send, const View& recv, const Launch&) override {
    check_reduce_scatter(*this, send, recv);
    begin("reduce_scatter_sum");
    if (recv.numel == 0) {
      return;
    }
    start(
        [&] {
          at::Tensor input = typed(send), output = typed(recv);
          return group_->_reduce_scatter_base(output, input, {});
        },
        rank_);
    finish_collective();
  }

  void broadcast(const View& data, int root, const Launch&) override {
    check_root(*this, root);
    begin("broadcast");
    // Binomial tree over ranks counted from the root: receive once, then pass on.
    const int position = (rank_ + world_ - root) % world_;
    int mask = 1;
    while (mask < world_ && (position & mask) == 0) {
      mask <<= 1;
    }
    if (position != 0) {
      start_recv(data, (position - mask + root) % world_);
      finish();
    }
    for (mask >>= 1; mask > 0; mask >>= 1) {
      if (position + mask < world_) {
        start_send(data, (position + mask + root) % world_);
      }
    }
    finish();
  }

  void barrier() override {
    begin("barrier");
    std::uint8_t out = 1, in = 0;
    // Dissemination: after round k every rank has heard, directly or not, from 2^(k+1) - 1 others.
    for (int distance = 1; distance < world_; distance *= 2) {
      start_recv({&in, 1, DType::u8}, (rank_ + world_ - distance) % world_);
      start_send({&out, 1, DType::u8}, (rank_ + distance) % world_);
      finish();
    }
  }

  void abort(const std::string& reason) override {
    const std::lock_guard lock(mutex_);
    if (abort_reason_.empty()) {
      abort_reason_ = reason.empty() ? "aborted" : reason;
    }
    for (const Transfer& transfer : transfers_) {
      abort_work(transfer.work);
    }
  }

 private:
  static void copy(const View& from, const View& to) {
    if (from.numel > 0 && from.data != to.data) {
      std::memcpy(to.data, from.data, static_cast<std::size_t>(from.bytes().value));
    }
  }

  static void abort_work(const Work& work) {
    try {
      work->abort();
    } catch (const std::exception&) {
      return;  // collectives of Gloo cannot be aborted; their wait looks at abort_reason_
    }
  }

  void begin(const char* operation) {
    operation_ = {operation, Clock::now() + timeout_, (operation_.tag + 1) & 0x3fffffff};
  }

  template <typename Starter>
  void start(const Starter& starter, int peer) {
    const std::lock_guard lock(mutex_);
    if (!abort_reason_.empty()) {
      fail(peer, abort_reason_);
    }
    try {
      transfers_.push_back({starter(), peer});
    } catch (const std::exception& error) {
      fail(peer, first_line(error));
    }
  }

  void start_send(const View& data, int to) {
    if (data.numel > 0) {
      start(
          [&] {
            std::vector<at::Tensor> tensors = {bytes_of(data)};
            return group_->send(tensors, to, operation_.tag);
          },
          to);
    }
  }

  void start_recv(const View& data, int from) {
    if (data.numel > 0) {
      start(
          [&] {
            std::vector<at::Tensor> tensors = {bytes_of(data)};
            return group_->recv(tensors, from, operation_.tag);
          },
          from);
    }
  }

  /// Waits for every transfer of this operation.
  void finish() {
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
      if (position_ != nullptr) position_->set_waits_for(transfers_[i].peer);
      const auto left =
          std::chrono::duration_cast<milliseconds>(operation_.deadline - Clock::now());
      try {
        transfers_[i].work->wait(std::max(left, milliseconds{1}));
      } catch (const std::exception& error) {
        give_up(transfers_[i].peer, first_line(error));
      }
      give_up_if_aborted(transfers_[i].peer);
    }
    clear();
  }

  /// As `finish`, for Gloo's own collectives: they cannot be interrupted, so look up twice a
  /// second.
  void finish_collective() {
    const Work work = transfers_.front().work;
    while (true) {
      try {
        work->wait(milliseconds{500});
        break;
      } catch (const std::exception& error) {
        give_up_if_aborted(rank_);
        if (work->isCompleted()) {
          give_up(rank_, first_line(error));
        }
        if (Clock::now() > operation_.deadline) {
          give_up(rank_, "timed out");
        }
      }
    }
    clear();
  }

  void clear() {
    if (position_ != nullptr) position_->set_waits_for(-1);
    const std::lock_guard lock(mutex_);
    transfers_.clear();
  }

  void give_up_if_aborted(int peer) {
    const std::lock_guard lock(mutex_);
    if (!abort_reason_.empty()) {
      fail(peer, abort_reason_);
    }
  }

  [[noreturn]] void give_up(int peer, const std::string& what) {
    const std::lock_guard lock(mutex_);
    const bool timed_out = Clock::now() >= operation_.deadline;
    std::string reason = !abort_reason_.empty() ? abort_reason_
                         : timed_out
                             ? fmt::format("no answer within {} ms ({})", timeout_.count(), what)
                             : what;
    if (abort_reason_.empty()) {
      abort_reason_ = reason;
    }
    fail(peer, reason);
  }

  /// Needs mutex_. An interrupted wait leaves its transfer in place, and a peer that comes later
  /// would take what the memory holds by then for this rank's data: a transfer ends with its work.
  [[noreturn]] void fail(int peer, const std::string& reason) {
    for (const Transfer& transfer : transfers_) {
      abort_work(transfer.work);
    }
    transfers_.clear();
    throw CommError(
        peer == rank_
            ? fmt::format("[comm.{}] failed: {} (rank {}).", operation_.name, reason, rank_)
            : fmt::format("[comm.{}] exchange with rank {} failed: {} (rank {}).", operation_.name,
                          peer, reason, rank_));
  }

  Group group_;
  const int rank_;
  const int world_;
  const milliseconds timeout_;
  PositionWriter* position_;
  Operation operation_;
  std::mutex mutex_;
  std::vector<Transfer> transfers_;  // changed by the calling thread under mutex_
  std::string abort_reason_;         // guarded by mutex_; empty: not aborted
};

/// What the connecting thread hands over.
struct Connecting {
  std::mutex mutex;
  std::condition_variable done;
  Group group;        // guarded by mutex
  std::string error;  // guarded by mutex
};

Group connect(const c10::intrusive_ptr<c10d::Store>& store, const GlooOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create(options.connect_timeout);
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(options.bind_address));
  gloo->threads = 1;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.world, gloo);
}

/// Connects on a thread of its own, as Gloo cannot be interrupted there: when a peer dies
/// meanwhile, that thread is left behind.
Group connect_or_give_up(const c10::intrusive_ptr<c10d::Store>& store, const GlooOptions& options) {
  auto shared = std::make_shared<Connecting>();  // the second owner is the thread
  std::thread([shared, store, options] {
    Group group;
    std::string error;
    try {
      group = connect(store, options);
    } catch (const std::exception& thrown) {
      error = first_line(thrown);
    }
    const std::lock_guard lock(shared->mutex);
    shared->group = std::move(group);
    shared->error = error;
    shared->done.notify_all();
  }).detach();
  std::unique_lock lock(shared->mutex);
  while (true) {
    const bool done = shared->done.wait_for(
        lock, milliseconds{200}, [&] { return shared->group || !shared->error.empty(); });
    const std::string reason =
        done ? shared->error : (options.give_up ? options.give_up() : std::string());
    if (!reason.empty()) {
      throw CommError(fmt::format("[comm.connect] ranks cannot be connected: {} (rank {}, {}).",
                                  reason, options.rank, options.bind_address));
    }
    if (done) {
      return std::move(shared->group);
    }
  }
}

}  // namespace

std::unique_ptr<Communicator> make_gloo(Store& store, const GlooOptions& options) {
  const Group group = connect_or_give_up(new_c10d_connection(store, "gloo/"), options);
  c10::intrusive_ptr<c10d::Backend> backend = group;
  backend->setTimeout(options.timeout);
  return std::make_unique<GlooCommunicator>(group, options);
}

}  // namespace zt::comm
