//! In memory.
/// In memory.
pub struct MemorySink {}
