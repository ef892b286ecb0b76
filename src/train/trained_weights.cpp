#include "train/trained_weights.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "checkpoint/deepspeed.h"
#include "checkpoint/huggingface.h"
#include "checkpoint/native_checkpoint.h"
#include "checkpoint/store.h"

namespace zt::train {
namespace {

/// A checkpoint that was named: itself, or the newest of an output folder. Empty: neither.
std::string newest_in(const std::string& folder) {
  if (checkpoint::is_native(folder)) return folder;
  const auto found = checkpoint::list_checkpoints(folder);
  return found.empty() ? std::string() : found.front().path;
}

std::string resumed_folder(const config::Config& config) {
  const auto& from = config.checkpoint.resume_from;
  const bool newest = from == "latest" || from == "true";
  const auto folder = newest_in(newest ? config.run.output_dir : from);
  if (!folder.empty()) return folder;
  if (!newest &&
      (checkpoint::has_weights(from) || !checkpoint::find_deepspeed(from).folder.empty())) {
    return from;
  }
  throw CheckpointError(fmt::format(
      "[train.weights] --resume_from_checkpoint {}: got no checkpoint in {}, expected a checkpoint "
      "of zt or DeepSpeed, an output folder with some, or a Hugging Face folder.",
      from, newest ? config.run.output_dir : from));
}

}  // namespace

TrainedWeights find_trained_weights(const config::Config& config) {
  const auto& model = config.model.model_name_or_path;
  const auto& output = config.run.output_dir;
  if (!config.checkpoint.resume_from.empty()) {
    return {resumed_folder(config), "--resume_from_checkpoint"};
  }
  if (!config.checkpoint.init_from.empty()) return {config.checkpoint.init_from, "--init_from"};
  if (!output.empty()) {
    if (checkpoint::has_weights(output)) return {output, "the model saved in --output_dir"};
    const auto newest = newest_in(output);
    if (!newest.empty()) return {newest, "the newest checkpoint in --output_dir"};
  }
  if (config.model.from_scratch) {
    throw ConfigError(fmt::format(
        "[train.weights] there are no trained weights: got --from_scratch and nothing saved in {}. "
        "Train first, or name weights with --resume_from_checkpoint.",
        output.empty() ? "--output_dir" : output));
  }
  if (checkpoint::has_weights(model)) return {model, "the model's own weights"};
  throw FileError(fmt::format(
      "[train.weights] there are no trained weights: got neither a saved model nor a checkpoint in "
      "{}, nor weights in {}. Train first, or name weights with --resume_from_checkpoint.",
      output.empty() ? "--output_dir" : output, model));
}

void verify_weights(const std::string& folder, const checkpoint::RankExchange& exchange) {
  if (checkpoint::is_native(folder)) return checkpoint::require_whole(folder, exchange);
  if (checkpoint::has_weights(folder)) return;
  checkpoint::all_or_none(exchange, [&] {
    std::string text;
    for (const auto& problem :
         checkpoint::DeepSpeedCheckpoint(folder).verify(exchange.rank, exchange.world)) {
      text += "\n  " + problem;
    }
    if (!text.empty()) throw CheckpointError("[train.weights] " + folder + " is damaged:" + text);
  });
}

}  // namespace zt::train
