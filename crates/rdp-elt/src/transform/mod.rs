//! What happens to data after it has landed: SQL over landings and files.
//!
//! A separate stage, never in the consumer's path: it reads what is durable and visible, and nothing else.

mod planner;
mod result;
pub mod sql;
mod tables;

pub use result::{QueryColumn, QueryResult};
pub use tables::Tables;
