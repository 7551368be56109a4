//! What happens to data after it has landed: SQL over landings and files.
//!
//! ```no_run
//! use rdp_transform::{Tables, sql};
//!
//! async fn orders_by_status() -> rdp_elt::Result<()> {
//!     let mut tables = Tables::new();
//!     tables.add_landing("file:landing").await?;
//!     let answer = sql::query("SELECT status, COUNT(*) AS n FROM orders GROUP BY status", &tables)?;
//!     for row in answer.json_rows() {
//!         println!("{}", serde_json::Value::from(row));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A separate stage, never in the consumer's path: it reads what is durable and visible, and nothing else. This crate alone
//! knows Polars; of `rdp-elt` it takes the errors and the reader of landings.

mod planner;
mod result;
pub mod sql;
mod tables;

pub use result::{QueryColumn, QueryResult};
pub use tables::Tables;
