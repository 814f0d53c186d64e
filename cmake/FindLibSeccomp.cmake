# LibSeccomp::libseccomp, by pkg-config (libseccomp ships no CMake package). Only tests use it.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LibSeccomp_PC QUIET IMPORTED_TARGET libseccomp)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibSeccomp REQUIRED_VARS LibSeccomp_PC_FOUND
  VERSION_VAR LibSeccomp_PC_VERSION
  REASON_FAILURE_MESSAGE "apt-get install libseccomp-dev")
if(LibSeccomp_FOUND AND NOT TARGET LibSeccomp::libseccomp)
  add_library(LibSeccomp::libseccomp ALIAS PkgConfig::LibSeccomp_PC)
endif()
