// Whether a decoded image begins as a checkpoint and does not end as one. A zstd file that is cut
// off between two frames is as whole as any, but what it holds is not. That alone tells nothing of
// the file: also of part of a checkpoint, or of one with more behind it, a whole file can be made.
#pragma once

#include "base/bytes.h"

namespace tintype {

// Sees an image piece by piece, in order.
class ImageEnds {
 public:
  void see(ByteView piece);
  // Of the pieces so far. An end record may have a comment behind it, or zeros.
  bool lacks_end() const;
  bool is_whole() const;  // begins and ends as one

 private:
  bool begins() const;
  bool ends() const;

  ByteVector head_;
  ByteVector tail_;
};

}  // namespace tintype
