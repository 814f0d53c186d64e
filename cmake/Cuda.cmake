# The CUDA compiler, where there is one: sets TINTYPE_HAS_CUDA, and Cuda::runtime for those who call
# the runtime; TINTYPE_HAS_NVTX and Cuda::nvtx where the headers of NVTX are beside it. Nothing else needs it to build, and what it builds runs without a driver too.
set(TINTYPE_ENABLE_CUDA AUTO CACHE STRING "Build the CUDA part: AUTO (where nvcc is found), ON, OFF")
set_property(CACHE TINTYPE_ENABLE_CUDA PROPERTY STRINGS AUTO ON OFF)
# Machine code for each, and PTX of those without "-real", from which drivers make code for later
# devices. One while developing: each takes its time.
set(TINTYPE_CUDA_ARCHITECTURES "90" CACHE STRING "GPU architectures; releases: 80-real;90-real;100")

set(TINTYPE_HAS_CUDA OFF)
set(why_not "")
if(NOT TINTYPE_ENABLE_CUDA STREQUAL "OFF")
  # The wheels of tools/setup.sh are there only where no fitting toolkit was: they come first.
  find_program(TINTYPE_NVCC nvcc HINTS "${PROJECT_SOURCE_DIR}/.venv/cuda/nvidia/cu13"
               PATHS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin DOC "CUDA's compiler")
  if(TINTYPE_NVCC)
    execute_process(COMMAND "${TINTYPE_NVCC}" --version OUTPUT_VARIABLE nvcc_says ERROR_QUIET)
    string(REGEX MATCH "release ([0-9.]+)" nvcc_release "${nvcc_says}")
    if(NOT nvcc_release OR CMAKE_MATCH_1 VERSION_LESS 12.5)  # the oldest that the kernels are for
      set(why_not "${TINTYPE_NVCC} is older than CUDA 12.5")
    endif()
  else()
    set(why_not "there is no nvcc")
  endif()
  if(NOT why_not)
    set(CMAKE_CUDA_COMPILER "${TINTYPE_NVCC}")
    set(CMAKE_CUDA_ARCHITECTURES "${TINTYPE_CUDA_ARCHITECTURES}")
    enable_language(CUDA)
    set(TINTYPE_HAS_CUDA ON)
    message(STATUS "CUDA: ${TINTYPE_NVCC} ${CMAKE_CUDA_COMPILER_VERSION}, "
                   "for ${TINTYPE_CUDA_ARCHITECTURES}")
  elseif(TINTYPE_ENABLE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TINTYPE_ENABLE_CUDA is ON and ${why_not}: install CUDA 13 or the wheels of "
                        "tools/requirements-cuda.txt, or set TINTYPE_NVCC")
  else()
    message(STATUS "CUDA: ${why_not}, so built without: torch copies CUDA tensors to the host")
  endif()
endif()

if(TINTYPE_HAS_CUDA)
  # Not CMake's own module: it does not know where the wheels have their libraries.
  find_package(Threads REQUIRED)
  find_library(TINTYPE_CUDART cudart_static HINTS "${CMAKE_CUDA_COMPILER_TOOLKIT_ROOT}"
               PATH_SUFFIXES lib64 lib REQUIRED)
  add_library(Cuda::runtime INTERFACE IMPORTED)
  target_include_directories(Cuda::runtime INTERFACE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(Cuda::runtime INTERFACE "${TINTYPE_CUDART}" Threads::Threads rt dl)
  find_path(TINTYPE_NVTX nvtx3/nvToolsExt.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
            DOC "NVTX's headers")
endif()
set(TINTYPE_HAS_NVTX OFF)
if(TINTYPE_HAS_CUDA AND TINTYPE_NVTX)
  set(TINTYPE_HAS_NVTX ON)
  add_library(Cuda::nvtx INTERFACE IMPORTED)
  target_include_directories(Cuda::nvtx SYSTEM INTERFACE "${TINTYPE_NVTX}")
  target_link_libraries(Cuda::nvtx INTERFACE dl)
elseif(TINTYPE_HAS_CUDA)
  message(STATUS "CUDA: no headers of NVTX, so Nsight Systems will not see the engine's stages")
endif()
