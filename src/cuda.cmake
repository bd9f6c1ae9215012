# Compiles the kernels with nvcc by hand: as a language of CMake's, CUDA would make C++ the language of every link.
file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} backend/cuda/*.cu)

# A file named …__sm90a.cu holds instructions of that architecture alone.
set(cuda_flags -O3 -std=c++17 -Xcompiler -fPIC,-fvisibility=hidden,-fno-threadsafe-statics -I${CMAKE_CURRENT_SOURCE_DIR}
    -I${PROJECT_SOURCE_DIR}/include)
if(CLIPC_WERROR)
  list(APPEND cuda_flags -Werror all-warnings)
endif()
# A function that only one architecture's half of a file calls is not used in the other's.
list(APPEND cuda_flags --diag-suppress 177 --compress-mode=size)
# PTX of the oldest architecture, which the driver compiles for cards that have no machine code here.
list(GET CLIPC_CUDA_ARCHITECTURES 0 oldest)
set(cuda_portable -gencode arch=compute_${oldest},code=compute_${oldest})
foreach(architecture ${CLIPC_CUDA_ARCHITECTURES})
  list(APPEND cuda_portable -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
# Appends the object of a source below this folder to the list named `objects`.
function(clipc_cuda_object source objects)
  if(source MATCHES "__sm90a\\.cu$")
    set(targets -gencode arch=compute_90a,code=sm_90a)
  else()
    set(targets ${cuda_portable})
  endif()
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
  get_filename_component(folder ${object} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${object} DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source} DEPFILE ${object}.d VERBATIM
                     COMMENT "nvcc ${source}"
                     COMMAND ${CLIPC_NVCC} ${cuda_flags} ${targets} -MD -MF ${object}.d -MT ${object}
                             -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object})
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set(${objects} ${${objects}} ${object} PARENT_SCOPE)
endfunction()

set(cuda_objects "")
foreach(source ${cuda_sources})
  clipc_cuda_object(${source} cuda_objects)
endforeach()
add_custom_target(clipc_cuda_objects DEPENDS ${cuda_objects})

# The LayerNorm of the TensorRT plugin: no part of the library.
clipc_cuda_object(backend/tensorrt/layer_norm.cu layer_norm_objects)
add_library(clipc_layer_norm STATIC ${layer_norm_objects})
set_target_properties(clipc_layer_norm PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(clipc_layer_norm PUBLIC ${CLIPC_CUDART} ${CMAKE_DL_LIBS} rt)
