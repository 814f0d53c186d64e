"""Mutants of what lies on the disk: writing, committing, publishing, reading."""

from __future__ import annotations

from mutant import Edit, Mutant

ATOMIC_FILE = "io/disk/atomic_file.cc"
COMMITTER = "engine/committer.cc"
DATA_SYNC = 'return step("step 6", file->sync_data());'
NAME_SYNC = 'return step("step 9a", sync_directory());'
FILES_CRASH = "CrashStates.nothing_acknowledged_is_lost_on_a_file_system_with_everything"
COPIES_CRASH = "CrashStates.nothing_acknowledged_is_lost_without_exchange_and_hard_links"
RUN_CRASH = "DirectoryCrashes.nothing_acknowledged_is_lost_on_a_file_system_with_everything"

FILE_MUTANTS = (
    Mutant(
        "drops the fdatasync of a file (step 6)",
        "test_crash_states",
        FILES_CRASH,
        (Edit(ATOMIC_FILE, DATA_SYNC, "return Status::ok();"),),
    ),
    Mutant(
        "swaps steps 6 and 8: the name before the data",
        "test_crash_states",
        FILES_CRASH,
        (
            Edit(ATOMIC_FILE, DATA_SYNC, "return Status::ok();"),
            Edit(
                ATOMIC_FILE,
                NAME_SYNC,
                'TINTYPE_RETURN_IF_ERROR(step("step 6", file->sync_data()));' + NAME_SYNC,
            ),
        ),
    ),
    Mutant(
        "skips the fsync of the directory (step 9a)",
        "test_crash_states",
        FILES_CRASH,
        (Edit(ATOMIC_FILE, NAME_SYNC, "return Status::ok();"),),
    ),
    Mutant(
        "removes the replaced file before the directory is synced (9b before 9a)",
        "test_commit_faults",
        "CommitFaults.at_9a_the_names_are_exchanged_back",
        (Edit(ATOMIC_FILE, NAME_SYNC, "drop_replaced(); " + NAME_SYNC),),
    ),
    Mutant(
        "tries a failed fdatasync again",
        "test_commit_faults",
        "CommitFaults.a_failed_fsync_is_not_tried_again",
        (
            Edit(
                ATOMIC_FILE,
                DATA_SYNC,
                "if (file->sync_data().is_ok()) return Status::ok(); " + DATA_SYNC,
            ),
        ),
    ),
    Mutant(
        "leaves the padding of the last write in the file (step 5)",
        "test_engine",
        "EngineTest.saved_file_is_the_planned_image",
        (Edit(ATOMIC_FILE, "file->truncate(exact_bytes)", "Status::ok()"),),
    ),
    Mutant(
        "does not flush the copy that becomes best or last (step 10)",
        "test_crash_states",
        COPIES_CRASH,
        (Edit("io/disk/links.cc", "return target.sync_data();", "return Status::ok();"),),
    ),
    Mutant(
        "does not flush the index before its rename (step 11)",
        "test_directory_crashes",
        RUN_CRASH,
        (Edit("engine/directory/document.cc", "return file.sync_data();", "return Status::ok();"),),
    ),
    Mutant(
        "evicts before the index is durable (step 12 before 11)",
        "test_directory_crashes",
        RUN_CRASH,
        (
            Edit(
                "engine/directory/publisher.cc",
                "Status status = write_index(*state_, next);",
                "enter(next); evict_losers(*state_); Status status = write_index(*state_, next);",
            ),
        ),
    ),
    Mutant(
        "evicts after an index that is written but not synced",
        "test_directory_crashes",
        RUN_CRASH,
        (
            Edit(
                "engine/directory/directory_state.cc",
                "return directory.sync();",
                "return Status::ok();",
            ),
        ),
    ),
    Mutant(
        "says durable before anything is",
        "test_directory_crashes",
        RUN_CRASH,
        (
            Edit(
                COMMITTER,
                "TINTYPE_RETURN_IF_ERROR(expose_files(job));",
                "job.core->set_durable();"
                " std::this_thread::sleep_for(std::chrono::milliseconds(2));"
                " TINTYPE_RETURN_IF_ERROR(expose_files(job));",
            ),
        ),
    ),
    Mutant(
        "shows the full file before the light one is whole",
        "test_engine_faults",
        "Backends/EngineFaults.every_operation_of_the_file_system/simulated",
        (
            Edit(
                COMMITTER,
                "job.core->note_progress();\n  }\n  const uint64_t sync_ns",
                "TINTYPE_RETURN_IF_ERROR(job.files[i].target->expose());\n  }\n"
                "  const uint64_t sync_ns",
            ),
            Edit(
                COMMITTER,
                "TINTYPE_RETURN_IF_ERROR(expose_files(job));",
                "",
            ),
        ),
    ),
    Mutant(
        "returns to the caller before the copy is made",
        "test_engine",
        "EngineTest.file_holds_the_state_at_the_call_with_a_pool_smaller_than_the_state",
        (
            Edit(
                "engine/engine_impl.cc",
                "staging->holds_caller() || job.core->is_doomed();",
                "job.core->is_doomed();",
            ),
        ),
    ),
    Mutant(
        "gives a slot back before its write is complete",
        "test_stalls",
        "Queues/Stalls.memory_of_a_stalled_write_is_not_used_again_before_it_completes/pwrite",
        (
            Edit(
                "engine/writer.cc",
                "writes_.start(request, file.is_direct && direct_io_ == DirectIo::preferred);",
                "writes_.start(request, file.is_direct && direct_io_ == DirectIo::preferred);"
                " in_flight_.at(request.token).write.slot = SlotLease();",
            ),
        ),
    ),
    Mutant(
        "takes a short write for a whole one",
        "test_write_faults",
        "Queues/WriteFaults.random_short_writes_and_retries_leave_every_byte_in_place/pwrite",
        (
            Edit(
                "io/disk/resuming_writer.cc",
                "if (written_bytes >= write.rest.data.size()) return true;",
                "if (written_bytes > 0) return true;",
            ),
        ),
    ),
    Mutant(
        "resumes a short direct write at an unaligned place",
        "test_write_faults",
        "Queues/WriteFaults.random_faults_on_a_direct_file_keep_the_writes_aligned/pwrite",
        (
            Edit(
                "io/disk/resuming_writer.cc",
                "if (write.is_direct) written_bytes -= written_bytes % kDirectAlignmentBytes;",
                "",
            ),
        ),
    ),
    Mutant(
        "takes an error of the disk for the end of the write",
        "test_write_faults",
        "Queues/WriteFaults.an_error_ends_its_write_and_no_other/pwrite",
        (
            Edit(
                "io/disk/resuming_writer.cc",
                'status = errno_status(error_number, "write", write.rest.file->path());',
                "status = Status::ok();",
            ),
        ),
    ),
    Mutant(
        "lets a save that was given up go on behind step 8b",
        "test_stalls",
        "Queues/Stalls.every_step_up_to_8b_may_hang_and_the_old_file_stands/pwrite",
        (
            Edit(
                "engine/snapshot_core.cc",
                "if (!error_.is_ok()) return false;\n  is_committed_ = true;",
                "is_committed_ = true;",
            ),
        ),
    ),
    Mutant(
        "takes living temporary files for orphans",
        "test_orphans",
        "Orphans.a_living_writers_temp_stays_until_its_lock_is_gone",
        (
            Edit(
                "io/disk/orphans.cc",
                "if (!file.is_ok() || !(*file)->try_lock().is_ok()) return std::nullopt;",
                "if (!file.is_ok()) return std::nullopt;",
            ),
        ),
    ),
    Mutant(
        "removes the old file though the new one is torn",
        "test_orphans",
        "Orphans.a_temp_stays_while_the_file_of_its_final_name_is_not_sound",
        (
            Edit(
                "io/disk/orphans.cc",
                "temp_stem_for(name) == parts.stem &&",
                "false && temp_stem_for(name) == parts.stem &&",
            ),
        ),
    ),
    Mutant(
        "forgets an epoch that replaced itself in last",
        "test_directory_damage",
        "CheckpointDirectoryTest.an_epoch_that_replaced_itself_in_last_is_adopted",
        (
            Edit(
                "engine/directory/reconcile.cc",
                "find(last->sequence) == nullptr) return true;",
                "false) return true;",
            ),
        ),
    ),
    Mutant(
        "reads without comparing CRCs",
        "test_restore",
        "Restore.every_damaged_record_is_reported_with_its_tensors",
        (
            Edit(
                "engine/restore/crc_pass.cc",
                "if (status.is_ok() && record.is_crc_known() && crc != record.crc32) {",
                "if (false) {",
            ),
        ),
    ),
    Mutant(
        "trusts local headers that differ from the directory",
        "test_zip_reader",
        "ZipReader.without_descriptor_the_local_header_has_the_directorys_crc_and_sizes",
        (
            Edit(
                "io/archive/zip_reader.cc",
                "if (!record.has_descriptor() &&",
                "if (record.flags == UINT16_MAX &&",
            ),
        ),
    ),
    Mutant(
        "reads ahead what is in the page cache",
        "test_read_ahead",
        "ReadAheadTest.only_a_large_file_that_is_not_cached_is_read_ahead",
        (
            Edit(
                "engine/restore/read_ahead.cc",
                "file.cached_share(expected->size_bytes) >= 0.5",
                "file.cached_share(expected->size_bytes) >= 2",
            ),
        ),
    ),
    Mutant(
        "removes an input by its name alone",
        "test_transcode_input",
        "Ways/TranscodeInputs.a_name_that_leads_to_another_file_by_then_is_not_removed/compressing",
        (
            Edit(
                "engine/transcode/input_file.cc",
                "if (is_untouched(now, opened_)) return",
                "if (is_untouched(now, opened_) || now.inode != 0) return",
            ),
        ),
    ),
    Mutant(
        "lays encoded extents down in the order in which they come",
        "test_compressed_saves",
        "Forms/CompressedSaves.decode_to_the_plain_file_with_any_pool_and_any_threads/zstd",
        (
            Edit(
                "engine/file_encoding.cc",
                "next != waiting_.end() && next->first == placed_.size();",
                "next != waiting_.end();",
            ),
        ),
    ),
    Mutant(
        "asks for all the room of the plain file",
        "test_compressed_saves",
        "Forms/CompressedSaves.less_room_than_the_plain_file_needs_is_no_error/zstd",
        (Edit(ATOMIC_FILE, "if (is_bound && is_too_much)", "if (is_bound && status.is_ok())"),),
    ),
)
