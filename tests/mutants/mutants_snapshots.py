"""Mutants of what keeps a snapshot whole: devices, guards, the instant."""

from __future__ import annotations

from mutant import Edit, Mutant

SCHEDULES = (
    "Parts/DeviceSchedules.no_rule_is_broken_and_accepted_files_hold_the_state_at_the_call/*"
)

SNAPSHOT_MUTANTS = (
    Mutant(
        "seals an extent before its device has copied",
        "test_device_schedules",
        SCHEDULES,
        (
            Edit("engine/staging.cc", "first->second.copies.is_done();", "true;"),
            Edit("engine/staging.cc", "fail_on_error(filled.copies.wait());", ""),
        ),
    ),
    Mutant(
        "gives slots of a doomed save back while a device copies into them",
        "test_device_schedules",
        SCHEDULES,
        (
            Edit(
                "engine/staging.cc",
                "for (CopiesInFlight next; find_next(next);)",
                "if (job_->core->is_doomed()) filled_.clear();\n"
                "  for (CopiesInFlight next; find_next(next);)",
            ),
        ),
    ),
    Mutant(
        "copies from a device without waiting for the caller's stream",
        "test_device_schedules",
        SCHEDULES,
        (
            Edit(
                "engine/device/source_copies.cc",
                "copy(pieces.devices[i], place.start);",
                "copy(pieces.devices[i], nullptr);",
            ),
        ),
    ),
    Mutant(
        "lets the caller's streams go on before the copies",
        "test_device_schedules",
        SCHEDULES,
        (
            Edit(
                "engine/device/source_copies.cc",
                "TINTYPE_RETURN_IF_ERROR(device.make_wait(stream, place.last));",
                "",
            ),
        ),
    ),
    Mutant(
        "lets the storages go when the call returns",
        "test_device_schedules",
        SCHEDULES,
        (
            Edit(
                "engine/engine_impl.cc",
                "staging->begin(interrupts);",
                "staging->begin(interrupts);\n  job.request.storage_owner.reset();",
            ),
        ),
    ),
    Mutant(
        "does not wait in before_mutation",
        "test_torn_states",
        "TornStates.accepted_files_hold_the_state_at_the_call",
        (
            Edit(
                "engine/engine_guard.cc",
                "while (status.is_ok() && !stager_.wait_issued(staging, kInterruptPeriod)) {",
                "while (false) {",
            ),
        ),
    ),
    Mutant(
        "lets the job go on before the witness has answered",
        "test_cuda_device",
        "CudaDeviceTest.guarded_save_returns_at_once_and_any_stream_can_be_made_to_wait_for_it",
        (
            Edit(
                "engine/engine_guard.cc",
                "if (job.tears != nullptr && !job.core->is_doomed()) job",
                "if (false) job",
            ),
        ),
    ),
    Mutant(
        "asks the witness while copies are still to be made",
        "test_guard",
        "GuardTest.witness_is_not_asked_by_a_wait_that_is_interrupted",
        (
            Edit(
                "engine/engine_guard.cc",
                "  Status status;\n  while (status",
                "  Status status;\n  job.tears->ask_witness();\n  while (status",
            ),
        ),
    ),
    Mutant(
        "waits for no save that begins meanwhile",
        "test_guard",
        "GuardTest.a_save_that_begins_while_another_is_waited_for_is_waited_for_too",
        (
            Edit(
                "engine/engine_guard.cc",
                "staging != nullptr && staging != last;",
                "staging != nullptr && last == nullptr;",
            ),
        ),
    ),
    Mutant(
        "does not compare probes with what was staged",
        "test_tear_watch",
        "Probes.changed_byte_under_any_part_of_a_probe_is_seen_at_any_extent_border",
        (
            Edit(
                "engine/tear_watch.cc",
                "if (std::memcmp(was.data(), staged.data() + (from - begin), was.size()) != 0) {",
                "if (false) {",
            ),
        ),
    ),
    Mutant(
        "does not compare the second reading of the probes",
        "test_tear_watch",
        "Probes.second_reading_sees_what_changed_behind_the_copy",
        (
            Edit(
                "engine/tear_watch.cc",
                "if (std::memcmp(was.data(), read(at_end_, i).data(), was.size()) != 0) {",
                "if (false) {",
            ),
        ),
    ),
)
