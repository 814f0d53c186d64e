#include "engine/hiding_budget.h"

#include <algorithm>

#include <fmt/format.h>

namespace tintype {
namespace {

constexpr double kNsPerS = 1e9;

// 0 where all of the rest finds a slot: the disk does not matter then.
double bytes_beyond_slots(const HidingInputs& in) {
  return in.staged_bytes > in.free_slot_bytes
             ? static_cast<double>(in.staged_bytes - in.free_slot_bytes)
             : 0;
}

bool is_measured(const HidingInputs& in) {
  return in.copy_bytes_per_s > 0 && in.step_s > 0 &&
         (in.disk_bytes_per_s > 0 || bytes_beyond_slots(in) == 0);
}

double staging_s(const HidingInputs& in) {
  const double beyond = bytes_beyond_slots(in);
  const double disk_s = beyond > 0 ? beyond / in.disk_bytes_per_s : 0;
  return std::max(static_cast<double>(in.staged_bytes) / in.copy_bytes_per_s, disk_s);
}

double staged_by_next_step(const HidingInputs& in) {
  return std::min({static_cast<double>(in.staged_bytes), in.copy_bytes_per_s * in.step_s,
                   static_cast<double>(in.free_slot_bytes) + in.disk_bytes_per_s * in.step_s});
}

double mebibytes(double bytes) { return bytes / (1 << 20); }

}  // namespace

HidingForecast forecast_hiding(const HidingInputs& in) {
  const uint64_t live_bytes = in.lazy_bytes - std::min(in.lazy_bytes, in.slab_bytes);
  HidingForecast forecast{.hidden_bytes = in.lazy_bytes, .is_measured = true};
  if (live_bytes == 0) return forecast;
  forecast.is_measured = is_measured(in);
  if (!forecast.is_measured) {
    forecast.hidden_bytes = std::min(in.lazy_bytes, in.slab_bytes + in.free_slot_bytes);
    return forecast;
  }
  const double wait_s = staging_s(in) - in.step_s;
  if (wait_s <= 0) return forecast;
  const double late_bytes = static_cast<double>(in.staged_bytes) - staged_by_next_step(in);
  forecast.hidden_bytes -= std::min(live_bytes, static_cast<uint64_t>(late_bytes));
  forecast.guard_wait_ns = static_cast<uint64_t>(wait_s * kNsPerS);
  return forecast;
}

std::string describe_wait(const HidingInputs& in, const HidingForecast& forecast) {
  const double copy_s = static_cast<double>(in.staged_bytes) / in.copy_bytes_per_s;
  const double slots_needed =
      static_cast<double>(in.staged_bytes) - in.disk_bytes_per_s * in.step_s;
  const std::string remedy = copy_s > in.step_s
                                 ? fmt::format("copying alone takes {:.0f} ms", copy_s * 1e3)
                                 : fmt::format("{:.0f} MiB of free staging memory would hide all",
                                               mebibytes(slots_needed));
  return fmt::format(
      "a guarded save cannot be hidden whole: {:.0f} of {:.0f} MiB are copied within the {:.0f} ms "
      "to the next step, which then waits about {:.0f} ms; {}",
      mebibytes(static_cast<double>(forecast.hidden_bytes)),
      mebibytes(static_cast<double>(in.lazy_bytes)), in.step_s * 1e3,
      static_cast<double>(forecast.guard_wait_ns) / 1e6, remedy);
}

}  // namespace tintype
