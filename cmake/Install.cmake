# cmake --install <build> --prefix <dir>: the program, the guide scripts, the example and the documents.
#   bin/zt   share/zerotrain/{scripts,examples}   share/doc/zerotrain   and the library (Package.cmake)
# The tree may be moved: the scripts find the program by their own place, the program finds libtorch in the wheel it
# was built with, in lib/ of the tree, or on LD_LIBRARY_PATH.
install(TARGETS zt RUNTIME DESTINATION bin)
install(PROGRAMS scripts/deepspeed_multi_node_multi_gpu.sh scripts/deepspeed_muti_node_muti_gpu.sh
                 scripts/torchrun_multi_node_multi_gpu.sh scripts/plot_loss.py scripts/deepspeed
        DESTINATION share/zerotrain/scripts)
install(PROGRAMS scripts/compat/main_deepspeed.py scripts/compat/train_deepspeed.py scripts/compat/pretraining.py
                 scripts/compat/train.py
        DESTINATION share/zerotrain/scripts/compat)
install(FILES scripts/compat/_zt.py DESTINATION share/zerotrain/scripts/compat)
install(FILES scripts/guide_common.sh scripts/zero1.json scripts/zero2.json scripts/zero3.json
        DESTINATION share/zerotrain/scripts)
install(DIRECTORY examples/tiny_qwen3 DESTINATION share/zerotrain/examples)
file(GLOB ZT_DOCUMENTS CONFIGURE_DEPENDS README*.md LICENSE)
install(FILES ${ZT_DOCUMENTS} DESTINATION share/doc/zerotrain)
install(DIRECTORY docs DESTINATION share/doc/zerotrain)
include(Package)
