#include "train/predict.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "config/resolve.h"
#include "generate/family_decoder.h"
#include "generate/prompts.h"
#include "generate/results.h"
#include "memory/arena.h"
#include "model/family.h"
#include "train/generation_settings.h"
#include "train/model_source.h"
#include "train/prediction_exchange.h"
#include "train/rank_group.h"
#include "train/run_parts.h"
#include "train/trained_weights.h"
#include "train/watched_store.h"
#include "zero/rank_values.h"

namespace zt::train {
namespace {

using Clock = std::chrono::steady_clock;

/// More slots make a step longer without many more tokens per second.
constexpr std::int64_t kMostSlots = 64;

/// What is known before the ranks meet, the same on all of them.
struct Prepared {
  config::Config config;
  TrainedWeights weights;
  OpenedModel model;
  data::Tokenizer tokenizer;
  generate::Settings settings;
  std::vector<generate::PromptLine> lines;
};

config::Config resolve_predict(const RunInput& input) {
  config::Facts facts;
  facts.world_size = input.rank.world_size;
  facts.has_gpu = input.has_gpu;
  facts.task = config::Task::predict;
  facts.environment = input.environment;
  facts.model_names = model::model_names();
  return config::resolve(input.arguments, facts);
}

Prepared prepare(config::Config config) {
  auto weights = find_trained_weights(config);
  auto model = open_model(config.model, config.run.seed, weights.folder);
  auto tokenizer = load_tokenizer(config.model);
  if (tokenizer.vocab_size() > model.config.vocab()) {
    throw FileError(fmt::format(
        "[train.predict] the tokenizer has more tokens than the model's embedding has rows: got "
        "{}, expected at most vocab_size {}. Use the model's own tokenizer.",
        tokenizer.vocab_size(), model.config.vocab()));
  }
  auto settings = generation_settings(config, tokenizer, model.config.vocab());
  auto lines = generate::read_prompts(config.predict.prompts_file);
  return {std::move(config),    std::move(weights),  std::move(model),
          std::move(tokenizer), std::move(settings), std::move(lines)};
}

std::string output_path(const config::Config& config) {
  return config.predict.output_file.empty() ? config.run.output_dir + "/predictions.jsonl"
                                            : config.predict.output_file;
}

class PredictRun {
 public:
  PredictRun(const RunInput& input, Prepared prepared, comm::RankGroup& group)
      : input_(input), given_(std::move(prepared)), group_(group) {
    context_.communicator = &group.communicator();
    context_.device = context_.communicator->device();
    context_.device_index = input.rank.local_rank;
  }

  void run() {
    moved();
    const auto store = watched_store(group_);
    const std::chrono::milliseconds timeout =
        std::chrono::seconds(given_.config.run.ddp_timeout_seconds);
    const auto exchange =
        checkpoint::exchange_over_store(*store, rank(), world(), "predict", timeout);
    verify_weights(given_.weights.folder, exchange);
    checkpoint::all_or_none(exchange, [this] { tokenize(); });
    checkpoint::all_or_none(exchange, [this] {
      if (rank() == 0) (void)generate::ResultFile(output_path(given_.config), 0);
    });
    generate_all();
  }

 private:
  [[nodiscard]] int rank() const { return context_.communicator->rank(); }
  [[nodiscard]] int world() const { return context_.communicator->world(); }
  /// Tells the watchdog that this rank goes on.
  void moved() { group_.position().begin(comm::Activity::evaluating); }
  void say(const std::string& text) const {
    if (rank() == 0) log::info("predict", text);
  }

  /// This rank's prompts.
  void tokenize();
  [[nodiscard]] generate::DecoderShape shape_of_decoder();
  void require_fits(const generate::DecoderShape& shape, std::int64_t longest, Bytes there) const;
  /// What a rank may use, the same on all. Collective.
  [[nodiscard]] Bytes available() const;
  /// Slots for --generation_batch_size auto: a rank's prompts, as many as fit, at most kMostSlots.
  [[nodiscard]] std::int64_t automatic_slots(std::int64_t capacity, std::int64_t longest,
                                             Bytes there) const;
  [[nodiscard]] generate::DecoderMemory memory_of(const generate::DecoderShape& shape,
                                                  std::int64_t longest) const;
  void generate_all();
  [[nodiscard]] std::string line_of(const generate::Completion& completion) const;

  const RunInput& input_;
  Prepared given_;
  comm::RankGroup& group_;
  zero::RankContext context_;
  std::vector<generate::Prompt> prompts_;
};

void PredictRun::tokenize() {
  for (std::size_t i = 0; i < given_.lines.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (index % world() != rank()) continue;
    const auto& line = given_.lines[i];
    generate::Prompt prompt{.index = index};
    try {
      prompt.tokens = given_.tokenizer.encode(line.text);
    } catch (const FileError& error) {
      throw FileError(
          fmt::format("{}:{}: {}", given_.config.predict.prompts_file, line.line, error.what()));
    }
    const auto count = static_cast<std::int64_t>(prompt.tokens.size());
    const auto room = given_.settings.new_tokens(count);
    const auto longest = given_.model.config.length_limit().tokens;
    const auto positions = longest > 0 ? longest : std::numeric_limits<std::int64_t>::max();
    if (count == 0 || room <= 0 || count + room > positions) {
      throw ConfigError(fmt::format(
          "[train.predict] {}:{}: the prompt has {} tokens and is to get {} more: expected at "
          "least "
          "one of each, and at most the model's {} positions together. Shorten it, or change "
          "--max_new_tokens.",
          given_.config.predict.prompts_file, line.line, count, room, positions));
    }
    prompts_.push_back(std::move(prompt));
  }
}

generate::DecoderMemory PredictRun::memory_of(const generate::DecoderShape& shape,
                                              std::int64_t longest) const {
  return generate::decoder_memory(given_.model.config, given_.model.parts,
                                  given_.config.precision.compute, context_.device, shape, longest,
                                  world());
}

Bytes PredictRun::available() const {
  const auto target = plan_target(given_.config, context_, input_.rank.local_world_size);
  if (context_.device != Device::cuda) {
    return {target.host_memory.value / std::max(1, input_.rank.local_world_size)};
  }
  return target.device_memory -
         Bytes{zero::max_over_ranks(*context_.communicator,
                                    memory::device_used(context_.device).value)};
}

std::int64_t PredictRun::automatic_slots(std::int64_t capacity, std::int64_t longest,
                                         Bytes there) const {
  constexpr double kShareOfHost = 0.5;  // other programs have the rest
  const double share = context_.device == Device::cuda ? plan::kUsableShare : kShareOfHost;
  const Bytes usable{static_cast<std::int64_t>(share * static_cast<double>(there.value))};
  const auto parts = [](std::int64_t count, std::int64_t of) { return (count + of - 1) / of; };
  const auto mine =
      std::max<std::int64_t>(1, parts(static_cast<std::int64_t>(given_.lines.size()), world()));
  auto slots = parts(mine, parts(mine, kMostSlots));  // no last round of a few
  while (slots > 1 && memory_of({slots, capacity}, longest).total() > usable) --slots;
  return slots;
}

void PredictRun::require_fits(const generate::DecoderShape& shape, std::int64_t longest,
                              Bytes there) const {
  const auto memory = memory_of(shape, longest);
  say(fmt::format(
      "{} prompts, {} slots of {} tokens on each of {} ranks: {} of weights, {} of "
      "caches, {} of temporaries, {} there",
      given_.lines.size(), shape.slots, shape.capacity, world(), format_bytes(memory.weights),
      format_bytes(memory.state), format_bytes(memory.work), format_bytes(there)));
  if (memory.total() <= there) return;
  auto fewer = shape;
  while (fewer.slots > 1 && memory_of(fewer, longest).total() > there) --fewer.slots;
  const bool helps = memory_of(fewer, longest).total() <= there;
  throw ConfigError(fmt::format(
      "[train.predict] generation does not fit: each rank needs {} ({} of weights, {} of caches "
      "for "
      "{} prompts of {} tokens, {} of temporaries), got {}. {}",
      format_bytes(memory.total()), format_bytes(memory.weights), format_bytes(memory.state),
      shape.slots, shape.capacity, format_bytes(memory.work), format_bytes(there),
      helps
          ? fmt::format("--generation_batch_size {} fits.", fewer.slots)
          : std::string("Use shorter prompts, fewer --max_new_tokens, bf16, or a larger device.")));
}

generate::DecoderShape PredictRun::shape_of_decoder() {
  std::int64_t longest = 1;
  for (const auto& prompt : prompts_) {
    longest = std::max(longest, static_cast<std::int64_t>(prompt.tokens.size()));
  }
  auto& communicator = *context_.communicator;
  const auto capacity =
      zero::max_over_ranks(communicator, generate::needed_capacity(prompts_, given_.settings));
  longest = zero::max_over_ranks(communicator, longest);
  const auto there = available();
  const auto& asked = given_.config.predict.batch_size;
  const generate::DecoderShape shape{asked ? *asked : automatic_slots(capacity, longest, there),
                                     capacity};
  require_fits(shape, longest, there);
  return shape;
}

std::string PredictRun::line_of(const generate::Completion& completion) const {
  const auto& line = given_.lines.at(static_cast<std::size_t>(completion.index));
  const auto own = static_cast<std::size_t>(completion.index / world());
  const auto text = given_.tokenizer.decode(completion.tokens, /*skip_special_tokens=*/true);
  return generate::result_line(line, static_cast<std::int64_t>(prompts_.at(own).tokens.size()),
                               completion, text, /*with_ids=*/false);
}

void PredictRun::generate_all() {
  constexpr auto kSayEvery = std::chrono::seconds(30);
  const auto shape = shape_of_decoder();
  auto weights = generate::gather_weights(given_.model.parts, given_.model.values,
                                          given_.config.precision.compute, context_);
  given_.model.values = nullptr;  // closes the weight files
  const auto decoder =
      generate::make_decoder(given_.model.config, given_.model.parts, std::move(weights), shape);
  const auto count = static_cast<std::int64_t>(given_.lines.size());
  const auto path = output_path(given_.config);
  PredictionExchange exchange(group_, path, count);
  const auto begun = Clock::now();
  auto said = begun;
  std::int64_t tokens = 0;
  generate::Listener listener;
  listener.on_completion = [&](const generate::Completion& completion) {
    tokens += static_cast<std::int64_t>(completion.tokens.size());
    exchange.add(completion.index, line_of(completion));
  };
  listener.on_step = [&] {
    moved();
    exchange.take_what_is_there();
    if (Clock::now() - said < kSayEvery) return;
    said = Clock::now();
    say(fmt::format("{} of {} completions written", exchange.written(), count));
  };
  generate::generate(*decoder, prompts_, given_.settings, listener);
  const std::chrono::duration<double> seconds = Clock::now() - begun;
  exchange.finish();
  const auto all = zero::sum_over_ranks(*context_.communicator, tokens);
  say(fmt::format("{} completions with {} tokens in {}; {:.1f} tokens/s on rank 0", count, all,
                  path, static_cast<double>(tokens) / std::max(seconds.count(), 1e-9)));
}

}  // namespace

config::Config check_predict_inputs(const RunInput& input) {
  return prepare(resolve_predict(input)).config;
}

void predict(const RunInput& input) {
  auto prepared = prepare(resolve_predict(input));
  const int rank = input.rank.rank;
  const auto& run = prepared.config.run;
  log::init(rank, log::parse_level(rank == 0 ? run.log_level : run.log_level_replica));
  if (rank == 0) {
    for (const auto& notice : prepared.config.notices) log::info("config", notice);
    for (const auto& line : ignored_settings(prepared.config, prepared.settings)) {
      log::info("config", line);
    }
    log::info("predict", fmt::format("weights of {} ({})", prepared.weights.folder,
                                     prepared.weights.found_as));
  }
  const auto config = prepared.config;
  try {
    with_rank_group(input, config, [&](comm::RankGroup& group) {
      PredictRun rank_run(input, std::move(prepared), group);
      comm::run_part(group, [&] { rank_run.run(); });
    });
  } catch (const c10::OutOfMemoryError& error) {
    throw DeviceError(std::string("[train.predict] out of memory: ") +
                      error.what_without_backtrace());
  } catch (const c10::Error& error) {
    throw InternalError(std::string("[train.predict] libtorch: ") + error.what_without_backtrace());
  }
}

}  // namespace zt::train
