# Finds the headers of onnxruntime's C interface, which none of its wheels carry.
#
# Looked for in this order: -DGSDD_ONNXRUNTIME_HEADERS=DIR, the environment variable of that name, ONNXRUNTIME_HOME, the
# places of an installed onnxruntime (libonnxruntime-dev), and what plugins/onnxruntime/fetch_headers.py has fetched.
# Sets GSDD_ONNXRUNTIME_INCLUDE_DIR, empty where they are missing, and GSDD_ONNXRUNTIME_MISSING to what is.
include(HeaderCache)

set(GSDD_ONNXRUNTIME_HEADERS "" CACHE PATH "Folder of onnxruntime_c_api.h")
# The oldest that has every function the library calls (plugins/onnxruntime/api.h).
set(GSDD_ONNXRUNTIME_API 18)

# The folder of the header in `place` and the version of its interface; both empty where it is not there.
function(_gsdd_onnxruntime_headers_in place folder version)
  unset(headers CACHE)
  find_path(headers onnxruntime_c_api.h PATHS "${place}" NO_DEFAULT_PATH
    PATH_SUFFIXES onnxruntime onnxruntime/core/session)
  set(found "${headers}")
  unset(headers CACHE)
  if(NOT found)
    set(${folder} "" PARENT_SCOPE)
    set(${version} "" PARENT_SCOPE)
    return()
  endif()
  file(STRINGS "${found}/onnxruntime_c_api.h" line REGEX "^#define ORT_API_VERSION [0-9]+" LIMIT_COUNT 1)
  string(REGEX MATCH "[0-9]+$" number "${line}")
  set(${folder} "${found}" PARENT_SCOPE)
  set(${version} "${number}" PARENT_SCOPE)
endfunction()

function(gsdd_find_onnxruntime_headers)
  set(GSDD_ONNXRUNTIME_INCLUDE_DIR "" PARENT_SCOPE)
  set(GSDD_ONNXRUNTIME_MISSING "" PARENT_SCOPE)

  set(asked "${GSDD_ONNXRUNTIME_HEADERS}")
  if(NOT asked)
    set(asked "$ENV{GSDD_ONNXRUNTIME_HEADERS}")
  endif()
  set(places "${asked}")
  if(NOT asked)
    gsdd_header_cache(cached "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../plugins/onnxruntime/fetch_headers.py")
    set(places /usr/include /usr/local/include "${cached}")
    if(NOT "$ENV{ONNXRUNTIME_HOME}" STREQUAL "")
      list(PREPEND places "$ENV{ONNXRUNTIME_HOME}/include")
    endif()
  endif()
  set(too_old "")
  foreach(place IN LISTS places)
    _gsdd_onnxruntime_headers_in("${place}" found version)
    if(found AND version AND NOT version LESS GSDD_ONNXRUNTIME_API)
      message(STATUS "gsdd: ONNX Runtime headers (API ${version}) from ${found}")
      set(GSDD_ONNXRUNTIME_INCLUDE_DIR "${found}" PARENT_SCOPE)
      return()
    elseif(found)
      set(too_old "the headers in ${found} are of API version ${version}: ${GSDD_ONNXRUNTIME_API} or newer is needed")
    elseif(asked)
      message(FATAL_ERROR "gsdd: no onnxruntime_c_api.h in GSDD_ONNXRUNTIME_HEADERS=${asked}: name the folder that "
                          "holds it, or leave the variable out.")
    endif()
  endforeach()
  if(too_old)
    set(GSDD_ONNXRUNTIME_MISSING "${too_old}; run `make headers build`" PARENT_SCOPE)
  else()
    set(GSDD_ONNXRUNTIME_MISSING "the ONNX Runtime headers were not found: run `make headers build`, or name their \
folder with -DGSDD_ONNXRUNTIME_HEADERS=DIR" PARENT_SCOPE)
  endif()
endfunction()
