//! rollback.
