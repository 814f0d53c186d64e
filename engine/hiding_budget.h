// How much of a guarded save can be hidden behind the job's computing, told before it starts.
//
// All of the images passes through slots: at the copy rate while slots are free, and at the disk's
// when each has to be written before it is used again. Staging N bytes with F bytes of free slots
// thus takes max(N / copy rate, (N - F) / disk rate), and the job waits for what is left of that
// when it comes to change its storages. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace tintype {

struct HidingInputs {
  uint64_t staged_bytes = 0;     // of all images of the save
  uint64_t lazy_bytes = 0;       // of them, what the background reads from the job's memory
  uint64_t slab_bytes = 0;       // of the lazy ones, what a device slab holds: nobody waits for it
  uint64_t free_slot_bytes = 0;  // when staging starts
  // Averages of earlier saves; 0: not measured yet.
  double copy_bytes_per_s = 0;
  double disk_bytes_per_s = 0;
  double step_s = 0;  // from the return of save_async to before_mutation
};

struct HidingForecast {
  uint64_t hidden_bytes = 0;   // of the lazy ones
  uint64_t guard_wait_ns = 0;  // what before_mutation will wait; 0 where it cannot be known yet
  bool is_measured = false;  // false: something is not measured yet, hidden_bytes is a lower bound
};

HidingForecast forecast_hiding(const HidingInputs& inputs);

// For the operator: what will be waited for, and what would help.
std::string describe_wait(const HidingInputs& inputs, const HidingForecast& forecast);

}  // namespace tintype
