# TensorRT's public headers, 10.x or 11.x: NvInfer.h below TENSORRT_ROOT/include. Its libraries are looked for at run time
# only, so that headers are enough to build. Without them, or without CUDA, plugin and backend are left out.
set(TENSORRT_ROOT "$ENV{TENSORRT_ROOT}" CACHE PATH "Folder with TensorRT's include/NvInfer.h")
set(CLIPC_TENSORRT_FOUND FALSE)
find_path(CLIPC_TENSORRT_INCLUDE NvInfer.h HINTS ${TENSORRT_ROOT}/include ${TENSORRT_ROOT}
          PATHS /usr/include/x86_64-linux-gnu)
if(NOT CLIPC_CUDA_FOUND)
  message(STATUS "TensorRT's plugin and backend are left out, as they need the cuda backend")
elseif(NOT CLIPC_TENSORRT_INCLUDE)
  message(STATUS "TensorRT's plugin and backend are left out, as NvInfer.h was not found (-DTENSORRT_ROOT=DIR tells where it is)")
else()
  set(CLIPC_TENSORRT_FOUND TRUE)
  message(STATUS "TensorRT's plugin and backend are built with ${CLIPC_TENSORRT_INCLUDE}")
  enable_language(CXX)
  set(CMAKE_CXX_STANDARD 17)
  set(CMAKE_CXX_VISIBILITY_PRESET hidden)
endif()

# Flags of what TensorRT forces to be C++: no exceptions and no type information, so that no run-time library of C++ is
# needed. Deprecation concerns TensorRT's own headers.
set(CLIPC_TENSORRT_OPTIONS -fno-exceptions -fno-rtti -fno-threadsafe-statics -Wall -Wextra -Wno-deprecated-declarations)
if(CLIPC_WERROR)
  list(APPEND CLIPC_TENSORRT_OPTIONS -Werror)
endif()
