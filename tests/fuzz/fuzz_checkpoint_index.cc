// `.tintype.json`, which resuming trusts.
#include "engine/directory/checkpoint_index.h"
#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/metrics_file.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

// Names of files are made of these: none may lead out of the directory.
void check_entry(const CheckpointEntry& entry) {
  TINTYPE_CHECK(check_stage_name(entry.stage).is_ok());
  TINTYPE_CHECK(entry.stem == stem_of(entry.stage, entry.epoch));
  const auto parsed = parse_stem(entry.stem);
  TINTYPE_CHECK(parsed.has_value());
  TINTYPE_CHECK(parsed->stage == entry.stage && parsed->epoch == entry.epoch);
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  using namespace tintype::fuzzing;
  const auto index = parse_index(as_text(input_of(data, size)));
  if (!index.is_ok()) {
    check_refusal(index.status());
    return 0;
  }
  for (const CheckpointEntry& entry : index->kept) check_entry(entry);
  for (const CheckpointEntry& entry : index->evicting) check_entry(entry);
  if (index->best.has_value()) check_entry(*index->best);
  if (index->last.has_value()) check_entry(*index->last);
  const std::string text = render_index(*index);
  const auto again = parse_index(text);
  TINTYPE_CHECK(again.is_ok());
  TINTYPE_CHECK(render_index(*again) == text);
  TINTYPE_CHECK(render_metrics(*again) == render_metrics(*index));
  return 0;
}
