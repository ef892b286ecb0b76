#include "train/save.h"

#include <memory>

#include "checkpoint/huggingface.h"

namespace zt::train {
namespace {

std::unique_ptr<checkpoint::HuggingFaceWriter> open_writer(const zero::Engine& engine,
                                                           const config::Config& config) {
  const auto& model = config.model;
  std::vector<layout::ParamId> order;  // as export_params gives them
  for (const auto& unit : engine.layout().units) {
    for (const auto id : unit.unit().params) order.push_back(id);
  }
  checkpoint::HuggingFaceSave save;
  save.folder = config.run.output_dir;
  save.source = model.model_name_or_path;
  save.tokenizer_source = model.tokenizer_name_or_path.empty() ? model.model_name_or_path
                                                               : model.tokenizer_name_or_path;
  save.dtype = config.precision.compute;
  return std::make_unique<checkpoint::HuggingFaceWriter>(std::move(save), engine.layout().params,
                                                         std::move(order));
}

}  // namespace

void save_model(zero::Engine& engine, const config::Config& config, int rank) {
  std::unique_ptr<checkpoint::HuggingFaceWriter> writer;
  if (rank == 0) writer = open_writer(engine, config);
  engine.export_params(
      [&writer](layout::ParamId id, const View& values) { writer->write(id, values); });
  if (writer) writer->finish();
}

}  // namespace zt::train
