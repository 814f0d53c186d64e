"""The mutants: small changes that break a promise, each with the one test that has to notice.

An edit replaces text that occurs exactly once in its file. Where the source moves on, the edit has
to follow: ``run.py --check``, which every run of the tests makes, says so.
"""

from __future__ import annotations

from mutants_codecs import CODEC_MUTANTS
from mutants_files import FILE_MUTANTS
from mutants_gpu import GPU_MUTANTS
from mutants_snapshots import SNAPSHOT_MUTANTS

MUTANTS = (*FILE_MUTANTS, *CODEC_MUTANTS, *SNAPSHOT_MUTANTS, *GPU_MUTANTS)
