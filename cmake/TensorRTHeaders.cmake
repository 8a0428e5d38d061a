# Finds the TensorRT headers, which no wheel of TensorRT carries, and the CUDA headers that they include.
#
# Looked for in this order: -DGSDD_TENSORRT_HEADERS=DIR, the environment variable of that name, TENSORRT_HOME, the
# places of an installed TensorRT, and what plugins/tensorrt/fetch_headers.py has fetched.
# Sets GSDD_TENSORRT_INCLUDE_DIRS, empty where something is missing, and GSDD_TENSORRT_MISSING to what that is.
include(HeaderCache)

set(GSDD_TENSORRT_HEADERS "" CACHE PATH "Folder of NvInferRuntime.h")

function(gsdd_find_tensorrt_headers)
  set(GSDD_TENSORRT_INCLUDE_DIRS "" PARENT_SCOPE)
  set(GSDD_TENSORRT_MISSING "" PARENT_SCOPE)

  set(asked "${GSDD_TENSORRT_HEADERS}")
  if(NOT asked)
    set(asked "$ENV{GSDD_TENSORRT_HEADERS}")
  endif()
  unset(headers CACHE)
  if(asked)
    find_path(headers NvInferRuntime.h PATHS "${asked}" NO_DEFAULT_PATH)
    if(NOT headers)
      message(FATAL_ERROR "gsdd: no NvInferRuntime.h in GSDD_TENSORRT_HEADERS=${asked}: name the folder that "
                          "holds it, or leave the variable out.")
    endif()
  else()
    gsdd_header_cache(cached "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../plugins/tensorrt/fetch_headers.py")
    find_path(headers NvInferRuntime.h
      HINTS "$ENV{TENSORRT_HOME}/include"
      PATHS /usr/local/tensorrt/include /usr/src/tensorrt/include "${cached}"
      PATH_SUFFIXES x86_64-linux-gnu aarch64-linux-gnu)
  endif()
  set(tensorrt_headers "${headers}")
  unset(headers CACHE)
  if(NOT tensorrt_headers)
    set(GSDD_TENSORRT_MISSING "the TensorRT headers were not found: run `make headers build`, or name their \
folder with -DGSDD_TENSORRT_HEADERS=DIR" PARENT_SCOPE)
    return()
  endif()

  # By the interface and not by a version: TensorRT-RTX counts its own from 1.
  file(STRINGS "${tensorrt_headers}/NvInferRuntime.h" interface REGEX "class IPluginCreatorV3One" LIMIT_COUNT 1)
  if(NOT interface)
    set(GSDD_TENSORRT_MISSING "the headers in ${tensorrt_headers} have no IPluginCreatorV3One: TensorRT 10.0 or \
newer is needed" PARENT_SCOPE)
    return()
  endif()

  find_package(CUDAToolkit QUIET)
  set(cuda_headers "${CUDAToolkit_INCLUDE_DIRS}")
  if(NOT cuda_headers)
    set(GSDD_TENSORRT_MISSING "the CUDA headers (cuda_runtime_api.h), which TensorRT's include, were not found: \
install the CUDA toolkit" PARENT_SCOPE)
    return()
  endif()
  message(STATUS "gsdd: TensorRT headers from ${tensorrt_headers}")
  set(GSDD_TENSORRT_INCLUDE_DIRS "${tensorrt_headers}" ${cuda_headers} PARENT_SCOPE)
endfunction()
