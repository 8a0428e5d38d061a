# What is built and what is left out, a line each: told by CMake, and kept in gsdd-built.txt for whoever runs it quietly.
function(gsdd_report text)
  message(STATUS "gsdd: ${text}")
  set_property(GLOBAL APPEND_STRING PROPERTY GSDD_REPORT "${text}\n")
endfunction()

function(gsdd_write_report)
  get_property(report GLOBAL PROPERTY GSDD_REPORT)
  file(WRITE ${CMAKE_BINARY_DIR}/gsdd-built.txt "${report}")
endfunction()
