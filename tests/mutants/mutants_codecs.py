"""The mutants of the compressed forms."""

from __future__ import annotations

from mutant import Edit, Mutant

CODEC_MUTANTS = (
    Mutant(
        "believes the planes of an extent without their CRC",
        "test_compressed_layout",
        "Forms/CompressedLayout.every_bit_flip_is_detected_or_harmless/planes",
        (Edit("io/archive/planes_decoder.cc", "if (crc == expected) continue;", "continue;"),),
    ),
    Mutant(
        "trusts the sizes of a seek table",
        "test_compressed_layout",
        "SeekTables.hostile_numbers_are_refused_at_once",
        (
            Edit(
                "io/archive/frame_index.cc",
                "if (file_offset != table_offset) return misfit(file_offset, table_offset);",
                "",
            ),
        ),
    ),
    Mutant(
        "takes any seek table for that of the frames in front of it",
        "test_frame_log",
        "FrameLogs.extents_that_are_missing_doubled_or_exchanged_are_damage",
        (
            Edit(
                "io/archive/frame_log.cc",
                "if (!fits(frames_[unlisted + i], listed, footer.has_checksums)) return misfit();",
                "",
            ),
        ),
    ),
    Mutant(
        "turns elements the wrong way in the widest vectors",
        "test_byte_planes",
        "BytePlanes.every_width_and_size_around_the_vectors",
        (
            Edit(
                "io/archive/byte_planes_avx2.cc",
                "_mm256_slli_epi64(v, 1), _mm256_srli_epi64(v, 63)",
                "_mm256_slli_epi64(v, 1), _mm256_srli_epi64(v, 62)",
            ),
        ),
    ),
    Mutant(
        "says nothing of extents that no record lies in",
        "test_compressed_source",
        "Forms/CompressedSourceTest.verify_names_damaged_extents_and_what_they_cost/planes",
        (
            Edit(
                "engine/restore/compressed_source.cc",
                "if (statuses[i].is_ok()) continue;",
                "continue;",
            ),
        ),
    ),
)
