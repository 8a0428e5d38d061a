# Sets `result` to the folder in the user's cache where the Python script `script` keeps its headers
# (header_cache.py).
function(gsdd_header_cache result script)
  file(STRINGS "${script}" name REGEX "^NAME = " LIMIT_COUNT 1)
  string(REGEX REPLACE "^NAME = \"(.*)\"$" "\\1" name "${name}")
  if(IS_ABSOLUTE "$ENV{XDG_CACHE_HOME}")
    set(${result} "$ENV{XDG_CACHE_HOME}/gsdd-rt/${name}" PARENT_SCOPE)
  else()
    set(${result} "$ENV{HOME}/.cache/gsdd-rt/${name}" PARENT_SCOPE)
  endif()
endfunction()
