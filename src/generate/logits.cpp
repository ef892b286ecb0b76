#include "generate/logits.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace zt::generate {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

void penalise_repetition(double penalty, std::span<const std::int32_t> tokens,
                         std::span<float> logits) {
  auto seen = std::vector<std::int32_t>(tokens.begin(), tokens.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto factor = static_cast<float>(penalty);
  for (const auto id : seen) {
    if (at(id) >= logits.size()) continue;
    auto& value = logits[at(id)];
    value = value < 0 ? value * factor : value / factor;
  }
}

/// No token that would complete an n-gram which the sequence already has.
void forbid_ngrams(std::size_t size, std::span<const std::int32_t> tokens,
                   std::span<float> logits) {
  if (tokens.size() + 1 < size) return;
  const auto last = tokens.last(size - 1);
  for (std::size_t i = 0; i + size <= tokens.size(); ++i) {
    const auto begin = tokens.subspan(i, size - 1);
    if (std::equal(last.begin(), last.end(), begin.begin())) {
      logits[at(tokens[i + size - 1])] = kNever;
    }
  }
}

void forbid(const std::vector<std::int32_t>& ids, std::span<float> logits) {
  for (const auto id : ids) logits[at(id)] = kNever;
}

void keep_top_k(std::int64_t count, std::span<float> logits) {
  const auto k = static_cast<std::size_t>(count);
  if (k >= logits.size()) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k - 1),
                   sorted.end(), std::greater<>());
  const float least = sorted[k - 1];
  for (auto& value : logits) {
    if (value < least) value = kNever;
  }
}

/// Indices of logits that can be chosen.
std::vector<std::size_t> candidates(std::span<const float> logits) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > kNever) found.push_back(i);
  }
  return found;
}

/// exp(logit - largest) of each candidate.
std::vector<double> weights_of(std::span<const float> logits,
                               const std::vector<std::size_t>& chosen) {
  float top = kNever;
  for (const auto i : chosen) top = std::max(top, logits[i]);
  std::vector<double> weights;
  weights.reserve(chosen.size());
  for (const auto i : chosen) weights.push_back(std::exp(static_cast<double>(logits[i] - top)));
  return weights;
}

/// Drops the least probable tokens whose probabilities add up to at most 1 - top_p.
void keep_top_p(double top_p, std::span<float> logits) {
  auto order = candidates(logits);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] < logits[b]; });
  const auto weights = weights_of(logits, order);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double cumulative = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    cumulative += weights[i] / total;
    if (cumulative > 1 - top_p) break;
    logits[order[i]] = kNever;
  }
}

void keep_min_p(double min_p, std::span<float> logits) {
  const auto order = candidates(logits);
  const auto weights = weights_of(logits, order);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (weights[i] < min_p) logits[order[i]] = kNever;  // the largest weight is 1
  }
}

/// Finaliser of splitmix64 (Steele et al., 2014): a counter-based generator.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

}  // namespace

void apply_rules(const Settings& settings, const Sequence& sequence, std::span<float> logits) {
  const auto length = static_cast<std::int64_t>(sequence.tokens.size());
  const auto added = length - sequence.prompt;
  if (settings.repetition_penalty != 1.0) {
    penalise_repetition(settings.repetition_penalty, sequence.tokens, logits);
  }
  if (settings.no_repeat_ngram_size > 0) {
    forbid_ngrams(static_cast<std::size_t>(settings.no_repeat_ngram_size), sequence.tokens, logits);
  }
  if (length < settings.min_length || added < settings.min_new_tokens) forbid(settings.eos, logits);
  forbid(settings.suppress_tokens, logits);
  if (added == 0) forbid(settings.begin_suppress_tokens, logits);
}

void apply_warpers(const Settings& settings, std::span<float> logits) {
  if (settings.temperature != 1.0) {
    const auto temperature = static_cast<float>(settings.temperature);
    for (auto& value : logits) value /= temperature;
  }
  if (settings.top_k > 0) keep_top_k(settings.top_k, logits);
  if (settings.top_p < 1) keep_top_p(settings.top_p, logits);
  if (settings.min_p > 0) keep_min_p(settings.min_p, logits);
}

std::int64_t largest(std::span<const float> logits) {
  std::int64_t best = -1;
  float top = kNever;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) return -1;
    if (logits[i] > top) {
      top = logits[i];
      best = static_cast<std::int64_t>(i);
    }
  }
  return std::isfinite(top) ? best : -1;
}

std::int64_t draw(std::span<const float> logits, double uniform) {
  if (largest(logits) < 0) return -1;
  const auto order = candidates(logits);
  const auto weights = weights_of(logits, order);
  const double target = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  double cumulative = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    cumulative += weights[i];
    if (cumulative > target) return static_cast<std::int64_t>(order[i]);
  }
  return static_cast<std::int64_t>(order.back());  // rounding of the sum
}

double uniform(std::uint64_t seed, std::int64_t sequence, std::int64_t position) {
  const auto bits = mix(mix(mix(seed) + static_cast<std::uint64_t>(sequence)) +
                        static_cast<std::uint64_t>(position));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace zt::generate
