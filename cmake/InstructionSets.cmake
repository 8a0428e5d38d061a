# Code that is compiled once an instruction set, each a translation unit and a namespace of its own; which one runs is
# chosen at run time.
function(gsdd_for_each_instruction_set target)
  # Optimising what the sanitizers add takes minutes.
  target_compile_options(${target} PRIVATE $<IF:$<BOOL:${GSDD_SANITIZE}>,-O0,-O3> -fno-math-errno -fno-trapping-math
    -fno-exceptions -fno-rtti)
  gsdd_warn(${target})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC's own AVX-512 headers set it off, and vectors never cross a call here.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized -Wno-psabi)
  endif()
  target_sources(${target} PRIVATE cpu/baseline.cpp)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    target_sources(${target} PRIVATE cpu/avx2.cpp cpu/avx512.cpp)
    set_source_files_properties(cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma")
    set_source_files_properties(cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS
      "-mavx2;-mfma;-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mprefer-vector-width=512")
  endif()
endfunction()
