#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "checkpoint/huggingface.h"
#include "checkpoint/manifest.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/native_test_save.h"
#include "checkpoint/piece_writer.h"
#include "kernels/cast/cast.h"

namespace zt::checkpoint {
namespace {

namespace fs = std::filesystem;
using layout::StateKind;
using namespace testing;

/// The nearest bf16 value.
float rounded(float value) {
  std::uint16_t bits = 0;
  kernels::cast({&value, 1, DType::f32}, {&bits, 1, DType::bf16}, Launch{});
  kernels::cast({&bits, 1, DType::bf16}, {&value, 1, DType::f32}, Launch{});
  return value;
}

std::ptrdiff_t list_size(const std::string& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

void expect_saved_values(const std::string& folder) {
  const NativeCheckpoint checkpoint(folder);
  const auto params = small_params();
  checkpoint.check(params);
  for (const auto kind :
       {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
    ASSERT_TRUE(checkpoint.has(kind));
    for (int p = 0; p < static_cast<int>(params.size()); ++p) {
      const auto& param = params[static_cast<std::size_t>(p)];
      const std::int64_t begin = 3;  // a slice, as a rank of another world asks for
      std::vector<float> values(static_cast<std::size_t>(param.numel().value - begin));
      checkpoint.read(kind, param, begin, values);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const auto saved = value_of(kind, p, begin + static_cast<std::int64_t>(i));
        ASSERT_EQ(values[i], kind == StateKind::weight ? rounded(saved) : saved)
            << to_string(kind) << " " << param.name << " " << i;
      }
    }
  }
}

class WorldTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Worlds, WorldTest, ::testing::Values(1, 2, 3, 4, 5, 8));

TEST_P(WorldTest, EveryValueComesBackAndTheWorldSizeLeavesNoTrace) {
  const SaveFolder one;
  const auto folder = save_on(GetParam(), small_save(one, 12));
  EXPECT_EQ(folder, one.path("out/checkpoint-12"));
  expect_saved_values(folder);
  EXPECT_TRUE(verify(folder).problems.empty());
  const auto alone = small_save(one, 12);
  auto other = alone;
  other.output_dir = one.path("alone");
  const auto reference = save_on(1, other);
  ASSERT_EQ(files_below(folder), files_below(reference));
  for (const auto& name : files_below(folder)) {
    if (name == kManifestName) continue;  // lists the pieces as the ranks wrote them
    EXPECT_EQ(read_file(folder + "/" + name), read_file(reference + "/" + name)) << name;
  }
}

TEST(NativeSaveTest, ShardsHaveAnIndexAndTheFolderIsAModelFolder) {
  const SaveFolder folder;
  auto options = small_save(folder, 3);
  options.tensors.shard_bytes = {6000};
  const auto saved = save_on(3, options);
  EXPECT_TRUE(fs::exists(saved + "/model.safetensors.index.json"));
  EXPECT_TRUE(fs::exists(saved + "/zero/exp_avg.safetensors.index.json"));
  expect_saved_values(saved);
  HuggingFaceWeights(saved).check(small_params());
  EXPECT_EQ(read_file(saved + "/tokenizer.json"), "exactly \xff these bytes\r\n");
  EXPECT_NE(read_file(saved + "/config.json").find("bfloat16"), std::string::npos);
  EXPECT_EQ(read_file(saved + "/trainer_state.json"), options.run_state.trainer_state);
}

TEST(NativeSaveTest, RunStateComesBack) {
  const SaveFolder folder;
  auto options = small_save(folder, 7);
  auto& state = options.run_state;
  state.applied_steps = 6;
  state.samples_seen = 1LL << 40;
  state.epoch = 0.1;
  state.global_batch = 24;
  state.coalesce = 4;
  state.seed = ~0ULL;
  state.data_seed = 43;
  state.loss_scaler = optim::LossScalerState{1024, 9, 3, 1};
  const NativeCheckpoint checkpoint(save_on(2, options));
  const auto& read = checkpoint.run_state();
  EXPECT_EQ(read.global_step, 7);
  EXPECT_EQ(read.applied_steps, 6);
  EXPECT_EQ(read.samples_seen, 1LL << 40);
  EXPECT_EQ(read.epoch, 0.1);
  EXPECT_EQ(read.global_batch, 24);
  EXPECT_EQ(read.coalesce, 4);
  EXPECT_EQ(read.seed, ~0ULL);
  EXPECT_EQ(read.data_seed, 43U);
  ASSERT_TRUE(read.loss_scaler);
  EXPECT_EQ(read.loss_scaler->scale, 1024);
  EXPECT_EQ(read.loss_scaler->last_overflow_iter, 3);
  EXPECT_EQ(read.trainer_state, state.trainer_state);
  EXPECT_EQ(nlohmann::json::parse(checkpoint.config()), nlohmann::json::parse(options.config));
}

TEST(NativeSaveTest, Fp32WeightsAreTheirOwnMasterAndWeightsAloneHaveNoState) {
  const SaveFolder folder;
  auto options = small_save(folder, 1);
  options.tensors.dtype = DType::f32;
  const NativeCheckpoint full(save_on(2, options));
  EXPECT_FALSE(full.has(StateKind::master));
  EXPECT_TRUE(full.has(StateKind::exp_avg));
  options.tensors.optimizer = false;
  options.run_state.global_step = 2;
  const NativeCheckpoint weights(save_on(2, options));
  EXPECT_TRUE(weights.has(StateKind::weight));
  EXPECT_FALSE(weights.has(StateKind::exp_avg));
  EXPECT_TRUE(verify(weights.folder()).problems.empty());
}

TEST(NativeSaveTest, PiecesLargerThanTheStagingBufferAndUnalignedEndsAreWhole) {
  const SaveFolder folder;
  auto options = small_save(folder, 1);
  options.tensors = {DType::f32, false};
  const std::vector<layout::ParamSpec> params{{.name = "a", .shape = {1, 3}},
                                              {.name = "b", .shape = {5, 1000003}},
                                              {.name = "c", .shape = {9}}};
  const auto saved = save_on(3, options, params);
  EXPECT_TRUE(verify(saved).problems.empty());
  const NativeCheckpoint checkpoint(saved);
  std::vector<float> values(5 * 1000003);
  checkpoint.read(StateKind::weight, params[1], 0, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], value_of(StateKind::weight, 1, static_cast<std::int64_t>(i)));
  }
  for (const auto& file : Manifest::read(saved).files) {
    for (const auto& piece : file.pieces) EXPECT_LE(piece.end - piece.begin, kPieceBytes);
  }
}

TEST(NativeSaveTest, ASaveOfAStepThatIsThereReplacesIt) {
  const SaveFolder folder;
  const auto options = small_save(folder, 5);
  const auto first = save_on(2, options);
  write_file(first + "/model.safetensors", "damaged");
  ASSERT_FALSE(verify(first).problems.empty());
  EXPECT_EQ(save_on(2, options), first);
  EXPECT_TRUE(verify(first).problems.empty());
  EXPECT_EQ(list_size(folder.path("out")), 1);
}

TEST(NativeSaveTest, TooSmallADiskIsFoundBeforeAnythingIsWritten) {
  const SaveFolder folder;
  auto options = small_save(folder, 5);
  const auto earlier = save_on(2, small_save(folder, 4));
  options.keep_free = {1LL << 60};
  std::atomic<int> asked{0};
  options.make_room = [&asked] { ++asked; };
  const auto errors = on_ranks(3, [&](const RankExchange& exchange) {
    NativeSave(options, small_params(), exchange).publish();
  });
  for (const auto& error : errors) {
    EXPECT_NE(error.find("the save needs"), std::string::npos) << error;
    EXPECT_NE(error.find(" free"), std::string::npos) << error;
  }
  EXPECT_EQ(asked, 1) << "deletions under way may make room";
  EXPECT_EQ(list_size(folder.path("out")), 1);
  EXPECT_TRUE(verify(earlier).problems.empty());
}

// A limit on the size of files stands in for a disk that fails: the kernel refuses the write.
TEST(NativeSaveTest, AFailedWriteOnAnyRankFailsAllAndLeavesNothing) {
  const SaveFolder folder;
  const auto earlier = save_on(2, small_save(folder, 4));
  const auto before = signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto params = small_params();
  const auto errors = on_ranks(3, [&](const RankExchange& exchange) {
    NativeSave save(small_save(folder, 5), params, exchange);
    exchange.gather_text("");
    if (exchange.rank == 1) {
      const struct rlimit small { 1024, limit.rlim_max };
      setrlimit(RLIMIT_FSIZE, &small);
    }
    exchange.gather_text("");
    write_share(save, params, exchange.rank, exchange.world);
    save.publish();
  });
  setrlimit(RLIMIT_FSIZE, &limit);
  static_cast<void>(signal(SIGXFSZ, before));
  for (const auto& error : errors) {
    EXPECT_NE(error.find("File too large"), std::string::npos) << error;
    EXPECT_NE(error.find("(rank "), std::string::npos) << error;
    EXPECT_NE(error.find(".safetensors"), std::string::npos) << error;
  }
  EXPECT_EQ(list_size(folder.path("out")), 1);
  EXPECT_TRUE(verify(earlier).problems.empty());
}

TEST(NativeSaveTest, ACheckpointOfMoreFilesThanAProcessMayOpenIsWritten) {
  const SaveFolder folder;
  std::vector<layout::ParamSpec> params;
  for (int i = 0; i < 60; ++i) {
    params.push_back({.name = "model.layers." + std::to_string(i) + ".w", .shape = {31, 33}});
  }
  auto options = small_save(folder, 3);
  options.tensors.shard_bytes = {100};  // 240 files
  const auto open_files = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
  const auto before = open_files();
  struct rlimit limit {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const struct rlimit small { static_cast<rlim_t>(before + 60), limit.rlim_max };
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  std::string saved, error;
  try {
    saved = save_on(1, options, params);
  } catch (const std::exception& thrown) {
    error = thrown.what();
  }
  setrlimit(RLIMIT_NOFILE, &limit);
  ASSERT_EQ(error, "");
  EXPECT_EQ(open_files(), before);
  EXPECT_TRUE(verify(saved).problems.empty());
}

TEST(NativeSaveTest, AnUnpublishedSaveLeavesNothing) {
  const SaveFolder folder;
  const auto params = small_params();
  {
    NativeSave save(small_save(folder, 9), params, exchange_alone());
    write_share(save, params, 0, 1);
    EXPECT_EQ(list_size(folder.path("out")), 1);
  }
  EXPECT_EQ(list_size(folder.path("out")), 0);
}

TEST(NativeSaveTest, SlicesThatDoNotCoverTheWholeAreABug) {
  const SaveFolder folder;
  const auto params = small_params();
  NativeSave save(small_save(folder, 9), params, exchange_alone());
  write_share(save, params, 0, 2);
  EXPECT_THROW(save.publish(), CheckpointError);
  EXPECT_EQ(list_size(folder.path("out")), 0);
}

TEST(NativeCheckpointTest, AnotherModelIsNamed) {
  const SaveFolder folder;
  const NativeCheckpoint checkpoint(save_on(1, small_save(folder, 1)));
  auto params = small_params();
  params[1].shape = {33, 41};
  params[3].name = "model.layers.1.mlp.other";
  try {
    checkpoint.check(params);
    FAIL();
  } catch (const CheckpointError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("got [41, 33], expected [33, 41]"), std::string::npos) << what;
    EXPECT_NE(what.find("missing: exp_avg of model.layers.1.mlp.other"), std::string::npos) << what;
    EXPECT_NE(what.find("unexpected: weight of model.layers.1.mlp.w"), std::string::npos) << what;
  }
  std::vector<float> values(4);
  EXPECT_THROW(checkpoint.read(StateKind::weight, small_params()[2], 30, values), CheckpointError);
}

}  // namespace
}  // namespace zt::checkpoint
