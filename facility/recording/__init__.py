"""Recordings: readings in files, written by us or by anybody."""

from facility.recording.chunk import REASONS, Chunk, RecordingError, Reject, StateRow, span_of
from facility.recording.mapping import TableMapping, load_mapping
from facility.recording.reader import read_recording
from facility.recording.writer import RecordingWriter, chunk_of, write_recording

__all__ = [
    "REASONS", "Chunk", "RecordingError", "RecordingWriter", "Reject", "StateRow", "TableMapping",
    "chunk_of", "load_mapping", "read_recording", "span_of", "write_recording",
]  # fmt: skip
