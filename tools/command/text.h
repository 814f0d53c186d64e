// Texts from a checkpoint on a terminal, and tables of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tintype::command {

// Control characters, marks that turn the direction of writing, and bytes that are no UTF-8 become
// escapes (\x1b, \u202e): a name in a hostile file must not move the cursor or look like another.
std::string printable(std::string_view text);

// "[2, 3]"
std::string shape_text(const std::vector<uint64_t>& shape);
// "13,037,568"
std::string grouped(uint64_t number);

enum class Align { left, right };

// Columns as wide as their widest cell, two spaces between.
class Table {
 public:
  explicit Table(std::vector<Align> columns) : columns_(std::move(columns)) {}
  // REQUIRES: as many cells as columns, printable.
  void add(std::vector<std::string> cells);
  // One line per row, each behind `indent`; no spaces at the end.
  std::string text(std::string_view indent = "") const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tintype::command
