# XxHash::header: xxHash as a header, compiled in; nothing is linked.
find_path(XxHash_INCLUDE_DIR xxhash.h DOC "Folder of xxhash.h")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(XxHash REQUIRED_VARS XxHash_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "apt-get install libxxhash-dev")
if(XxHash_FOUND AND NOT TARGET XxHash::header)
  add_library(XxHash::header INTERFACE IMPORTED)
  target_include_directories(XxHash::header INTERFACE "${XxHash_INCLUDE_DIR}")
  target_compile_definitions(XxHash::header INTERFACE XXH_INLINE_ALL)
endif()
