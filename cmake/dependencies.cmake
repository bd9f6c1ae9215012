# What clipc uses from the distribution, as imported targets. scripts/setup.sh installs the packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(package libjpeg spng zlib libwebp libwebpdemux libutf8proc jansson libprotobuf-c)
  pkg_check_modules(${package} REQUIRED IMPORTED_TARGET ${package})
endforeach()
find_package(GIF REQUIRED)
find_program(CLIPC_PROTOC_C protoc-c REQUIRED) # of protobuf-c-compiler

add_library(clipc_dependencies INTERFACE)
target_link_libraries(clipc_dependencies INTERFACE PkgConfig::libjpeg PkgConfig::spng PkgConfig::zlib PkgConfig::libwebp
                      PkgConfig::libwebpdemux PkgConfig::libutf8proc PkgConfig::jansson PkgConfig::libprotobuf-c
                      GIF::GIF Threads::Threads m)
