# Turns CUDA on: finds nvcc, chooses the architectures, and makes the flags that every kernel is compiled with.
#
# CMAKE_CUDA_ARCHITECTURES overrides the choice, in CMake's own notation ("90-real", "80;90").

# What a release is built for; those that the installed nvcc does not know are left out, and it says so.
set(GSDD_CUDA_WANTED_ARCHITECTURES 75 80 86 89 90 100 120)

function(_gsdd_choose_architectures nvcc)
  execute_process(COMMAND ${nvcc} --list-gpu-arch OUTPUT_VARIABLE known RESULT_VARIABLE failed ERROR_QUIET)
  if(failed)
    message(FATAL_ERROR "gsdd: ${nvcc} does not list its architectures: it is older than CUDA 11; "
                        "install CUDA 12 or newer, or configure with -DGSDD_CUDA=OFF.")
  endif()
  set(chosen "")
  set(unknown "")
  foreach(architecture IN LISTS GSDD_CUDA_WANTED_ARCHITECTURES)
    if(known MATCHES "compute_${architecture}[\r\n]|compute_${architecture}$")
      list(APPEND chosen ${architecture}-real)
      set(newest ${architecture})
    else()
      list(APPEND unknown ${architecture})
    endif()
  endforeach()
  if(unknown)
    message(STATUS "gsdd: ${nvcc} does not know the architectures ${unknown}; they are left out")
  endif()
  # The newest as PTX too: the driver compiles it for GPUs that came later.
  set(CMAKE_CUDA_ARCHITECTURES "${chosen};${newest}-virtual" CACHE STRING "GPUs that the kernel is compiled for")
endfunction()

macro(gsdd_enable_cuda)
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(GSDD_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(NOT GSDD_NVCC)
      message(FATAL_ERROR
        "gsdd: -DGSDD_CUDA=ON, but no nvcc was found. Install the CUDA toolkit (12 or newer) and put nvcc on PATH, or "
        "name it with -DCMAKE_CUDA_COMPILER=/path/to/nvcc; or configure with -DGSDD_CUDA=OFF for the CPU alone.")
    endif()
    set(CMAKE_CUDA_COMPILER ${GSDD_NVCC} CACHE FILEPATH "nvcc")
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    _gsdd_choose_architectures(${CMAKE_CUDA_COMPILER})
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  # Denormal results are zero, and division and square root within 2 ulp: the kernels keep clear of both ranges' ends.
  set(GSDD_CUDA_FLAGS -ftz=true -prec-div=false -prec-sqrt=false)
  message(STATUS "gsdd: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
endmacro()
