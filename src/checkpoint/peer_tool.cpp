// Lets the tests in tests/peers look at checkpoint files through this module.
#include <fmt/format.h>

#include <array>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/deepspeed_write.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file.h"

namespace {

using zt::layout::StateKind;

constexpr std::array<std::pair<StateKind, const char*>, 4> kKinds{
    {{StateKind::weight, "weight"},
     {StateKind::master, "master"},
     {StateKind::exp_avg, "exp_avg"},
     {StateKind::exp_avg_sq, "exp_avg_sq"}}};

/// Writes every parameter's values of every kind as fp32 to `<output>/<name>.<kind>`, read in
/// pieces of `piece` elements, and prints the run's numbers.
void dump(const std::string& folder, const std::string& output, std::size_t piece) {
  const zt::checkpoint::DeepSpeedCheckpoint checkpoint(folder);
  for (const auto& param : checkpoint.params()) {
    for (const auto& [kind, name] : kKinds) {
      if (!checkpoint.has(kind)) continue;
      std::vector<float> values(static_cast<std::size_t>(param.numel().value));
      for (std::size_t at = 0; at < values.size(); at += piece) {
        const std::span<float> all(values);
        checkpoint.read(kind, param, static_cast<std::int64_t>(at),
                        all.subspan(at, std::min(piece, values.size() - at)));
      }
      std::ofstream file(output + "/" + param.name + "." + name, std::ios::binary);
      file.write(reinterpret_cast<const char*>(values.data()),
                 static_cast<std::streamsize>(values.size() * sizeof(float)));
    }
  }
  const auto& run = checkpoint.run_state();
  std::cout << fmt::format("{} {} {} {}\n", run.global_step, run.applied_steps, run.samples_seen,
                           run.global_batch);
}

/// Writes the checkpoint once more, cut for `world` ranks in the layout of a ZeRO stage.
void reshard(const std::string& from, const std::string& to, int layout, int world) {
  const zt::checkpoint::DeepSpeedCheckpoint checkpoint(from);
  zt::checkpoint::DeepSpeedSave save;
  save.folder = to;
  save.layout = static_cast<zt::checkpoint::DeepSpeedLayout>(layout);
  save.world = world;
  save.dtype = checkpoint.weight_dtype();
  if (checkpoint.adam()) save.adam = *checkpoint.adam();
  std::cout << zt::checkpoint::write_deepspeed(checkpoint, checkpoint.params(), save,
                                               zt::checkpoint::exchange_alone())
            << "\n";
}

/// One line per file of the list: `<path> ok` or `<path> refused <message>`.
void open_all(const std::string& list) {
  std::ifstream names(list);
  for (std::string path; std::getline(names, path);) {
    try {
      if (path.ends_with(".safetensors")) {
        const zt::checkpoint::SafetensorsFile file(path);
      } else if (path.ends_with(".pt")) {
        zt::checkpoint::TorchFile(path).verify();
      } else if (path.ends_with(".hf")) {
        const zt::checkpoint::HuggingFaceWeights weights(path);
      } else {
        const zt::checkpoint::DeepSpeedCheckpoint checkpoint(path);
      }
      std::cout << path << " ok\n";
    } catch (const zt::FileError& error) {
      std::cout << path << " refused " << error.what() << "\n";
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 4 && words[0] == "dump") {
      dump(words[1], words[2], std::stoul(words[3]));
    } else if (words.size() == 2 && words[0] == "open") {
      open_all(words[1]);
    } else if (words.size() == 5 && words[0] == "reshard") {
      reshard(words[1], words[2], std::stoi(words[3]), std::stoi(words[4]));
    } else {
      std::cerr << "usage: dump FOLDER OUTPUT PIECE | open LIST | reshard FROM TO STAGE WORLD\n";
      return 2;
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 3;
  }
  return 0;
}
