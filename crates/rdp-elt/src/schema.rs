//! The landing schema.

/// A landing schema.
#[derive(Debug, Clone, Default)]
pub struct Schema {}
/// One field.
pub struct Field {}
/// Its type.
pub enum DataType {}
