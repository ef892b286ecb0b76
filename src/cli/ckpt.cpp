#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "checkpoint/tools.h"
#include "cli/ckpt_flags.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"

namespace zt::cli {
namespace {

using checkpoint::OpenedCheckpoint;

constexpr int kDifferent = 1;
constexpr int kDamaged = 3;  ///< as every file that is not what it should be

constexpr CkptFlag kDtype{"--dtype", "DTYPE", "of the weights that are written: fp32, bf16, fp16"};
constexpr CkptFlag kShards{"--shard_size", "SIZE", "largest file, e.g. 2GB; default 5GB"};
constexpr CkptFlag kModel{"--model", "DIR",
                          "folder of config.json and tokenizer; default: the checkpoint"};

std::vector<CkptVerb> verbs() {
  return {
      {"inspect",
       "CHECKPOINT",
       1,
       "What a checkpoint is: format, step, states, sizes.",
       {{"--tensors", "", "also every tensor with its shape"}}},
      {"verify",
       "CHECKPOINT",
       1,
       "Reads every byte and compares it with the hashes that were saved. Exit code 3 when the\n"
       "checkpoint is damaged. Hugging Face folders have no hashes: their structure is checked.",
       {}},
      {"diff",
       "FIRST SECOND",
       2,
       "Compares tensors bit by bit and the numbers of the run. Exit code 1 when they differ.",
       {}},
      {"convert",
       "FROM TO",
       2,
       "Writes a checkpoint in another format. TO appears when it is complete.",
       {{"--to", "FORMAT",
         "hf: weights; native: TO/checkpoint-N; deepspeed: TO/global_stepN; required"},
        {"--stage", "1|2|3", "deepspeed: ZeRO stage that will load it, default 1"},
        {"--world_size", "N", "deepspeed: ranks that will load it, default 1"},
        {"--tag", "NAME", "deepspeed: instead of global_stepN"},
        kDtype,
        kShards,
        kModel}},
      {"merge",
       "FROM TO",
       2,
       "Writes the weights as a Hugging Face folder, from the fp32 masters where there are any.\n"
       "Default dtype: fp32.",
       {kDtype, kShards, kModel}}};
}

std::optional<DType> dtype_of(const CkptArguments& arguments) {
  const auto text = arguments.get("--dtype");
  if (text.empty()) return {};
  for (const auto dtype : {DType::f32, DType::bf16, DType::f16}) {
    if (text == to_string(dtype)) return dtype;
  }
  throw ConfigError(
      fmt::format("[cli.ckpt] --dtype: got '{}', expected fp32, bf16 or fp16.", text));
}

checkpoint::ConvertOptions output_of(const CkptArguments& arguments) {
  checkpoint::ConvertOptions options;
  options.target = arguments.operands[1];
  options.model = arguments.get("--model");
  options.dtype = dtype_of(arguments);
  if (arguments.has("--shard_size")) {
    options.shard_bytes = parse_bytes(arguments.get("--shard_size"), "--shard_size");
  }
  return options;
}

/// A tool's progress on the terminal.
checkpoint::ToolProgress shown(ProgressBar& bar) {
  return [&bar](Bytes done, Bytes total) { bar.show(done, total); };
}

int run_inspect(const CkptArguments& arguments) {
  std::cout << checkpoint::inspect(arguments.operands[0], arguments.has("--tensors"));
  return 0;
}

checkpoint::ToolVerification verify_shown(const std::string& path) {
  ProgressBar bar("verify", stderr);
  return checkpoint::verify_any(path, shown(bar));
}

int run_verify(const CkptArguments& arguments) {
  const auto result = verify_shown(arguments.operands[0]);
  for (const auto& problem : result.problems) std::cout << problem << '\n';
  for (const auto& note : result.notes) std::cout << "note: " << note << '\n';
  if (!result.problems.empty()) {
    std::cout << fmt::format("{}: damaged\n", result.folder);
    return kDamaged;
  }
  std::cout << (result.hashed ? fmt::format("{}: whole\n", result.folder)
                              : fmt::format("{}: its structure is right; Hugging Face folders "
                                            "have no hashes of values\n",
                                            result.folder));
  return 0;
}

checkpoint::Difference diff_shown(const OpenedCheckpoint& a, const OpenedCheckpoint& b) {
  ProgressBar bar("diff", stderr);
  return checkpoint::diff(a, b, shown(bar));
}

int run_diff(const CkptArguments& arguments) {
  const auto result = diff_shown(checkpoint::open_checkpoint(arguments.operands[0]),
                                 checkpoint::open_checkpoint(arguments.operands[1]));
  for (const auto& line : result.lines) std::cout << line << '\n';
  std::cout << fmt::format("{} tensors compared: {}\n", result.tensors,
                           result.lines.empty() ? "equal" : "different");
  return result.lines.empty() ? 0 : kDifferent;
}

int integer_of(const CkptArguments& arguments, const std::string& flag, int fallback) {
  const auto text = arguments.get(flag);
  if (text.empty()) return fallback;
  int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc() && result.ptr == text.data() + text.size()) return value;
  throw ConfigError(fmt::format("[cli.ckpt] {}: got '{}', expected an integer.", flag, text));
}

checkpoint::DeepSpeedLayout layout_of(const CkptArguments& arguments) {
  using checkpoint::DeepSpeedLayout;
  const auto text = arguments.get("--stage");
  if (text.empty() || text == "1") return DeepSpeedLayout::stage1;
  if (text == "2") return DeepSpeedLayout::stage2;
  if (text == "3") return DeepSpeedLayout::stage3;
  throw ConfigError(fmt::format("[cli.ckpt] --stage: got '{}', expected 1, 2 or 3.", text));
}

std::string convert_shown(const OpenedCheckpoint& from, const std::string& format,
                          const CkptArguments& arguments) {
  auto options = output_of(arguments);
  if (format == "merge" && !options.dtype) options.dtype = DType::f32;
  const checkpoint::DeepSpeedTarget target{
      layout_of(arguments), integer_of(arguments, "--world_size", 1), arguments.get("--tag")};
  ProgressBar bar("convert", stderr);
  if (format == "deepspeed") {
    return checkpoint::convert_to_deepspeed(from, options, target, shown(bar));
  }
  if (format == "native") return checkpoint::convert_to_native(from, options, shown(bar));
  checkpoint::convert_to_huggingface(from, options, shown(bar));
  return options.target;
}

int run_convert(const CkptArguments& arguments) {
  const auto format = arguments.get("--to");
  if (!arguments.has("--to")) {
    throw ConfigError("[cli.ckpt] --to is missing: expected hf, native or deepspeed.");
  }
  if (format != "hf" && format != "native" && format != "deepspeed") {
    throw ConfigError(
        fmt::format("[cli.ckpt] --to: got '{}', expected hf, native or deepspeed.", format));
  }
  const auto from = checkpoint::open_checkpoint(arguments.operands[0]);
  std::cout << convert_shown(from, format, arguments) << '\n';
  return 0;
}

int run_merge(const CkptArguments& arguments) {
  const auto from = checkpoint::open_checkpoint(arguments.operands[0]);
  std::cout << convert_shown(from, "merge", arguments) << '\n';
  return 0;
}

int run_verb(const CkptVerb& verb, const CkptArguments& arguments) {
  const std::string name = verb.name;
  if (name == "inspect") return run_inspect(arguments);
  if (name == "verify") return run_verify(arguments);
  if (name == "diff") return run_diff(arguments);
  return name == "convert" ? run_convert(arguments) : run_merge(arguments);
}

}  // namespace

std::string ckpt_help() {
  std::string text = "usage: zt ckpt <verb> ...\n\n";
  for (const auto& verb : verbs()) text += ckpt_verb_help(verb).substr(7) + "\n";
  return text +
         "CHECKPOINT, FROM: a native checkpoint, a DeepSpeed or universal one, a Hugging Face "
         "folder,\nor an output directory, of which the newest checkpoint is taken.\n";
}

int run_ckpt(const Arguments& arguments) {
  if (arguments.empty() || arguments.front() == "--help" || arguments.front() == "-h") {
    std::cout << ckpt_help();
    return 0;
  }
  const Arguments rest(arguments.begin() + 1, arguments.end());
  for (const auto& verb : verbs()) {
    if (arguments.front() != verb.name) continue;
    if (!asks_for_help(rest)) return run_verb(verb, parse_ckpt(verb, rest));
    std::cout << ckpt_verb_help(verb);
    return 0;
  }
  throw ConfigError(
      fmt::format("[cli.ckpt] unknown verb: got '{}', expected inspect, verify, diff, convert or "
                  "merge. See zt ckpt --help.",
                  arguments.front()));
}

}  // namespace zt::cli
