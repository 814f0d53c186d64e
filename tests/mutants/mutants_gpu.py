"""Mutants of what is done with GPUs, on the simulated CUDA."""

from __future__ import annotations

from mutant import Edit, Mutant

GPU_MUTANTS = (
    Mutant(
        "copies from a GPU before the job's stream got there",
        "test_gpu",
        "GpuTest.copy_reads_what_the_stream_had_written_and_the_stream_waits_for_it",
        (
            Edit(
                "kernels/gpu.cc",
                "TINTYPE_RETURN_IF_ERROR(api_.make_wait(copy_stream_, after->handle()));",
                "",
            ),
        ),
    ),
    Mutant(
        "calls a GPU's copy done while its kernels run",
        "test_gpu",
        "GpuTest.a_copy_is_not_done_while_its_kernels_run",
        (
            Edit(
                "kernels/gpu.cc",
                "return api_.make_wait(copy_stream_, kernels_end_);",
                "return Status::ok();",
            ),
        ),
    ),
    Mutant(
        "gives a gather's table to the next while the kernel reads it",
        "test_gpu",
        "GpuTest.gathers_in_flight_keep_their_tables_apart",
        (Edit("kernels/gpu.cc", "return gather.first->is_over();", "return true;"),),
    ),
    Mutant(
        "saves what a CUDA graph has only captured",
        "test_gpu",
        "GpuTest.nothing_is_recorded_while_a_stream_captures",
        (Edit("kernels/gpu.cc", "if (is_capturing) {", "if (false) {"),),
    ),
    Mutant(
        "leaves a later copy's event to hand out its own results only",
        "test_gpu",
        "GpuTest.what_earlier_copies_gave_back_stands_when_a_later_one_is_done",
        (
            Edit(
                "kernels/gpu_event.cc",
                "if (status.is_ok()) table.deliver();",
                "if (status.is_ok() && first_ == number) table.deliver();",
            ),
        ),
    ),
    Mutant(
        "takes the results of a GPU's copy that a failed wait has dropped",
        "test_gpu",
        "GpuTest.a_wait_that_fails_is_the_answer_to_earlier_copies_whose_results_it_dropped",
        (
            Edit(
                "kernels/gpu_event.cc",
                "return number < failed_up_to_ && status.is_ok() ? failed_ : status;",
                "return status;",
            ),
        ),
    ),
    Mutant(
        "opens a GPU that the build has no kernels for",
        "test_gpu",
        "GpuTest.a_device_that_the_build_has_no_kernels_for_is_not_opened",
        (Edit("kernels/gpu.cc", "TINTYPE_RETURN_IF_ERROR(api_.load_kernels());", ""),),
    ),
    Mutant(
        "holds the caller of a save in a slab for its host storages",
        "test_cuda_device",
        "CudaDeviceTest.slab_needs_no_slot_for_the_call_to_return_beside_host_storages",
        (Edit("engine/staging.cc", " || is_rest_small(*job_)", ""),),
    ),
    Mutant(
        "promises to hide what a slab is too small for",
        "test_cuda_device",
        "CudaDeviceTest.a_slab_that_is_too_small_hides_nothing_of_a_guarded_save",
        (
            Edit(
                "engine/engine_guard.cc",
                "if (storage.is_lazy && job.copies.is_gathered(storage)) inputs",
                "if (storage.is_lazy) inputs",
            ),
        ),
    ),
    Mutant(
        "leaves the last bytes of a piece out of the gather kernel",
        "test_host_twins",
        "HostTwins.edge_sizes_at_every_alignment",
        (Edit("kernels/gather_thread.h", "if (thread < lanes.tail_bytes)", "if (false)"),),
    ),
    Mutant(
        "leaves memory pinned that is unmapped",
        "test_cuda_device",
        "CudaDeviceTest.pool_is_pinned_for_as_long_as_it_lives",
        (
            Edit(
                "engine/slot_pool.cc",
                "if (region.pinned_by != nullptr) region.pinned_by->unpin(region.bytes);",
                "",
            ),
        ),
    ),
    Mutant(
        "leaves floats as they are that a GPU sorts into planes",
        "test_host_twins",
        "HostTwins.elements_go_to_the_planes_of_their_run_at_every_size_and_alignment",
        (
            Edit(
                "kernels/split_thread.h",
                "chunk.planes.is_rotated ? rotate_element_left(loaded, sizeof(Element)) : loaded",
                "loaded",
            ),
        ),
    ),
    Mutant(
        "has a GPU split runs whose pieces end within an element",
        "test_split_saves",
        "SplitSavesTest.whatever_the_tensors_the_file_has_the_bytes_of_one_from_the_host",
        (
            Edit(
                "engine/split_filling.cc",
                "if (!has_whole_elements(*part, planes)) return false;",
                "",
            ),
        ),
    ),
)
