"""The distilled set's file, and what is checked of it: docs/file-format.md in code."""
