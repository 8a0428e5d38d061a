# Finds the headers of onnxruntime's C interface, which none of its wheels carry.
#
# Looked for in this order: -DGSDD_ONNXRUNTIME_HEADERS=DIR, the environment variable of that name, what
# plugins/onnxruntime/fetch_headers.py has unpacked, ONNXRUNTIME_HOME, and the places of an installed onnxruntime.
# Sets GSDD_ONNXRUNTIME_INCLUDE_DIR, empty where they are missing, and GSDD_ONNXRUNTIME_MISSING to what is.
set(GSDD_ONNXRUNTIME_HEADERS "" CACHE PATH "Folder of onnxruntime_c_api.h")
# The oldest that has every function the library calls (plugins/onnxruntime/api.h).
set(GSDD_ONNXRUNTIME_API 18)

function(gsdd_find_onnxruntime_headers)
  set(GSDD_ONNXRUNTIME_INCLUDE_DIR "" PARENT_SCOPE)
  set(GSDD_ONNXRUNTIME_MISSING "" PARENT_SCOPE)

  set(asked "${GSDD_ONNXRUNTIME_HEADERS}")
  if(NOT asked)
    set(asked "$ENV{GSDD_ONNXRUNTIME_HEADERS}")
  endif()
  unset(headers CACHE)
  if(asked)
    find_path(headers onnxruntime_c_api.h PATHS "${asked}" NO_DEFAULT_PATH)
    if(NOT headers)
      message(FATAL_ERROR "gsdd: no onnxruntime_c_api.h in GSDD_ONNXRUNTIME_HEADERS=${asked}: name the folder that "
                          "holds it, or leave the variable out.")
    endif()
  else()
    find_path(headers onnxruntime_c_api.h
      HINTS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../build/onnxruntime-headers" "$ENV{ONNXRUNTIME_HOME}/include"
      PATH_SUFFIXES onnxruntime onnxruntime/core/session)
  endif()
  set(found "${headers}")
  unset(headers CACHE)
  if(NOT found)
    set(GSDD_ONNXRUNTIME_MISSING "the ONNX Runtime headers were not found: run \
`python plugins/onnxruntime/fetch_headers.py`, or name their folder with -DGSDD_ONNXRUNTIME_HEADERS=DIR" PARENT_SCOPE)
    return()
  endif()

  file(STRINGS "${found}/onnxruntime_c_api.h" version REGEX "^#define ORT_API_VERSION [0-9]+" LIMIT_COUNT 1)
  string(REGEX MATCH "[0-9]+$" version "${version}")
  if(NOT version OR version LESS GSDD_ONNXRUNTIME_API)
    set(GSDD_ONNXRUNTIME_MISSING "the headers in ${found} are of API version ${version}: ${GSDD_ONNXRUNTIME_API} or \
newer is needed" PARENT_SCOPE)
    return()
  endif()
  message(STATUS "gsdd: ONNX Runtime headers (API ${version}) from ${found}")
  set(GSDD_ONNXRUNTIME_INCLUDE_DIR "${found}" PARENT_SCOPE)
endfunction()
