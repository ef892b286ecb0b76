#include "checkpoint/native_test_save.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "comm/inproc/memory_store.h"
#include "kernels/cast/cast.h"

namespace zt::checkpoint::testing {

namespace fs = std::filesystem;
using layout::StateKind;

SaveFolder::SaveFolder() {
  write("source/config.json", R"({"model_type":"qwen3"})");
  write("source/tokenizer.json", "exactly \xff these bytes\r\n");
  write("source/generation_config.json", "{}");
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<layout::ParamSpec> small_params() {
  return {{.name = "model.embed_tokens.weight", .shape = {97, 33}, .aliases = {"lm_head.weight"}},
          {.name = "model.layers.0.mlp.w", .shape = {41, 33}},
          {.name = "model.layers.0.norm.weight", .shape = {33}},
          {.name = "model.layers.1.mlp.w", .shape = {7, 5, 11}}};
}

float value_of(StateKind kind, int param, std::int64_t element) {
  return static_cast<float>(static_cast<int>(kind) + 1) + 0.125F * static_cast<float>(param) +
         static_cast<float>(element);
}

NativeSaveOptions small_save(const SaveFolder& folder, std::int64_t step) {
  NativeSaveOptions options;
  options.output_dir = folder.path("out");
  options.source = folder.path("source");
  options.tokenizer_source = options.source;
  options.tensors.dtype = DType::bf16;
  options.run_state.global_step = step;
  options.run_state.trainer_state = "{\"log_history\": []}\n";
  options.config = R"({"stage": 3})";
  return options;
}

std::vector<std::string> on_ranks(int world, const std::function<void(const RankExchange&)>& body) {
  const auto store = comm::make_memory_store();
  std::vector<std::string> errors(static_cast<std::size_t>(world));
  std::vector<std::thread> ranks;
  ranks.reserve(errors.size());
  for (int rank = 0; rank < world; ++rank) {
    ranks.emplace_back([&, rank] {
      try {
        body(exchange_over_store(*store, rank, world, "test", std::chrono::seconds(20)));
      } catch (const std::exception& error) {
        errors.at(static_cast<std::size_t>(rank)) = error.what();
      }
    });
  }
  for (auto& rank : ranks) rank.join();
  return errors;
}

void write_share(NativeSave& save, const std::vector<layout::ParamSpec>& params, int rank,
                 int world) {
  for (const auto kind :
       {StateKind::weight, StateKind::master, StateKind::exp_avg, StateKind::exp_avg_sq}) {
    if (!save.layout().has(kind)) continue;
    for (int p = 0; p < static_cast<int>(params.size()); ++p) {
      const auto dtype = save.layout().dtype(kind, {p});
      const auto numel = params[static_cast<std::size_t>(p)].numel().value;
      const auto begin = numel * rank / world, end = numel * (rank + 1) / world;
      std::vector<float> values;
      values.reserve(static_cast<std::size_t>(end - begin));
      for (auto i = begin; i < end; ++i) values.push_back(value_of(kind, p, i));
      std::vector<std::uint32_t> narrow(values.size());
      const View target{narrow.data(), end - begin, dtype};
      kernels::cast({values.data(), end - begin, DType::f32}, target, Launch{});
      save.write({kind, {p}, begin, {end - begin}}, target);
    }
  }
}

std::string save_on(int world, const NativeSaveOptions& options,
                    const std::vector<layout::ParamSpec>& params) {
  std::string folder;
  const auto errors = on_ranks(world, [&](const RankExchange& exchange) {
    NativeSave save(options, params, exchange);
    write_share(save, params, exchange.rank, exchange.world);
    auto published = save.publish();
    if (exchange.rank == 0) folder = std::move(published);
  });
  for (const auto& error : errors) EXPECT_EQ(error, "");
  return folder;
}

}  // namespace zt::checkpoint::testing
