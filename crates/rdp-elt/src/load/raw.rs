//! The raw format: nothing is parsed, the value's bytes land in `_kafka_value`.

use arrow::datatypes::Field;

use super::misfit::Misfit;
use super::{Load, PayloadColumns};
use crate::error::Result;

/// Payloads that nobody looks into.
pub(super) struct RawLoad;

impl Load for RawLoad {
    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn append(&mut self, _payload: &[u8]) -> Result<(), Misfit> {
        Ok(())
    }

    fn append_null(&mut self) {}

    fn clear(&mut self) {}

    fn finish(&mut self) -> Result<PayloadColumns> {
        Ok(PayloadColumns::default())
    }
}
