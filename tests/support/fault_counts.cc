#include "tests/support/fault_counts.h"

#include <iomanip>
#include <iostream>

#include "base/status.h"

namespace tintype {

std::string error_text(int error_number) {
  return error_number == FaultInjector::kShortWrite ? "short" : errno_name(error_number);
}

void print(const char* backend, const FaultCounts& counts) {
  std::cout << backend << ": " << counts.faults << " faults fired, " << counts.failed
            << " failed the save, " << counts.unpublished << " met a durable one, "
            << counts.tolerated << " were tolerated\n"
            << std::setw(26) << "";
  for (const int error_number : kInjectedErrors) {
    std::cout << std::setw(10) << error_text(error_number);
  }
  for (const auto& [step, row] : counts.fired) {
    std::cout << "\n  " << std::left << std::setw(24) << step << std::right;
    for (const int error_number : kInjectedErrors) {
      const auto count = row.find(error_number);
      std::cout << std::setw(10) << (count == row.end() ? 0 : count->second);
    }
  }
  std::cout << "\n";
}

}  // namespace tintype
