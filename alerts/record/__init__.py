"""What is on record: state.db, the audit trail in it, and the texts that it keeps."""
