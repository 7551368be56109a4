//! What may become of a topic's columns between two runs: they come and go, and widen where nothing is lost. No I/O.

use arrow::datatypes::{DataType as ArrowType, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::DataType;

/// Makes sure that rows of these columns can lie beside those that have landed with others.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) names the first column that cannot, both types and the way out. `landed_at` says where the
/// landed ones are.
pub(super) fn check(topic: &str, landed: &Schema, landed_at: &str, landing: &Schema) -> Result<()> {
    for column in landing.fields() {
        let Ok(was) = landed.field_with_name(column.name()) else { continue };
        let (old, new) = (named(was.data_type()), named(column.data_type()));
        let is_wider = match (DataType::from_arrow(was.data_type()), DataType::from_arrow(column.data_type())) {
            (Some(old), Some(new)) => old == new || old.widens_to(&new),
            _ => was.data_type() == column.data_type(),
        };
        if !is_wider {
            let name = column.name();
            let message = format!(
                "prepare topic {topic}: column {name} has landed as {old} and would land as {new} now: path={landed_at}"
            );
            return Err(Error::new(ErrorKind::Schema, message).with_help(format!(
                "give {name} the type {old} again in `schema`, or a type that holds all of it; or land the new type under another \
                 name, or in a new folder"
            )));
        }
    }
    Ok(())
}

fn named(arrow: &ArrowType) -> String {
    DataType::from_arrow(arrow).map_or_else(|| arrow.to_string(), |named| named.to_string())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn outcome(old: &str, new: &str) -> Result<()> {
        let schema = |text: &str| {
            let parsed: DataType = text.parse().expect("a type");
            Schema::new(vec![Field::new("id", ArrowType::Utf8, true), Field::new("n", parsed.to_arrow(), true)])
        };
        check("orders", &schema(old), "landing/topic=orders", &schema(new))
    }

    #[test]
    fn what_loses_nothing_may_land_beside_what_has_landed() {
        for (old, new) in [
            ("int64", "int64"),
            ("int8", "int16"),
            ("int32", "int64"),
            ("uint8", "uint64"),
            ("uint32", "int64"),
            ("float32", "float64"),
            ("decimal(10,2)", "decimal(20,2)"),
            ("timestamp(s,UTC)", "timestamp(ms,UTC)"),
            ("struct<a: int64, b: list<utf8>>", "struct<a: int64, b: list<utf8>>"),
            ("map<utf8,int64>", "map<utf8,int64>"),
        ] {
            assert!(outcome(old, new).is_ok(), "{old} to {new}");
        }
    }

    #[test]
    fn what_changes_or_loses_is_refused_with_both_types() {
        for (old, new) in [
            ("int64", "int32"),
            ("int64", "utf8"),
            ("uint64", "int64"),
            ("int32", "float64"),
            ("float64", "float32"),
            ("decimal(10,2)", "decimal(10,3)"),
            ("decimal(10,2)", "decimal(9,2)"),
            ("timestamp(ms)", "timestamp(ms,UTC)"),
            ("timestamp(ms,UTC)", "timestamp(us,UTC)"),
            ("utf8", "binary"),
            ("list<int32>", "list<int64>"),
            ("struct<a: int64>", "struct<a: int64, b: utf8>"),
        ] {
            let error = outcome(old, new).expect_err("it changes");
            assert_eq!(error.kind(), ErrorKind::Schema, "{old} to {new}");
            for told in ["orders", "column n ", old, new, "landing/topic=orders"] {
                assert!(error.message().contains(told), "{told} in {error:?}");
            }
            assert!(error.help().is_some_and(|help| help.contains(old)), "{error:?}");
        }
    }

    #[test]
    fn columns_come_and_go() {
        let of = |names: &[&str]| {
            Schema::new(names.iter().map(|name| Field::new(*name, ArrowType::Int64, true)).collect::<Vec<_>>())
        };
        assert!(check("orders", &of(&["a", "b"]), "landing", &of(&["b", "c"])).is_ok());
    }
}
