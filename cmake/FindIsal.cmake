# Isal::isal, by pkg-config: Intel's storage library, here for its CRC-32.
find_package(PkgConfig REQUIRED)
pkg_check_modules(Isal_PC QUIET IMPORTED_TARGET libisal)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Isal REQUIRED_VARS Isal_PC_FOUND VERSION_VAR Isal_PC_VERSION
  REASON_FAILURE_MESSAGE "apt-get install libisal-dev")
if(Isal_FOUND AND NOT TARGET Isal::isal)
  add_library(Isal::isal ALIAS PkgConfig::Isal_PC)
endif()
