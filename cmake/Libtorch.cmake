# libtorch from the PyPI wheel `torch` as one target, zt::libtorch.
#
# The wheel's own TorchConfig.cmake wants a CUDA toolkit and adds compiler flags of its own, so the
# targets are declared here. Only this file knows where the wheel lies. Inputs, first that is set:
#   -DZT_TORCH_ROOT=<.../site-packages/torch>   or the environment variable ZT_TORCH_ROOT
set(ZT_TORCH_ROOT "$ENV{ZT_TORCH_ROOT}" CACHE PATH "Folder of the torch wheel (holds include/ and lib/)")
if(NOT EXISTS "${ZT_TORCH_ROOT}/include/ATen/ATen.h")
  message(FATAL_ERROR "[cmake] libtorch not found: ZT_TORCH_ROOT='${ZT_TORCH_ROOT}' has no "
    "include/ATen/ATen.h. Run scripts/setup.sh, or pass -DZT_TORCH_ROOT=<site-packages>/torch.")
endif()
file(READ "${ZT_TORCH_ROOT}/version.py" _zt_torch_version)
if(NOT _zt_torch_version MATCHES "__version__ = '2\\.11\\.")
  message(FATAL_ERROR "[cmake] the torch wheel at ${ZT_TORCH_ROOT} is not 2.11.x. Expected torch==2.11.0.")
endif()

add_library(zt_libtorch INTERFACE)
add_library(zt::libtorch ALIAS zt_libtorch)
target_include_directories(zt_libtorch SYSTEM INTERFACE
  "${ZT_TORCH_ROOT}/include" "${ZT_TORCH_ROOT}/include/torch/csrc/api/include")
target_compile_definitions(zt_libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
target_link_directories(zt_libtorch INTERFACE "${ZT_TORCH_ROOT}/lib")
target_link_libraries(zt_libtorch INTERFACE torch_cpu c10)
# c10d (rendezvous store and Gloo) is compiled into torch_cpu; its headers hide behind these.
add_library(zt_c10d INTERFACE)
add_library(zt::c10d ALIAS zt_c10d)
target_compile_definitions(zt_c10d INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
target_link_libraries(zt_c10d INTERFACE zt_libtorch)
# The CUDA half of the wheel; loads without a GPU. --no-as-needed: its kernels register themselves
# when the library is loaded, no symbol of ours asks for them.
if(ZT_WITH_CUDA)
  add_library(zt_libtorch_cuda INTERFACE)
  add_library(zt::libtorch_cuda ALIAS zt_libtorch_cuda)
  target_link_libraries(zt_libtorch_cuda INTERFACE zt_libtorch
    -Wl,--no-as-needed torch_cuda c10_cuda -Wl,--as-needed)
  get_filename_component(_zt_site "${ZT_TORCH_ROOT}/.." ABSOLUTE)
  # NCCL and the CUDA run time of the wheel, not of the toolkit: one version in one process.
  set(ZT_NCCL_INCLUDE "${_zt_site}/nvidia/nccl/include")
  set(ZT_NCCL_LIB "${_zt_site}/nvidia/nccl/lib/libnccl.so.2")
  set(ZT_CUDART_LIB "${_zt_site}/nvidia/cu13/lib/libcudart.so.13")
  set(ZT_CUBLAS_LIB "${_zt_site}/nvidia/cu13/lib/libcublas.so.13")
  set(ZT_CUDNN_LIB "${_zt_site}/nvidia/cudnn/lib/libcudnn.so.9")
  target_link_libraries(zt_libtorch_cuda INTERFACE "${ZT_CUDART_LIB}" "${ZT_CUBLAS_LIB}" "${ZT_CUDNN_LIB}")
  set(ZT_CUDA_WHEEL_LIB_DIRS "${_zt_site}/nvidia/nccl/lib;${_zt_site}/nvidia/cu13/lib;${_zt_site}/nvidia/cudnn/lib;${_zt_site}/nvidia/cusparselt/lib;${_zt_site}/nvidia/nvshmem/lib")
endif()
