# The library in the installed tree: headers, one archive, and a CMake package that may be moved.
#   find_package(zerotrain) > zerotrain::zerotrain
#   include/zerotrain   lib/libzerotrain.a   lib/cmake/zerotrain
# Internal headers, which the public ones include, lie in include/zerotrain/internal.
include(CMakePackageConfigHelpers)

# Modules that `target` is made of, itself included, and what they link from outside as full paths.
function(zt_collect target modules_var outside_var)
  set(modules "${${modules_var}}")
  set(outside "${${outside_var}}")
  get_target_property(aliased ${target} ALIASED_TARGET)
  if(aliased)
    set(target ${aliased})
  endif()
  list(APPEND modules ${target})
  get_target_property(links ${target} LINK_LIBRARIES)
  foreach(link IN LISTS links)
    if(IS_ABSOLUTE "${link}")
      list(APPEND outside "${link}")
    elseif(link MATCHES "^zt::" AND TARGET ${link})
      get_target_property(kind ${link} TYPE)
      get_target_property(name ${link} ALIASED_TARGET)
      if(kind STREQUAL "STATIC_LIBRARY" AND NOT name IN_LIST modules)
        zt_collect(${link} modules outside)
      endif()
    endif()
  endforeach()
  list(REMOVE_DUPLICATES outside)
  set(${modules_var} "${modules}" PARENT_SCOPE)
  set(${outside_var} "${outside}" PARENT_SCOPE)
endfunction()

set(ZT_LIBRARY_MODULES "")
set(ZT_LIBRARY_OUTSIDE "")
zt_collect(zerotrain::zerotrain ZT_LIBRARY_MODULES ZT_LIBRARY_OUTSIDE)

# NCCL and the CUDA run time are the wheel's: the package finds them there.
list(REMOVE_ITEM ZT_LIBRARY_OUTSIDE "${ZT_NCCL_LIB}" "${ZT_CUDART_LIB}" "${ZT_CUBLAS_LIB}")
set(ZT_LIBRARY_OUTSIDE_NAMES "")
foreach(path IN LISTS ZT_LIBRARY_OUTSIDE)
  get_filename_component(name "${path}" NAME_WE)
  string(REGEX REPLACE "^lib" "" name "${name}")
  string(APPEND ZT_LIBRARY_OUTSIDE_NAMES " ${name}")
endforeach()

set(_zt_objects "")
foreach(module IN LISTS ZT_LIBRARY_MODULES)
  list(APPEND _zt_objects $<TARGET_OBJECTS:${module}>)
  get_target_property(folder ${module} SOURCE_DIR)
  install(DIRECTORY "${folder}" DESTINATION include/zerotrain/internal FILES_MATCHING PATTERN "*.h")
endforeach()
add_library(zt_package STATIC ${_zt_objects})
set_target_properties(zt_package PROPERTIES OUTPUT_NAME zerotrain LINKER_LANGUAGE CXX)
install(TARGETS zt_package ARCHIVE DESTINATION lib)
install(DIRECTORY include/zerotrain DESTINATION include)

configure_package_config_file(cmake/zerotrain-config.cmake.in "${CMAKE_BINARY_DIR}/zerotrain-config.cmake"
                              INSTALL_DESTINATION lib/cmake/zerotrain)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/zerotrain-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/zerotrain-config.cmake" "${CMAKE_BINARY_DIR}/zerotrain-config-version.cmake"
              cmake/Libtorch.cmake
        DESTINATION lib/cmake/zerotrain)
