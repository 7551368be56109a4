//! Parquet.
/// Parquet.
pub struct ParquetSink {}
/// Options.
pub struct ParquetSinkOptions {}
