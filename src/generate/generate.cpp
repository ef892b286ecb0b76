#include "generate/generate.h"

#include <ATen/ops/max.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "generate/logits.h"

namespace zt::generate {
namespace {

/// A sequence in a slot.
struct Active {
  bool in_use = false;
  std::int64_t index = 0, prompt = 0, new_tokens = 0;
  std::vector<std::int32_t> tokens;  ///< prompt and new ones
  [[nodiscard]] std::int64_t added() const {
    return static_cast<std::int64_t>(tokens.size()) - prompt;
  }
};

class Run {
 public:
  Run(Decoder& decoder, const Settings& settings, const Listener& listener)
      : decoder_(decoder),
        settings_(settings),
        listener_(listener),
        slots_(static_cast<std::size_t>(decoder.shape().slots)) {}

  void all(std::span<const Prompt> prompts) {
    while (true) {
      for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
        while (!slots_[slot].in_use && next_ < prompts.size()) begin(slot, prompts[next_++]);
      }
      if (!any_in_use()) return;
      step();
    }
  }

 private:
  [[nodiscard]] bool any_in_use() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Active& a) { return a.in_use; });
  }

  void begin(std::size_t slot, const Prompt& prompt) {
    auto& active = slots_[slot];
    active = {.in_use = true,
              .index = prompt.index,
              .prompt = static_cast<std::int64_t>(prompt.tokens.size()),
              .tokens = prompt.tokens};
    active.new_tokens = settings_.new_tokens(active.prompt);
    if (active.prompt == 0 || active.new_tokens <= 0) {
      throw ConfigError(fmt::format(
          "[generate.prompt] prompt {} has {} tokens: expected at least one, and fewer than "
          "max_length {}. Set max_new_tokens.",
          prompt.index, active.prompt, settings_.max_length));
    }
    const auto logits = decoder_.prefill(static_cast<std::int64_t>(slot), prompt.tokens);
    take(slot, choose(logits, {slot}).front());
    if (listener_.on_step) listener_.on_step();
  }

  void step() {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> rows;
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
      tokens.push_back(slots_[slot].in_use ? slots_[slot].tokens.back() : 0);
      rows.push_back(slot);
    }
    const auto chosen = choose(decoder_.step(tokens), rows);
    for (const auto slot : rows) {
      if (slots_[slot].in_use) take(slot, chosen[slot]);
    }
    if (listener_.on_step) listener_.on_step();
  }

  /// One token for each row of the logits; `slots` says whose row it is. Rows of slots that are not
  /// in use get 0.
  std::vector<std::int32_t> choose(const at::Tensor& logits,
                                   const std::vector<std::size_t>& slots) {
    return settings_.plain_greedy() ? choose_on_device(logits, slots)
                                    : choose_on_host(logits, slots);
  }

  std::vector<std::int32_t> choose_on_device(const at::Tensor& logits,
                                             const std::vector<std::size_t>& slots) {
    const auto [values, indices] = at::max(logits, 1);
    const auto top = values.to(at::kCPU, at::kFloat);
    const auto tokens = indices.to(at::kCPU);
    std::vector<std::int32_t> chosen;
    for (std::size_t row = 0; row < slots.size(); ++row) {
      const bool good = std::isfinite(top.const_data_ptr<float>()[row]);
      chosen.push_back(checked(slots[row], good ? tokens.const_data_ptr<std::int64_t>()[row] : -1));
    }
    return chosen;
  }

  std::vector<std::int32_t> choose_on_host(const at::Tensor& logits,
                                           const std::vector<std::size_t>& slots) {
    const auto host = logits.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    const auto vocab = static_cast<std::size_t>(host.size(1));
    std::vector<std::int32_t> chosen;
    for (std::size_t row = 0; row < slots.size(); ++row) {
      const auto& active = slots_[slots[row]];
      const std::span<float> values(host.data_ptr<float>() + row * vocab, vocab);
      chosen.push_back(active.in_use ? checked(slots[row], choose_one(active, values)) : 0);
    }
    return chosen;
  }

  [[nodiscard]] std::int64_t choose_one(const Active& active, std::span<float> logits) const {
    if (largest(logits) < 0) return -1;
    apply_rules(settings_, {active.tokens, active.prompt}, logits);
    if (!settings_.do_sample) return largest(logits);
    apply_warpers(settings_, logits);
    return draw(logits, uniform(settings_.seed, active.index, active.added()));
  }

  [[nodiscard]] std::int32_t checked(std::size_t slot, std::int64_t token) const {
    const auto& active = slots_[slot];
    if (!active.in_use) return 0;
    if (token < 0) {
      throw Error(fmt::format(
          "[generate.logits] no token can be chosen for prompt {} after {} new tokens: got logits "
          "that are not finite, or rules that forbid every token. Check the weights, or generate "
          "in bf16 or fp32.",
          active.index, active.added()));
    }
    return static_cast<std::int32_t>(token);
  }

  void take(std::size_t slot, std::int32_t token) {
    auto& active = slots_[slot];
    active.tokens.push_back(token);
    const auto& eos = settings_.eos;
    const bool ended = std::find(eos.begin(), eos.end(), token) != eos.end();
    if (!ended && active.added() < active.new_tokens) return;
    decoder_.release(static_cast<std::int64_t>(slot));
    active.in_use = false;
    listener_.on_completion({active.index,
                             {active.tokens.begin() + active.prompt, active.tokens.end()},
                             ended ? Finish::eos : Finish::length});
  }

  Decoder& decoder_;
  const Settings& settings_;
  const Listener& listener_;
  std::vector<Active> slots_;
  std::size_t next_ = 0;
};

}  // namespace

void generate(Decoder& decoder, std::span<const Prompt> prompts, const Settings& settings,
              const Listener& listener) {
  Run(decoder, settings, listener).all(prompts);
}

std::int64_t needed_capacity(std::span<const Prompt> prompts, const Settings& settings) {
  std::int64_t most = 1;
  for (const auto& prompt : prompts) {
    const auto count = static_cast<std::int64_t>(prompt.tokens.size());
    most = std::max(most, count + std::max<std::int64_t>(settings.new_tokens(count), 1) - 1);
  }
  return most;
}

}  // namespace zt::generate
