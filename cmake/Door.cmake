# What all doors have in common: libraries that a host loads.

# A door `name` over the kernel, of the sources that follow: nothing but its entries is seen from outside.
function(gsdd_add_door name)
  add_library(${name} MODULE ${ARGN})
  target_compile_options(${name} PRIVATE -O2)
  gsdd_warn(${name})
  target_link_libraries(${name} PRIVATE gsdd_splat gsdd_portable)
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
  install(TARGETS ${name} LIBRARY DESTINATION gsdd_runtime/lib)
endfunction()

# Ends the CMakeLists.txt that calls it where something is `missing`: quietly but for a line where `wanted` is AUTO.
macro(gsdd_leave_out_where missing wanted what)
  if(NOT "${missing}" STREQUAL "" AND "${wanted}" STREQUAL "AUTO")
    gsdd_report("${what} skipped: ${missing}")
    return()
  elseif(NOT "${missing}" STREQUAL "")
    message(FATAL_ERROR "gsdd: the ${what} was asked for, but ${missing}")
  endif()
endmacro()
