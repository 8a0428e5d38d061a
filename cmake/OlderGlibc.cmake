# glibc 2.34 moved what was in libdl, libpthread and librt into libc, under new versions that no older glibc has. A door
# that is linked to the stand-ins made here asks for these functions where older ones have them, as a newer one does too.
# The static CUDA runtime takes them. The stand-ins are empty, linked against, and never installed.
set(GSDD_OLDER_libdl.so.2 dlclose dlerror dlopen dlsym dlvsym)
set(GSDD_OLDER_librt.so.1 shm_open shm_unlink)
set(GSDD_OLDER_libpthread.so.0
  pthread_condattr_setpshared pthread_create pthread_detach pthread_getspecific pthread_join pthread_key_create
  pthread_key_delete pthread_kill pthread_mutex_trylock pthread_mutexattr_destroy pthread_mutexattr_init
  pthread_mutexattr_setpshared pthread_mutexattr_settype pthread_once pthread_rwlock_destroy pthread_rwlock_init
  pthread_rwlock_rdlock pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock pthread_rwlock_tryrdlock
  pthread_rwlock_trywrlock pthread_rwlock_unlock pthread_rwlock_wrlock pthread_rwlockattr_destroy
  pthread_rwlockattr_init pthread_rwlockattr_setpshared pthread_setspecific pthread_spin_destroy pthread_spin_init
  pthread_spin_lock pthread_spin_trylock pthread_spin_unlock sem_destroy sem_init sem_post sem_timedwait sem_trywait
  sem_wait)

# Sets `older` and `dlmopen` to the versions of glibc that brought these functions, and dlmopen, for this processor;
# empty where that is not known.
function(_gsdd_first_glibc older dlmopen)
  set(${older} "" PARENT_SCOPE)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(${older} GLIBC_2.2.5 PARENT_SCOPE)
    set(${dlmopen} GLIBC_2.3.4 PARENT_SCOPE)
  elseif(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    set(${older} GLIBC_2.17 PARENT_SCOPE)
    set(${dlmopen} GLIBC_2.17 PARENT_SCOPE)
  endif()
endfunction()

# A library `soname` that has `names` under the version `older`, and dlmopen too where it is libdl.
function(_gsdd_add_stand_in target soname older dlmopen names)
  set(assembly "")
  set(map "${older} { global: *; local: ___none; };\n")
  if(soname STREQUAL "libdl.so.2")
    list(APPEND names dlmopen)
    if(NOT dlmopen STREQUAL older)
      string(REPLACE "*" "dlclose; dlerror; dlopen; dlsym; dlvsym" map "${map}")
      string(APPEND map "${dlmopen} { global: dlmopen; } ${older};\n")
    endif()
  endif()
  foreach(name IN LISTS names)
    string(APPEND assembly "asm(\".globl ${name}\\n.type ${name}, %function\\n${name}:\\n\");\n")
  endforeach()
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/older_glibc")
  file(WRITE "${folder}/${target}.cpp.new" "${assembly}")
  file(WRITE "${folder}/${target}.map" "${map}")
  configure_file("${folder}/${target}.cpp.new" "${folder}/${target}.cpp" COPYONLY)
  add_library(${target} SHARED "${folder}/${target}.cpp")
  string(REGEX REPLACE "^lib(.*)[.]so[.]([0-9]+)$" "\\1" name "${soname}")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME "older_${name}" NO_SONAME ON)
  target_link_options(${target} PRIVATE -nostdlib -Wl,-soname,${soname} "-Wl,--version-script=${folder}/${target}.map")
endfunction()

# Makes gsdd_older_glibc, for doors to link to; it is nothing where the processor's versions are not known.
function(gsdd_add_older_glibc)
  add_library(gsdd_older_glibc INTERFACE)
  _gsdd_first_glibc(older dlmopen)
  if(NOT older)
    return()
  endif()
  foreach(soname IN ITEMS libdl.so.2 libpthread.so.0 librt.so.1)
    string(REGEX REPLACE "[.].*" "" target "gsdd_older_${soname}")
    _gsdd_add_stand_in(${target} ${soname} ${older} ${dlmopen} "${GSDD_OLDER_${soname}}")
    # Before libc, which has them too.
    target_link_libraries(gsdd_older_glibc INTERFACE ${target})
  endforeach()
endfunction()
