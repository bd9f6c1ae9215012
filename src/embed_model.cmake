# The demo model becomes part of the library: model/demo_bytes.c takes in its files as they are, and its tokenizer as the
# packed block that a small program makes at build time from the tokenizer's own sources.
set(demo_directory ${PROJECT_SOURCE_DIR}/models/demo/model)
set(demo_tokenizer ${CMAKE_CURRENT_BINARY_DIR}/demo_tokenizer.bin)

file(GLOB text_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} text/*.c)
add_executable(clipc_pack_tokenizer ${PROJECT_SOURCE_DIR}/models/pack_tokenizer.c ${text_sources} base/error.c
               base/json.c base/mapped_file.c base/memory.c base/wire.c)
target_include_directories(clipc_pack_tokenizer PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_compile_options(clipc_pack_tokenizer PRIVATE ${CLIPC_WARNINGS})
target_link_libraries(clipc_pack_tokenizer PRIVATE PkgConfig::jansson PkgConfig::libutf8proc m)
add_custom_command(OUTPUT ${demo_tokenizer}
  COMMAND clipc_pack_tokenizer ${demo_directory} ${demo_tokenizer}
  DEPENDS clipc_pack_tokenizer ${demo_directory}/vocab.json ${demo_directory}/merges.txt
          ${demo_directory}/tokenizer_config.json ${demo_directory}/special_tokens_map.json
  COMMENT "Packing the demo model's tokenizer" VERBATIM)
add_custom_target(clipc_demo_tokenizer DEPENDS ${demo_tokenizer})
add_dependencies(clipc_objects clipc_demo_tokenizer)
set_source_files_properties(model/demo_bytes.c PROPERTIES
  COMPILE_DEFINITIONS "CLIPC_DEMO_DIRECTORY=\"${demo_directory}\";CLIPC_DEMO_TOKENIZER=\"${demo_tokenizer}\""
  OBJECT_DEPENDS "${demo_directory}/config.json;${demo_directory}/preprocessor_config.json;${demo_directory}/model.safetensors;${demo_tokenizer}")
