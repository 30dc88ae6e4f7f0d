"""The form of the lines that TensorFlow and what lies below it write to the error stream by themselves."""

from __future__ import annotations

REMARKS = "|".join(
    (
        r"WARNING: All log messages before absl::InitializeLog",
        # Information, warnings and errors that are survived, in the two forms that they have; fatal ones (F) are not.
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] ",
        r"[IWE]\d{4} \d\d:\d\d:[\d.]+ +\d+ [^ ]+:\d+\] ",
        r"To enable the following instructions: ",  # the second line of a remark on the processor
    )
)
"""Regular expression of the beginnings of lines that a process survives.

Most are written before any log level counts: which instructions the processor has, which plug-ins were registered
twice, which GPU there is not. Seen with TensorFlow 2.20 and 2.21.
"""
