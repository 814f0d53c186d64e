# What every target of this project shares: the language, warnings, hardening and sanitizers.
function(tintype_configure target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON
                        CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    -Wnon-virtual-dtor -Wold-style-cast -Wunused-result
    -Wno-missing-field-initializers  # designated initialisers name what differs from the default
    # g++ 12 is wrong about std::string
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    $<$<BOOL:${TINTYPE_WERROR}>:-Werror>
    # Lines for backtraces; all of -g is a fourth of the time to compile. The preset debug has it.
    $<$<CONFIG:RelWithDebInfo>:-g1>)
  if(TINTYPE_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${TINTYPE_SANITIZE} -fno-omit-frame-pointer
                           -fno-sanitize-recover=all)
    # g++ 12 warns of vectors that it only sees grow when instrumented.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
    target_link_options(${target} PUBLIC -fsanitize=${TINTYPE_SANITIZE})
  else()
    target_compile_options(${target} PRIVATE -fstack-protector-strong
      $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=2>)
    target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
  endif()
endfunction()

# For code that only calls what has to be fast: three quarters of the time to compile.
function(tintype_compile_fast target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
endfunction()

# tintype_library(name SOURCES ... DEPENDS ...): a static library with the alias tintype::name.
function(tintype_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(tintype_${name} STATIC ${ARG_SOURCES})
  add_library(tintype::${name} ALIAS tintype_${name})
  tintype_configure(tintype_${name})
  target_link_libraries(tintype_${name} PUBLIC ${ARG_DEPENDS})
endfunction()

# tintype_test(name KIND unit|fault|model SOURCES ... DEPENDS ...): one GoogleTest program. The
# label is its kind; each TEST becomes a ctest test. The default time limit allows for TINTYPE_FULL=1.
function(tintype_test name)
  cmake_parse_arguments(ARG "" "KIND;TIMEOUT" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  tintype_configure(${name})
  tintype_compile_fast(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
                       PROPERTIES LABELS ${ARG_KIND} TIMEOUT ${ARG_TIMEOUT})
endfunction()

# tintype_benchmark(name SOURCES ... DEPENDS ...): one Google Benchmark program; ctest smokes it.
function(tintype_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  tintype_configure(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} benchmark::benchmark_main)
  if(TINTYPE_BUILD_TESTS)
    add_test(NAME smoke.${name} COMMAND ${name} --benchmark_min_time=0.01)
    set_tests_properties(smoke.${name} PROPERTIES LABELS smoke TIMEOUT 120)
  endif()
endfunction()
