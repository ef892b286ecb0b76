// Training state goes out and comes back bit for bit at any stage, offload, world size and dtype.
#include "zero/state_io.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <map>
#include <mutex>
#include <sstream>

#include "testing/mlp_model.h"
#include "testing/rank_launcher.h"
#include "zero/engine.h"

namespace zt::zero {
namespace {

using layout::StateKind;

constexpr int kMicroBatches = 12;  ///< of a step over all ranks: any world up to 4 shares them
constexpr int kSteps = 3;

/// What a checkpoint would hold, in memory: bytes of every element, and how often each was given.
class MemoryState {
 public:
  using Key = std::pair<StateKind, int>;
  struct Tensor {
    std::vector<std::byte> bytes;
    std::vector<int> given;
    DType dtype = DType::f32;
    friend bool operator==(const Tensor&, const Tensor&) = default;
  };

  explicit MemoryState(const std::vector<layout::ParamSpec>& params) : params_(params) {}

  [[nodiscard]] StateSink sink() {
    return [this](const layout::StateSlice& slice, const View& values) {
      const std::lock_guard lock(mutex_);
      auto& tensor = tensors_[{slice.kind, slice.param.value}];
      const auto count = params_.at(static_cast<std::size_t>(slice.param.value)).numel().value;
      const auto size = size_of(values.dtype).value;
      tensor.dtype = values.dtype;
      tensor.bytes.resize(static_cast<std::size_t>(count * size));
      tensor.given.resize(static_cast<std::size_t>(count));
      ASSERT_EQ(values.numel, slice.length.value);
      ASSERT_LE(slice.begin + values.numel, count);
      std::memcpy(tensor.bytes.data() + slice.begin * size, values.data,
                  static_cast<std::size_t>(values.bytes().value));
      for (std::int64_t i = 0; i < values.numel; ++i) {
        ++tensor.given[static_cast<std::size_t>(slice.begin + i)];
      }
    };
  }

  [[nodiscard]] StateReader reader() const {
    StateReader reader;
    reader.has = [this](StateKind kind) { return tensors_.count({kind, 0}) > 0; };
    reader.read = [this](StateKind kind, layout::ParamId id, std::int64_t begin,
                         std::span<float> values) {
      const auto& tensor = tensors_.at({kind, id.value});
      const auto size = size_of(tensor.dtype).value;
      for (std::size_t i = 0; i < values.size(); ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, tensor.bytes.data() + (begin + static_cast<std::int64_t>(i)) * size,
                    static_cast<std::size_t>(size));
        if (tensor.dtype == DType::bf16) bits <<= 16;
        std::memcpy(&values[i], &bits, sizeof(float));
      }
    };
    return reader;
  }

  /// Every element of `kinds` kinds was given once.
  void expect_complete(std::size_t kinds) const {
    EXPECT_EQ(tensors_.size(), kinds * params_.size());
    for (const auto& [key, tensor] : tensors_) {
      for (const int times : tensor.given) ASSERT_EQ(times, 1);
    }
  }
  [[nodiscard]] const std::map<Key, Tensor>& tensors() const { return tensors_; }
  [[nodiscard]] std::map<Key, Tensor>& tensors() { return tensors_; }

 private:
  std::vector<layout::ParamSpec> params_;
  std::mutex mutex_;  ///< guards tensors_
  std::map<Key, Tensor> tensors_;
};

struct Case {
  int world = 2;
  int stage = 0;
  bool offload = false;
  DType dtype = DType::f32;
  bool params_on_disk = false;
};

std::string name(const Case& setup) {
  std::ostringstream text;
  text << "world " << setup.world << " stage " << setup.stage << " offload " << setup.offload
       << " dtype " << static_cast<int>(setup.dtype);
  return text.str();
}

EngineOptions options_of(const Case& setup) {
  EngineOptions options;
  options.micro_steps = kMicroBatches / setup.world;
  options.shape = {1, 5, false};
  options.precision.compute = setup.dtype;
  options.optimizer.weight_decay = 0.1;
  auto& zero = options.zero;
  zero.stage = setup.stage;
  zero.reduce_at = ReduceAt::boundary;
  zero.param_persistence_threshold = 1000;  // some units stay gathered, some do not
  if (setup.offload) {  // split between device and host; on disk; all on the host
    zero.optimizer_place = setup.stage == 2 ? Place::nvme : Place::host;
    zero.optimizer_nvme_path = ::testing::TempDir() + "zt_state_io";
    zero.offload_ratio = setup.stage == 1 ? 0.4 : 1;
    zero.param_place = setup.stage == 3 ? Place::host : Place::device;
  }
  if (setup.params_on_disk) {
    zero.optimizer_place = zero.param_place = Place::nvme;
    zero.param_nvme_path = zero.optimizer_nvme_path;
    zero.param_in_host = 500;
    zero.param_persistence_threshold = 0;
  }
  return options;
}

double train_step(Engine& engine, const comm::Communicator& rank, const Case& setup, int step) {
  const testing::MlpSizes sizes;
  const auto options = options_of(setup);
  const auto batch = [&](int index) {
    return testing::mlp_batch(sizes, options.shape,
                              static_cast<std::uint64_t>(step * 1000 + index));
  };
  std::int64_t targets = 0;
  for (int i = 0; i < kMicroBatches; ++i) targets += testing::mlp_targets(batch(i));
  engine.begin_step(targets);
  for (int m = 0; m < options.micro_steps; ++m) {
    engine.micro_step(batch(m * setup.world + rank.rank()));
  }
  return engine.step(1e-2).loss;
}

struct Outcome {
  std::vector<double> losses;
  std::uint64_t hash = 0;
};

/// Runs a body on every rank's engine.
void with_engines(const Case& setup,
                  const std::function<void(Engine&, comm::Communicator&)>& body) {
  testing::run_threads(setup.world, [&](comm::Communicator& rank) {
    Engine engine(testing::make_mlp({}), options_of(setup), {&rank, Device::cpu, 0});
    body(engine, rank);
  });
}

Outcome continue_training(Engine& engine, comm::Communicator& rank, const Case& setup) {
  Outcome outcome;
  for (int step = kSteps; step < 2 * kSteps; ++step) {
    outcome.losses.push_back(train_step(engine, rank, setup, step));
  }
  outcome.hash = hash_params(engine);
  return outcome;
}

class StateIoTest : public ::testing::TestWithParam<DType> {
 protected:
  /// Trains, exports to `state`, and trains on.
  Outcome reference(const Case& setup, MemoryState& state) {
    Outcome outcome;
    with_engines(setup, [&](Engine& engine, comm::Communicator& rank) {
      engine.load_params(testing::mlp_init({}, 7));
      for (int step = 0; step < kSteps; ++step) (void)train_step(engine, rank, setup, step);
      engine.export_state(state.sink());
      const auto mine = continue_training(engine, rank, setup);
      if (rank.rank() == 0) outcome = mine;
    });
    return outcome;
  }
  std::size_t kinds_ = GetParam() == DType::f32 ? 3 : 4;
  std::vector<layout::ParamSpec> params_ = testing::make_mlp({}).params;
};

TEST_P(StateIoTest, AnyStageWorldAndOffloadResumesAndGivesTheSameStateBack) {
  std::map<int, Outcome> undisturbed;
  MemoryState saved(params_);
  for (const int world : {4, 3, 2, 1}) {
    MemoryState state(params_);
    undisturbed[world] = reference({world, world - 1, false, GetParam()}, state);
    state.expect_complete(kinds_);
    if (world == 4) saved.tensors() = state.tensors();
  }
  for (const int world : {1, 2, 3, 4}) {
    for (int stage = 0; stage <= 3; ++stage) {
      const Case setup{world, stage, stage > 0 && (world + stage) % 2 == 0, GetParam()};
      SCOPED_TRACE(name(setup));
      MemoryState back(params_);
      Outcome outcome;
      with_engines(setup, [&](Engine& engine, comm::Communicator& rank) {
        const auto loaded = engine.load_state(saved.reader(), kSteps);
        EXPECT_TRUE(loaded.moments);
        EXPECT_EQ(loaded.differing_weights, 0) << loaded.first_differing;
        engine.export_state(back.sink());
        const auto mine = continue_training(engine, rank, setup);
        EXPECT_EQ(engine.applied_steps(), 2 * kSteps);
        if (rank.rank() == 0) outcome = mine;
      });
      back.expect_complete(kinds_);
      EXPECT_EQ(back.tensors(), saved.tensors());
      const auto& expected = undisturbed[4];
      if (world == 4) {
        EXPECT_EQ(outcome.hash, expected.hash);
        EXPECT_EQ(outcome.losses, expected.losses);
      } else if (GetParam() == DType::f32) {
        for (std::size_t i = 0; i < outcome.losses.size(); ++i) {
          EXPECT_NEAR(outcome.losses[i], expected.losses[i], 1e-6 * expected.losses[i]);
        }
      }
    }
  }
}

TEST_P(StateIoTest, SnapshotHoldsTheStateFromBeforeTheStepThatRanBesideIt) {
  for (const bool offload : {false, true}) {
    const Case setup{2, offload ? 3 : 1, offload, GetParam()};
    MemoryState direct(params_), copied(params_);
    with_engines(setup, [&](Engine& engine, comm::Communicator& rank) {
      engine.load_params(testing::mlp_init({}, 7));
      (void)train_step(engine, rank, setup, 0);
      engine.export_state(direct.sink());
      auto& snapshot = engine.start_snapshot();
      (void)train_step(engine, rank, setup, 1);
      EXPECT_GE(engine.take_snapshot_wait(), 0.0);
      snapshot.write(copied.sink());
    });
    copied.expect_complete(kinds_);
    EXPECT_EQ(copied.tensors(), direct.tensors()) << name(setup);
  }
}

TEST_P(StateIoTest, SnapshotsOfStatesOnDiskStayWhileStepsRunThatWriteThem) {
  for (const bool params : {false, true}) {
    const Case setup{2, params ? 3 : 2, true, GetParam(), params};
    SCOPED_TRACE(name(setup));
    Outcome undisturbed;
    {
      MemoryState state(params_);
      undisturbed = reference(setup, state);
    }
    MemoryState direct[] = {MemoryState(params_), MemoryState(params_)};
    MemoryState copied[] = {MemoryState(params_), MemoryState(params_)};
    Outcome outcome;
    with_engines(setup, [&](Engine& engine, comm::Communicator& rank) {
      (void)engine.prepare_snapshot();
      engine.load_params(testing::mlp_init({}, 7));
      std::vector<double> losses;
      int step = 0;
      for (int save = 0; save < 2; ++save) {
        losses.push_back(train_step(engine, rank, setup, step++));
        engine.export_state(direct[save].sink());
        auto& snapshot = engine.start_snapshot();
        losses.push_back(train_step(engine, rank, setup, step++));  // overwrites once
        auto writing =
            std::async(std::launch::async, [&, save] { snapshot.write(copied[save].sink()); });
        losses.push_back(train_step(engine, rank, setup, step++));  // and beside the writing
        writing.get();
      }
      if (rank.rank() != 0) return void(hash_params(engine));
      outcome.losses = {losses.begin() + kSteps, losses.end()};
      outcome.hash = hash_params(engine);
    });
    for (int save = 0; save < 2; ++save) {
      copied[save].expect_complete(kinds_);
      EXPECT_EQ(copied[save].tensors(), direct[save].tensors()) << "save " << save;
    }
    EXPECT_NE(copied[0].tensors(), copied[1].tensors());
    EXPECT_EQ(outcome.losses, undisturbed.losses);
    EXPECT_EQ(outcome.hash, undisturbed.hash);
  }
}

TEST_P(StateIoTest, WeightsAloneStartFreshMomentsAndAreTheirOwnMasters) {
  const Case setup{2, 2, false, GetParam()};
  MemoryState state(params_), back(params_);
  (void)reference(setup, state);
  for (const auto kind : {StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
    for (std::size_t p = 0; p < params_.size(); ++p) {
      state.tensors().erase({kind, static_cast<int>(p)});
    }
  }
  with_engines(setup, [&](Engine& engine, comm::Communicator& /*rank*/) {
    EXPECT_FALSE(engine.load_state(state.reader(), 0).moments);
    engine.export_state(back.sink());
  });
  for (std::size_t p = 0; p < params_.size(); ++p) {
    const int id = static_cast<int>(p);
    const auto weight = back.tensors().at({StateKind::weight, id});
    EXPECT_EQ(weight, state.tensors().at({StateKind::weight, id}));
    for (const auto byte : back.tensors().at({StateKind::exp_avg, id}).bytes) {
      ASSERT_EQ(byte, std::byte{0});
    }
  }
}

TEST_P(StateIoTest, WeightsThatAreNotTheRoundedMastersAreReported) {
  if (GetParam() == DType::f32) return;  // there is one copy
  const Case setup{2, 1, false, GetParam()};
  MemoryState state(params_);
  (void)reference(setup, state);
  state.tensors().at({StateKind::weight, 0}).bytes[1] ^= std::byte{1};
  std::mutex mutex;
  std::int64_t differing = 0;
  with_engines(setup, [&](Engine& engine, comm::Communicator& /*rank*/) {
    const auto loaded = engine.load_state(state.reader(), kSteps);
    const std::lock_guard lock(mutex);
    differing += loaded.differing_weights;
    EXPECT_EQ(loaded.first_differing.empty(), loaded.differing_weights == 0);
  });
  EXPECT_EQ(differing, 1);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, StateIoTest, ::testing::Values(DType::f32, DType::bf16),
                         [](const ::testing::TestParamInfo<DType>& it) {
                           return it.param == DType::f32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace zt::zero
