# Installed: libraries, header, program, find_package and pkg-config files.
include(CMakePackageConfigHelpers)
set(clipc_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/clipc)

install(FILES include/clipc/clipc.h include/clipc/tensors.h include/clipc/tuning.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/clipc)
install(TARGETS clipc_shared clipc_static EXPORT clipc_targets)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET clipc_program)
  install(TARGETS clipc_program)
endif()

# The static library needs the distribution's libraries again at link time; the shared one needs nothing more.
install(TARGETS clipc_dependencies EXPORT clipc_targets)
install(EXPORT clipc_targets FILE clipc-targets.cmake NAMESPACE clipc:: DESTINATION ${clipc_package_folder})
configure_package_config_file(cmake/clipc-config.cmake.in ${PROJECT_BINARY_DIR}/clipc-config.cmake
                              INSTALL_DESTINATION ${clipc_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/clipc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/clipc-config.cmake ${PROJECT_BINARY_DIR}/clipc-config-version.cmake
        DESTINATION ${clipc_package_folder})

# The prefix is found from where the .pc file lies, so that an installed tree can be moved.
string(REGEX REPLACE "[^/]+" ".." clipc_up "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
set(CLIPC_PC_PREFIX "\${pcfiledir}/${clipc_up}")
configure_file(cmake/clipc.pc.in ${PROJECT_BINARY_DIR}/clipc.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/clipc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
