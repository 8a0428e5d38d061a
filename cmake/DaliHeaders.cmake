# Finds the DALI of the building Python, whose wheel carries headers, libraries and the flags of its C++ ABI, and the
# CUDA headers that they include.
#
# Sets GSDD_DALI_INCLUDE_DIRS, GSDD_DALI_LIBRARIES, GSDD_DALI_COMPILE_FLAGS, GSDD_DALI_VERSION, or GSDD_DALI_MISSING to
# what is missing.
function(gsdd_find_dali)
  set(GSDD_DALI_MISSING "" PARENT_SCOPE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import nvidia.dali as d, nvidia.dali.sysconfig as s
print(d.__version__, s.get_include_dir(), s.get_lib_dir(), *[f for f in s.get_compile_flags() if f[:2] == '-D'], sep=';')"
    OUTPUT_VARIABLE said OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(failed)
    set(GSDD_DALI_MISSING "${Python3_EXECUTABLE} has no DALI: run `make dali build`" PARENT_SCOPE)
    return()
  endif()
  list(POP_FRONT said version headers libraries)
  if(NOT EXISTS "${headers}/dali/pipeline/operator/operator.h")
    set(GSDD_DALI_MISSING "DALI ${version} comes without headers (${headers})" PARENT_SCOPE)
    return()
  endif()
  find_package(CUDAToolkit QUIET)
  if(NOT CUDAToolkit_INCLUDE_DIRS)
    set(GSDD_DALI_MISSING "the CUDA headers (cuda_runtime_api.h), which DALI's include, were not found: install the \
CUDA toolkit" PARENT_SCOPE)
    return()
  endif()
  set(found "")
  foreach(name IN ITEMS libdali.so libdali_core.so)
    if(EXISTS "${libraries}/${name}")
      list(APPEND found "${libraries}/${name}")
    endif()
  endforeach()
  message(STATUS "gsdd: DALI ${version} from ${libraries}")
  set(GSDD_DALI_VERSION "${version}" PARENT_SCOPE)
  set(GSDD_DALI_INCLUDE_DIRS "${headers}" ${CUDAToolkit_INCLUDE_DIRS} PARENT_SCOPE)
  set(GSDD_DALI_LIBRARIES "${found}" PARENT_SCOPE)
  set(GSDD_DALI_COMPILE_FLAGS "${said}" PARENT_SCOPE)
endfunction()
