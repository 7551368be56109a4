//! Rows.
/// x
pub struct DataSet {}
