#include "comm/rendezvous.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/sockets.h"
#include "comm/gloo/gloo_communicator.h"
#include "comm/inproc/inproc_communicator.h"
#include "comm/inproc/memory_store.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/tcp_store.h"
#include "comm/watched_communicator.h"

namespace zt::comm {
namespace {

class SingleRank final : public RankGroup {
 public:
  explicit SingleRank(std::chrono::milliseconds timeout)
      : store_(make_memory_store()), communicator_(std::move(make_inproc(1, timeout).front())) {}

  Communicator& communicator() override { return *communicator_; }
  Store& store() override { return *store_; }
  PositionWriter& position() override { return position_; }
  void set_operation_names(OperationNames /*names*/) override {}
  Failure report_failure(const std::string& message) override {
    failure_ = failure_.value_or(Failure{0, message});
    return *failure_;
  }
  std::optional<Failure> first_failure() const override { return failure_; }
  void leave() override {}

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Communicator> communicator_;
  std::optional<Failure> failure_;
  PositionWriter position_;
};

class ConnectedRank final : public RankGroup {
 public:
  ConnectedRank(const RendezvousOptions& options, Device device)
      : store_(open_tcp_store(store_options(options))),
        position_(std::make_shared<PositionWriter>()),
        monitor_(store_->clone(), options.rank, options.world, options.use_agent_store ? -1 : 0,
                 monitor_options(options)) {
    communicator_ =
        watch(device == Device::cpu ? connect_gloo(options) : connect_nccl(options), monitor_);
    monitor_.see_positions(*store_);
  }

  Communicator& communicator() override { return *communicator_; }
  Store& store() override { return *store_; }
  PositionWriter& position() override { return *position_; }
  void set_operation_names(OperationNames names) override {
    monitor_.set_operation_names(std::move(names));
  }
  Failure report_failure(const std::string& message) override { return monitor_.report(message); }
  std::optional<Failure> first_failure() const override { return monitor_.first_failure(); }
  void leave() override { monitor_.leave(); }

 private:
  MonitorOptions monitor_options(const RendezvousOptions& options) const {
    MonitorOptions monitor = options.monitor;
    monitor.positions.writer = position_;
    monitor.positions.first_local_rank = options.rank - options.local_rank;
    monitor.positions.num_local_ranks = options.local_world;
    return monitor;
  }

  static TcpStoreOptions store_options(const RendezvousOptions& options) {
    // Nobody else comes to it: any free port, so that such runs never meet.
    const bool alone = options.world == 1 && !options.use_agent_store && !options.listen_fd;
    return {.host = options.master_addr,
            .port = alone ? 0 : options.master_port,
            .is_server = options.rank == 0 && !options.use_agent_store,
            .listen_fd = options.listen_fd,
            .key_prefix = fmt::format("zerotrain/{}/", options.run_id),
            .connect_timeout = options.connect_timeout};
  }

  std::string give_up() const {
    const std::optional<Failure> failure = monitor_.first_failure();
    return failure ? describe(*failure) : std::string();
  }

  std::unique_ptr<Communicator> connect_gloo(const RendezvousOptions& options) {
    return make_gloo(*store_, {.rank = options.rank,
                               .world = options.world,
                               .bind_address = net::local_address_towards(options.master_addr,
                                                                          options.master_port),
                               .connect_timeout = options.connect_timeout,
                               .timeout = options.timeout,
                               .position = position_.get(),
                               .give_up = [this] { return give_up(); }});
  }

  std::unique_ptr<Communicator> connect_nccl(const RendezvousOptions& options) {
    return make_nccl(*store_, {.rank = options.rank,
                               .world = options.world,
                               .device_index = options.local_rank,
                               .connect_timeout = options.connect_timeout,
                               .give_up = [this] { return give_up(); }});
  }

  // The order of members is the order of construction; the communicator ends first, the server of
  // the store last.
  std::unique_ptr<Store> store_;
  std::shared_ptr<PositionWriter> position_;  // second owner: the monitor's threads
  Monitor monitor_;
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace

void run_part(RankGroup& group, const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& error) {
    (void)group.report_failure(error.what());
    throw;
  } catch (const std::exception& error) {
    const Failure first = group.report_failure(error.what());
    const int rank = group.communicator().rank();
    if (first.rank == rank || first.message == error.what()) throw;
    throw CommError(
        fmt::format("[comm.run_part] {}. After that this rank failed with: {} (rank {}).",
                    describe(first), error.what(), rank));
  }
}

std::unique_ptr<RankGroup> rendezvous(const RendezvousOptions& options, Device device) {
  ZT_ASSERT(options.world >= 1 && options.rank >= 0 && options.rank < options.world,
            "rank outside its world");
  if (options.world == 1 && device == Device::cpu) {
    return std::make_unique<SingleRank>(options.timeout);
  }
  return std::make_unique<ConnectedRank>(options, device);
}

}  // namespace zt::comm
