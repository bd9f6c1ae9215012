# Installed: libraries, header, program, find_package and pkg-config files.
include(CMakePackageConfigHelpers)
install(TARGETS clipc_shared EXPORT clipc_targets)
install(FILES include/clipc/clipc.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/clipc)
if(TARGET clipc_program)
  install(TARGETS clipc_program)
endif()
