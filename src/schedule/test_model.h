#pragma once

#include "schedule/build.h"

namespace zt::schedule {

/// Embedding, `blocks` blocks and a loss layer, sizes small and odd. Tied: the head uses unit 0.
inline ModelInfo test_model(int blocks, bool tied, int world, Numel bucket) {
  ModelInfo model;
  const int num_units = blocks + 2;
  for (int u = 0; u < num_units; ++u) {
    UnitInfo unit;
    unit.name = "u" + std::to_string(u);
    unit.shard = {64 * (u % 3 + 1)};
    unit.padded = unit.shard * world;
    const auto per_rank = std::max<std::int64_t>(64, bucket.value / world / 64 * 64);
    for (std::int64_t b = 0; b < unit.shard.value; b += per_rank) {
      unit.bucket_lengths.push_back({std::min(per_rank, unit.shard.value - b)});
    }
    model.units.push_back(unit);
  }
  for (int l = 0; l < num_units; ++l) {
    LayerInfo layer;
    layer.name = "L" + std::to_string(l);
    layer.units = {l};
    layer.gives_loss = l == num_units - 1;
    if (layer.gives_loss && tied) layer.units.push_back(0);
    layer.output = {layer.gives_loss ? 0 : 1000};
    const bool block = l > 0 && !layer.gives_loss;
    layer.stash_all = {block ? 5000 : 0};
    layer.stash_selective = {block ? 2000 : 0};
    layer.forward_scratch = {l > 0 ? 700 : 0};
    layer.backward_scratch_all = layer.backward_scratch_selective = {900};
    layer.backward_reads_params = l > 0;
    model.layers.push_back(layer);
  }
  return model;
}

}  // namespace zt::schedule
