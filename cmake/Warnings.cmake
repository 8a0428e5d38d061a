# The warnings that our own native code is held to; headers of others are included as the system's.
option(GSDD_WERROR "Turn warnings of our own native code into errors" OFF)

function(gsdd_warn target)
  set(warnings -Wall -Wextra -Wconversion $<$<BOOL:${GSDD_WERROR}>:-Werror>)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>")
endfunction()
