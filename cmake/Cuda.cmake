# The CUDA compiler, where there is one: set TINTYPE_HAS_CUDA by it. Nothing else needs it to build,
# and what it builds runs without a driver too.
set(TINTYPE_ENABLE_CUDA AUTO CACHE STRING "Build the CUDA part: AUTO (where nvcc is found), ON, OFF")
set_property(CACHE TINTYPE_ENABLE_CUDA PROPERTY STRINGS AUTO ON OFF)
# Machine code for each, and PTX of the newest, from which drivers make code for later ones.
set(TINTYPE_CUDA_ARCHITECTURES "90" CACHE STRING "GPU architectures; releases: 80-real;90-real;100")

set(TINTYPE_HAS_CUDA OFF)
if(NOT TINTYPE_ENABLE_CUDA STREQUAL "OFF")
  # A toolkit on the path or in its usual place, else the one that tools/setup.sh took from PyPI.
  file(GLOB wheel_folders "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu13/bin")
  find_program(TINTYPE_NVCC nvcc PATHS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin
               HINTS ${wheel_folders} DOC "The CUDA compiler")
  if(TINTYPE_NVCC)
    set(CMAKE_CUDA_COMPILER "${TINTYPE_NVCC}")
    set(CMAKE_CUDA_ARCHITECTURES "${TINTYPE_CUDA_ARCHITECTURES}")
    enable_language(CUDA)
    find_package(CUDAToolkit 12.5 REQUIRED)
    set(TINTYPE_HAS_CUDA ON)
    message(STATUS "CUDA: ${TINTYPE_NVCC}, ${CMAKE_CUDA_COMPILER_VERSION}, "
                   "for ${TINTYPE_CUDA_ARCHITECTURES}")
  elseif(TINTYPE_ENABLE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TINTYPE_ENABLE_CUDA is ON and there is no nvcc: install CUDA 13, or the "
                        "wheels that tools/setup.sh names, or set TINTYPE_NVCC")
  else()
    message(STATUS "CUDA: no nvcc, so built without; torch copies CUDA tensors to the host then")
  endif()
endif()
