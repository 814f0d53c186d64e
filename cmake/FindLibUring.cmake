# LibUring::liburing, by pkg-config (liburing ships no CMake package).
find_package(PkgConfig REQUIRED)
pkg_check_modules(LibUring_PC QUIET IMPORTED_TARGET liburing)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibUring REQUIRED_VARS LibUring_PC_FOUND VERSION_VAR LibUring_PC_VERSION
  REASON_FAILURE_MESSAGE "apt-get install liburing-dev")
if(LibUring_FOUND AND NOT TARGET LibUring::liburing)
  add_library(LibUring::liburing ALIAS PkgConfig::LibUring_PC)
endif()
