"""The files of a configuration: read and checked together, as a journal entry, value by value."""
